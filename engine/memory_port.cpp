#include "memory_port.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace snf {

MemoryPort::MemoryPort(unsigned slots, unsigned frame_capacity)
    : capacity_(frame_capacity),
      slab_(std::make_unique<std::uint8_t[]>(static_cast<std::size_t>(slots) * frame_capacity)),
      slots_(slots) {
  for (std::size_t i = slots; i-- > 0;) {
    slots_[i].data = slab_.get() + i * capacity_;
    free_.push_back(&slots_[i]);
  }
}

MemoryPort::Slot* MemoryPort::take(std::uint64_t token) {
  if (free_.empty()) return nullptr;
  Slot* slot = free_.back();
  free_.pop_back();
  slot->token = token;
  return slot;
}

bool MemoryPort::inject(Bytes frame, Side side, std::uint64_t token) {
  std::lock_guard lock(mutex_);
  Slot* slot = frame.size() <= capacity_ ? take(token) : nullptr;
  if (slot == nullptr) return false;
  if (!frame.empty()) std::memcpy(slot->data, frame.data(), frame.size());
  received_.push_back({slot->data, static_cast<std::uint32_t>(frame.size()), capacity_, slot, side});
  return true;
}

unsigned MemoryPort::receive(Frame* frames, unsigned room) {
  std::lock_guard lock(mutex_);
  unsigned count = 0;
  for (; count < room && !received_.empty(); ++count) {
    frames[count] = received_.front();
    static_cast<Slot*>(frames[count].handle)->lent = true;
    received_.pop_front();
  }
  lent_ += count;
  return count;
}

// Giving a frame back twice would hand one slot to two packets: stop at once, in every build.
MemoryPort::Slot* MemoryPort::give_back(const Frame& frame) {
  Slot* slot = static_cast<Slot*>(frame.handle);
  if (!slot->lent) {
    std::fputs("memory port: a frame was given back twice\n", stderr);
    std::abort();
  }
  slot->lent = false;
  --lent_;
  free_.push_back(slot);
  return slot;
}

unsigned MemoryPort::transmit(Side to, const Frame* frames, unsigned count) {
  std::lock_guard lock(mutex_);
  for (const Frame& frame : std::span(frames, count)) {
    Slot* slot = give_back(frame);
    sent_.push_back({slot->token, to, {frame.data, frame.data + frame.length}});
  }
  return count;
}

void MemoryPort::release(const Frame* frames, unsigned count) {
  std::lock_guard lock(mutex_);
  for (const Frame& frame : std::span(frames, count)) released_.push_back(give_back(frame)->token);
}

Frame MemoryPort::allocate() {
  std::lock_guard lock(mutex_);
  Slot* slot = take(generated);
  if (slot == nullptr) return {};
  slot->lent = true;
  ++lent_;
  return {slot->data, 0, capacity_, slot, Side::inside};
}

std::vector<MemoryPort::Sent> MemoryPort::collect() {
  std::lock_guard lock(mutex_);
  return std::exchange(sent_, {});
}

std::vector<std::uint64_t> MemoryPort::collect_released() {
  std::lock_guard lock(mutex_);
  return std::exchange(released_, {});
}

std::size_t MemoryPort::waiting() const {
  std::lock_guard lock(mutex_);
  return received_.size();
}

std::size_t MemoryPort::lent() const {
  std::lock_guard lock(mutex_);
  return lent_;
}

std::uint64_t MemoryPort::token_of(const Frame& frame) { return static_cast<const Slot*>(frame.handle)->token; }

}  // namespace snf
