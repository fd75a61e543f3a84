#include "neighbour_table.hpp"

#include <bit>

#include "flow.hpp"

namespace snf {

NeighbourTable::NeighbourTable(std::uint32_t capacity, std::uint64_t secret)
    : entries_(capacity),
      buckets_(std::bit_ceil(std::uint64_t{capacity} * 2), none),
      mask_(buckets_.size() - 1),
      secret_(secret | 1) {
  free_.reserve(capacity);
  for (std::uint32_t i = capacity; i > 0; --i) free_.push_back(i - 1);
}

std::uint64_t NeighbourTable::hash(Side side, const Address& address) const {
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
  const std::uint64_t mixed = fold(address.low ^ secret_, address.high ^ odd ^ static_cast<std::uint64_t>(side));
  return fold(mixed ^ secret_, odd);
}

std::uint32_t NeighbourTable::find(Side side, const Address& address) const {
  std::uint32_t index = buckets_[hash(side, address) & mask_];
  while (index != none && (entries_[index].address != address || entries_[index].side != side)) {
    index = entries_[index].next;
  }
  return index;
}

std::uint32_t NeighbourTable::insert(Side side, const Address& address) {
  const std::uint32_t index = free_.back();
  free_.pop_back();
  Neighbour& entry = entries_[index] = Neighbour{};
  std::uint32_t& bucket = bucket_of(side, address);
  entry.address = address;
  entry.side = side;
  entry.live = true;
  entry.next = bucket;
  bucket = index;
  return index;
}

void NeighbourTable::erase(std::uint32_t index) {
  std::uint32_t* link = &bucket_of(entries_[index].side, entries_[index].address);
  while (*link != index) link = &entries_[*link].next;
  *link = entries_[index].next;
  entries_[index].live = false;
  free_.push_back(index);
}

std::uint32_t NeighbourTable::least_used() {
  for (std::size_t passed = 0; passed <= 2 * entries_.size(); ++passed) {
    const std::uint32_t index = hand_;
    hand_ = hand_ + 1 < entries_.size() ? hand_ + 1 : 0;
    Neighbour& entry = entries_[index];
    if (!entry.live || entry.pinned) continue;
    if (!entry.recent) return index;
    entry.recent = false;
  }
  return none;
}

}  // namespace snf
