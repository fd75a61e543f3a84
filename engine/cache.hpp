// The record table: flow key -> the value last seen in the store, and whether it may be used without asking again.
// With a store it is a cache that may be dropped at any time (protocol.md, rules 11 to 14). Without one (the baseline)
// it is the truth. Fixed capacity; memory is touched only as flows come (128 bytes a flow for the firewall, and 16 of
// the index).
#pragma once
#include <cstdint>
#include <memory>

#include "flow.hpp"
#include "packets.hpp"
#include "record.hpp"

namespace snf {

// One line of the processor's cache; the value is in the next: what a packet needs of its flow is fetched with two.
struct alignas(64) Entry {
  static constexpr std::uint8_t no_lane = 0xff;
  Key key;
  std::uint32_t flight;       // the flight that holds this entry, or none
  std::uint32_t generation;   // usable only while it equals the table's
  std::uint32_t quiet_until;  // ticks modulo 2^32: nothing has to be refreshed before
  std::uint16_t size;         // bytes of the value, 0: absent
  std::uint8_t lane;          // index into the batch being made, or no_lane
  bool live : 1;              // this slot is in use
  bool usable : 1;            // a tracked read brought the value and no push has come since
  bool found : 1;             // an untracked read found it since the last own commit: the next read is tracked
  bool recent : 1;            // looked up since the eviction hand passed

  static std::uint32_t ticks(std::uint64_t ms) { return static_cast<std::uint32_t>(ms / 16); }
  bool quiet(std::uint64_t now) const { return static_cast<std::int32_t>(ticks(now) - quiet_until) < 0; }
  std::uint8_t* value() { return reinterpret_cast<std::uint8_t*>(this + 1); }
  Bytes stored() { return {value(), size}; }
};
static_assert(sizeof(Entry) == 64);

struct Unmap {
  void* base = nullptr;
  std::size_t size = 0;
  void operator()(std::uint8_t* memory) const;
};
using Mapping = std::unique_ptr<std::uint8_t, Unmap>;  // memory in huge pages, where there are any

class RecordTable {
 public:
  // `keep`: entries are the truth and are evicted only when their deadline has passed. keys: to be kept by the caller.
  // Throws std::bad_alloc.
  RecordTable(std::uint32_t capacity, std::size_t value_capacity, bool keep, const Keys& keys);

  Entry& operator[](std::uint32_t index) { return *reinterpret_cast<Entry*>(entries_.get() + index * stride_); }
  // hash: of the key, by the table's `keys`.
  std::uint32_t find(const Key& key, std::uint64_t hash);
  // A new entry, absent and unusable; none where there is no room (`now`: ms, decides which entries have ended).
  // evict: others may have to go for it, but none that has a flight or a lane.
  std::uint32_t insert(const Key& key, std::uint64_t hash, std::uint64_t now, bool evict = true);
  void erase(std::uint32_t index);
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(slots() + (hash & mask_)); }
  // Also pulls in the entry that `hash` most likely has, when its slot is in the processor's cache by now.
  void prefetch_entry(std::uint64_t hash);
  void forget_all() { ++generation_; }  // no entry is usable any more
  bool usable(const Entry& entry) const { return entry.usable && entry.generation == generation_; }
  void set_usable(Entry& entry) {
    entry.usable = true;
    entry.generation = generation_;
  }
  // Looks at the next few entries and removes those whose deadline has passed. Called once a step.
  void sweep(std::uint64_t now, unsigned count);
  std::uint32_t size() const { return size_; }
  std::size_t value_capacity() const { return stride_ - sizeof(Entry); }
  bool keep() const { return keep_; }

 private:
  struct Slot {
    std::uint32_t tag;    // upper half of the hash
    std::uint32_t entry;  // index + 1, 0: empty
  };
  Slot* slots() const { return reinterpret_cast<Slot*>(index_.get()); }
  bool ended(Entry& entry, std::uint64_t now) const;
  std::uint32_t free_entry(std::uint64_t now, bool evict);
  std::uint64_t slot_of(std::uint32_t index);
  std::uint64_t home(std::uint32_t index) { return keys_.hash((*this)[index].key) & mask_; }

  std::uint32_t capacity_, size_ = 0, used_ = 0, hand_ = 0, generation_ = 1, free_ = none;
  std::size_t stride_;
  std::uint64_t mask_;
  bool keep_;
  const Keys& keys_;
  Mapping entries_, index_;
};

inline std::uint32_t RecordTable::find(const Key& key, std::uint64_t hash) {
  const auto tag = static_cast<std::uint32_t>(hash >> 32);
  for (std::uint64_t i = hash & mask_;; i = (i + 1) & mask_) {
    const Slot slot = slots()[i];
    if (slot.entry == 0) return none;
    if (slot.tag != tag) continue;
    Entry& entry = (*this)[slot.entry - 1];
    if (entry.key == key) {
      entry.recent = true;
      return slot.entry - 1;
    }
  }
}

inline void RecordTable::prefetch_entry(std::uint64_t hash) {
  const Slot slot = slots()[hash & mask_];
  if (slot.entry == 0) return;
  const std::uint8_t* entry = entries_.get() + (slot.entry - 1) * stride_;
  for (std::size_t at = 0; at < stride_; at += 64) __builtin_prefetch(entry + at);
}

}  // namespace snf
