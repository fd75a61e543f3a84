#include "traffic.hpp"

#include <algorithm>
#include <bit>
#include <span>
#include <utility>

namespace snf {
namespace {

constexpr unsigned largest_burst = 64;

// A multiple of the cache line, and an odd one: frames must not compete for the same few cache sets.
std::uint32_t stride(std::uint32_t bytes) { return ((bytes + 63) / 64 | 1) * 64; }

FlowSlot* slot_of(const Frame& frame) { return static_cast<FlowSlot*>(frame.handle); }

}  // namespace

TrafficPort::TrafficPort(std::unique_ptr<FlowSource> source, unsigned open_flows, std::uint64_t seed)
    : source_(std::move(source)),
      open_flows_(open_flows),
      capacity_(stride(source_->longest())),
      memory_(std::make_unique<std::uint8_t[]>(static_cast<std::size_t>(open_flows + spare_frames) * capacity_)),
      slots_(open_flows + spare_frames),
      mask_(std::bit_ceil(std::uint64_t{open_flows}) - 1),
      ready_(mask_ + 1),
      random_(seed | 1),
      returned_(mask_ + 1) {
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i].frame = memory_.get() + i * capacity_;
  for (unsigned i = 0; i < open_flows; ++i) ready_[end_ready_++] = &slots_[i];
  for (unsigned i = 0; i < spare_frames; ++i) spare_.push_back(&slots_[open_flows + i]);
}

void TrafficPort::take_back() {
  for (;; ++first_returned_) {
    std::atomic<FlowSlot*>& place = returned_[first_returned_ & mask_];
    FlowSlot* slot = place.load(std::memory_order_acquire);
    if (slot == nullptr) return;
    place.store(nullptr, std::memory_order_relaxed);
    ready_[end_ready_++ & mask_] = slot;
  }
}

// The first in line, or one of the next few instead.
FlowSlot* TrafficPort::next_ready() {
  random_ ^= random_ << 13;  // xorshift64 (Marsaglia 2003)
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  const std::uint64_t waiting = std::min<std::uint64_t>(end_ready_ - first_ready_, jitter);
  const std::uint64_t chosen = first_ready_ + ((random_ >> 32) * waiting >> 32);
  std::swap(ready_[chosen & mask_], ready_[first_ready_ & mask_]);
  return ready_[first_ready_++ & mask_];
}

unsigned TrafficPort::receive(Frame* frames, unsigned room) {
  take_back();
  FlowSlot* slots[largest_burst];
  unsigned count = 0;
  for (; count < std::min(room, largest_burst) && first_ready_ != end_ready_; ++count) {
    slots[count] = next_ready();
    __builtin_prefetch(slots[count]);
    __builtin_prefetch(slots[count]->frame, 1);
    frames[count] = {slots[count]->frame, 0, capacity_, slots[count], Side::inside};
  }
  source_->make(slots, frames, count);
  return count;
}

// Returns how many were the traffic's own.
unsigned TrafficPort::give_back(const Frame* frames, unsigned count) {
  const std::span given(frames, count);
  const auto own = std::ranges::count_if(given, [this](const Frame& frame) { return !is_spare(slot_of(frame)); });
  std::uint64_t place = end_returned_.fetch_add(static_cast<std::uint64_t>(own), std::memory_order_relaxed);
  for (const Frame& frame : given) {
    FlowSlot* slot = slot_of(frame);
    if (!is_spare(slot)) {
      returned_[place++ & mask_].store(slot, std::memory_order_release);
    } else {
      std::lock_guard lock(spare_mutex_);
      spare_.push_back(slot);
    }
  }
  return static_cast<unsigned>(own);
}

unsigned TrafficPort::transmit(Side, const Frame* frames, unsigned count) {
  const unsigned own = give_back(frames, count);
  forwarded_.fetch_add(own, std::memory_order_relaxed);
  if (own != count) generated_.fetch_add(count - own, std::memory_order_relaxed);
  return count;
}

void TrafficPort::release(const Frame* frames, unsigned count) {
  for (const Frame& frame : std::span(frames, count)) slot_of(frame)->dropped = true;
  dropped_.fetch_add(give_back(frames, count), std::memory_order_relaxed);
}

Frame TrafficPort::allocate() {
  std::lock_guard lock(spare_mutex_);
  if (spare_.empty()) return {};
  FlowSlot* slot = spare_.back();
  spare_.pop_back();
  return {slot->frame, 0, capacity_, slot, Side::inside};
}

}  // namespace snf
