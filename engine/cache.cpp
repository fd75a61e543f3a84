#include "cache.hpp"

#include <sys/mman.h>

#include <new>

namespace snf {

namespace {

constexpr std::size_t huge_page = 2 << 20;

std::size_t round_up(std::size_t size, std::size_t unit) { return (size + unit - 1) / unit * unit; }

// Flows are looked up at random: with small pages each look-up would wait for the page tables, too.
Mapping map_memory(std::size_t size) {
  const std::size_t mapped = round_up(size, huge_page) + huge_page;
  void* base = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  const std::size_t skipped = -reinterpret_cast<std::uintptr_t>(base) % huge_page;
  std::uint8_t* memory = static_cast<std::uint8_t*>(base) + skipped;
  madvise(memory, mapped - huge_page, MADV_HUGEPAGE);
  return Mapping(memory, Unmap{base, mapped});
}

constexpr unsigned eviction_tries = 512;

}  // namespace

void Unmap::operator()(std::uint8_t*) const { munmap(base, size); }

// The index is a quarter full at most, but for the luck of the hash in a segment.
RecordTable::RecordTable(std::uint32_t capacity, std::size_t value_capacity, bool keep, const Keys& keys)
    : capacity_(capacity),
      stride_(sizeof(Entry) + round_up(value_capacity, sizeof(Entry))),
      keep_(keep),
      last_level_(first_level + 1),
      keys_(keys) {
  while (segments << last_level_ < std::uint64_t{capacity} * 4) ++last_level_;
  levels_.fill(first_level);
  entries_ = map_memory(capacity * stride_);
  index_ = map_memory((segments << (last_level_ + 1)) * sizeof(Slot));
}

// For one slot more in a segment, which doubles where it would be more than half full. Its memory is as new: nothing
// was there before. False: all of the largest segment is taken.
bool RecordTable::make_room(std::size_t number) {
  const Segment before = segment_at(number);
  if (counts_[number] * 2 < before.mask) return true;
  if (levels_[number] == last_level_) return counts_[number] < before.mask;
  ++levels_[number];
  const Segment after = segment_at(number);
  for (const Slot *slot = before.slots, *end = slot + before.mask + 1; slot != end; ++slot) {
    if (slot->entry != 0) place(after, *slot);
  }
  return true;
}

std::uint32_t RecordTable::insert(const Key& key, std::uint64_t hash, std::uint64_t now, bool evict) {
  const std::size_t number = segment_number(tag_of(hash));
  if (!make_room(number)) return none;
  const std::uint32_t index = free_entry(now, evict);
  if (index == none) return none;
  Entry& entry = (*this)[index];
  entry.key = key;
  entry.flight = none;
  entry.lane = Entry::no_lane;
  entry.generation = 0;
  entry.quiet_until = Entry::ticks(now);
  entry.size = 0;
  entry.live = true;
  entry.usable = entry.found = false;
  entry.recent = true;
  place(segment_at(number), Slot{tag_of(hash), index + 1});
  ++counts_[number];
  ++size_;
  return index;
}

// Linear probing without tombstones: later members of the run move up into the hole.
void RecordTable::erase(std::uint32_t index) {
  const std::uint32_t tag = tag_of(keys_.hash((*this)[index].key));
  const auto [slots, mask] = segment_at(segment_number(tag));
  std::uint32_t hole = tag & mask;
  while (slots[hole].entry != index + 1) hole = (hole + 1) & mask;
  for (std::uint32_t i = (hole + 1) & mask; slots[i].entry != 0; i = (i + 1) & mask) {
    if (((i - slots[i].tag) & mask) >= ((i - hole) & mask)) {
      slots[hole] = slots[i];
      hole = i;
    }
  }
  slots[hole] = Slot{0, 0};
  --counts_[segment_number(tag)];
  Entry& entry = (*this)[index];
  entry.live = false;
  entry.flight = free_;  // the free list runs through the entries
  free_ = index;
  --size_;
}

bool RecordTable::ended(Entry& entry, std::uint64_t now) const {
  return entry.size >= envelope_size && read_envelope(entry.value()).deadline < now;
}

std::uint32_t RecordTable::free_entry(std::uint64_t now, bool evict) {
  if (free_ == none && used_ < capacity_) return used_++;
  for (unsigned i = 0; evict && free_ == none && i < eviction_tries; ++i) {
    Entry& entry = (*this)[hand_];
    const bool held = entry.flight != none || entry.lane != Entry::no_lane;
    const bool tired = i >= eviction_tries / 2;  // a cache may forget what is in use
    if (!held && (keep_ ? ended(entry, now) : !entry.recent || tired)) erase(hand_);
    entry.recent = false;
    hand_ = (hand_ + 1) % capacity_;
  }
  const std::uint32_t index = free_;
  if (index != none) free_ = (*this)[index].flight;
  return index;
}

void RecordTable::sweep(std::uint64_t now, unsigned count) {
  for (unsigned i = 0; i < count && used_ > 0; ++i) {
    hand_ = (hand_ + 1) % used_;
    Entry& entry = (*this)[hand_];
    const bool idle = entry.live && entry.flight == none && entry.lane == Entry::no_lane;
    if (idle && (ended(entry, now) || (keep_ && entry.size == 0))) erase(hand_);
  }
}

}  // namespace snf
