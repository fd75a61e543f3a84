// The record table: flow key -> the value last seen in the store, and whether it may be used without asking again.
// With a store it is a cache that may be dropped at any time (protocol.md, rules 11 to 14). Without one (the baseline)
// it is the truth. Fixed capacity; memory is touched only as flows come (128 bytes a flow for the firewall, and some 32
// of the index). The index is in segments that grow one by one, so that it is as dense with a few flows as with many:
// spread over its full size, each flow would take a line of the processor's cache there for itself.
#pragma once
#include <array>
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
  void prefetch(std::uint64_t hash) const {
    const Segment segment = segment_of(hash);
    __builtin_prefetch(segment.slots + (tag_of(hash) & segment.mask));
  }
  // Also pulls in the entry that `hash` most likely has, when its slot is in the processor's cache by now. bytes: of
  // its value that will be read.
  void prefetch_entry(std::uint64_t hash, std::size_t bytes);
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
  // All whose hash begins alike, by the lower bits of their tags; a power of two of slots.
  struct Segment {
    Slot* slots;
    std::uint32_t mask;
  };
  static constexpr std::size_t segments = 256;
  static constexpr std::uint8_t first_level = 3;  // log2 of a segment's slots: one line of the processor's cache
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  static std::size_t segment_number(std::uint32_t tag) { return tag >> 24; }
  Segment segment_of(std::uint64_t hash) const { return segment_at(segment_number(tag_of(hash))); }
  // Segments of one level lie side by side, behind all that are smaller.
  Segment segment_at(std::size_t number) const {
    const std::uint8_t level = levels_[number];
    return {reinterpret_cast<Slot*>(index_.get()) + ((segments + number) << level), (1u << level) - 1};
  }
  static void place(const Segment& segment, Slot slot) {
    std::uint32_t i = slot.tag & segment.mask;
    while (segment.slots[i].entry != 0) i = (i + 1) & segment.mask;
    segment.slots[i] = slot;
  }
  bool make_room(std::size_t number);
  bool ended(Entry& entry, std::uint64_t now) const;
  std::uint32_t free_entry(std::uint64_t now, bool evict);

  std::uint32_t capacity_, size_ = 0, used_ = 0, hand_ = 0, generation_ = 1, free_ = none;
  std::size_t stride_;
  bool keep_;
  std::uint8_t last_level_;
  const Keys& keys_;
  std::array<std::uint8_t, segments> levels_;
  std::array<std::uint32_t, segments> counts_{};  // of the slots that are taken
  Mapping entries_, index_;
};

inline std::uint32_t RecordTable::find(const Key& key, std::uint64_t hash) {
  const std::uint32_t tag = tag_of(hash);
  const Segment segment = segment_of(hash);
  for (std::uint32_t i = tag & segment.mask;; i = (i + 1) & segment.mask) {
    const Slot slot = segment.slots[i];
    if (slot.entry == 0) return none;
    if (slot.tag != tag) continue;
    Entry& entry = (*this)[slot.entry - 1];
    if (entry.key == key) {
      entry.recent = true;
      return slot.entry - 1;
    }
  }
}

inline void RecordTable::prefetch_entry(std::uint64_t hash, std::size_t bytes) {
  const Segment segment = segment_of(hash);
  const Slot slot = segment.slots[tag_of(hash) & segment.mask];
  if (slot.entry == 0) return;
  const std::uint8_t* entry = entries_.get() + (slot.entry - 1) * stride_;
  for (std::size_t at = 0; at < sizeof(Entry) + bytes; at += 64) __builtin_prefetch(entry + at);
}

}  // namespace snf
