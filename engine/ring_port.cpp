#include "ring_port.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace snf {

void FrameRing::push(const Frame* frames, unsigned count) {
  const std::uint32_t tail = tail_.load(std::memory_order_relaxed);
  for (unsigned i = 0; i < count; ++i) frames_[(tail + i) & mask_] = frames[i];
  tail_.store(tail + count);
}

unsigned FrameRing::pop(Frame* frames, unsigned room) {
  const std::uint32_t head = head_.load(std::memory_order_relaxed);
  const std::uint32_t there = tail_.load(std::memory_order_acquire) - head;
  const unsigned count = std::min<unsigned>(room, there);
  for (unsigned i = 0; i < count; ++i) frames[i] = frames_[(head + i) & mask_];
  head_.store(head + count, std::memory_order_release);
  return count;
}

RingPort::RingPort(Port& port) : port_(port), ring_(capacity), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!wake_.open()) throw std::system_error(errno, std::generic_category(), "eventfd");
}

unsigned RingPort::pump() {
  std::array<Frame, 32> frames;
  const unsigned count = port_.receive(frames.data(), std::min<unsigned>(frames.size(), ring_.room()));
  if (count == 0) return 0;
  ring_.push(frames.data(), count);
  if (asleep_.exchange(false)) {
    const std::uint64_t one = 1;
    // A full counter is a wake-up already on its way.
    if (write(wake_.get(), &one, sizeof one) < 0) return count;
  }
  return count;
}

unsigned RingPort::receive(Frame* frames, unsigned room) { return ring_.pop(frames, room); }

bool RingPort::prepare_wait() {
  std::uint64_t count = 0;
  if (read(wake_.get(), &count, sizeof count) < 0 && errno != EAGAIN) return false;
  asleep_.store(true);
  if (ring_.empty()) return true;
  asleep_.store(false);
  return false;
}

}  // namespace snf
