// The lockless queue between the two threads of a pipe (§5.1): one receives from the real port, the other processes.
// To the pipe it is a port like any other; what is not received from the device stays there, so nothing is lost here.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "port.hpp"
#include "valkey_socket.hpp"

namespace snf {

// Single producer, single consumer, bounded; indexes on cache lines of their own.
class FrameRing {
 public:
  explicit FrameRing(std::uint32_t capacity) : frames_(capacity), mask_(capacity - 1) {}  // a power of two
  std::uint32_t room() const {
    return static_cast<std::uint32_t>(frames_.size()) -
           (tail_.load(std::memory_order_relaxed) - head_.load(std::memory_order_acquire));
  }
  // Sequentially consistent, as is the end of `push`: one of two threads that go to sleep and push sees the other.
  bool empty() const { return head_.load(std::memory_order_relaxed) == tail_.load(); }
  void push(const Frame* frames, unsigned count);
  unsigned pop(Frame* frames, unsigned room);

 private:
  std::vector<Frame> frames_;
  const std::uint32_t mask_;
  alignas(64) std::atomic<std::uint32_t> head_{0};
  alignas(64) std::atomic<std::uint32_t> tail_{0};
};

class RingPort final : public Port {
 public:
  static constexpr std::uint32_t capacity = 4096;
  // Throws std::system_error where there are no more file descriptors.
  explicit RingPort(Port& port);

  // The receiving thread: moves what the port has, up to a burst; returns how many frames.
  unsigned pump();

  // The processing thread.
  unsigned receive(Frame* frames, unsigned room) override;
  unsigned transmit(Side to, const Frame* frames, unsigned count) override { return port_.transmit(to, frames, count); }
  void release(const Frame* frames, unsigned count) override { port_.release(frames, count); }
  Frame allocate() override { return port_.allocate(); }
  void flush() override { port_.flush(); }
  bool link_up(Side side) const override { return port_.link_up(side); }
  std::uint64_t missed() override { return port_.missed(); }
  int wait_descriptor(Side side) override { return side == Side::inside ? wake_.get() : -2; }
  bool prepare_wait() override;

 private:
  Port& port_;
  FrameRing ring_;
  Descriptor wake_;
  std::atomic<bool> asleep_{false};
};

}  // namespace snf
