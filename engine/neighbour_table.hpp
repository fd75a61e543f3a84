// The neighbours of an instance by side and address: a hash table of fixed capacity, and lists through its entries.
// Storage only; what a state means and when it changes is resolver.hpp's. Memory is allocated once.
#pragma once
#include <cstdint>
#include <vector>

#include "addresses.hpp"
#include "link.hpp"
#include "packets.hpp"

namespace snf {

// RFC 4861 section 7.3.2. `known` is REACHABLE until `reachable_until`, then STALE.
enum class NeighbourState : std::uint8_t { incomplete, known, probing, failed };
enum class NeighbourTimer : std::uint8_t { idle, asking, waiting };

struct Links {
  std::uint32_t previous = none, next = none;
};

struct alignas(64) Neighbour {
  static constexpr unsigned max_held = 3;

  Address address;
  std::uint64_t reachable_until = 0;  // ms; 0 unless known
  std::uint32_t next = none;          // of the same bucket
  Mac mac{};
  Side side = Side::inside;
  NeighbourState state = NeighbourState::incomplete;
  bool live = false;
  bool recent = false;  // used since the eviction hand passed
  bool pinned = false;  // never evicted
  // What follows is not read for a packet to a reachable neighbour.
  bool doubted = false;     // another MAC was named for it: everybody is asked, not the known MAC alone
  bool unresolved = false;  // in the list of those that are evicted first
  bool rival_known = false;
  NeighbourTimer timer = NeighbourTimer::idle;
  std::uint8_t tries = 0;  // questions sent in this state
  std::uint8_t held_count = 0;
  Mac rival{};            // answered to our question, while the known MAC has not yet
  std::uint64_t due = 0;  // ms: end of the wait for an answer; of the time that failed lasts
  Links timer_links, unresolved_links;
  std::uint32_t held[max_held] = {none, none, none};
};

class NeighbourTable {
 public:
  // Throws std::bad_alloc. `secret` keys the hash, so that nobody outside can aim at one bucket.
  NeighbourTable(std::uint32_t capacity, std::uint64_t secret);

  Neighbour& operator[](std::uint32_t index) { return entries_[index]; }
  const Neighbour& operator[](std::uint32_t index) const { return entries_[index]; }
  std::uint32_t find(Side side, const Address& address) const;  // or none
  std::uint32_t insert(Side side, const Address& address);      // not there yet, and the table is not full
  void erase(std::uint32_t index);                              // in no list any more
  // Not pinned, and not used since it was passed over last; none if all are pinned.
  std::uint32_t least_used();
  bool full() const { return free_.empty(); }
  std::uint32_t size() const { return static_cast<std::uint32_t>(entries_.size() - free_.size()); }
  std::uint32_t capacity() const { return static_cast<std::uint32_t>(entries_.size()); }  // indexes are below it
  std::uint64_t hash(Side side, const Address& address) const;

 private:
  std::uint32_t& bucket_of(Side side, const Address& address) { return buckets_[hash(side, address) & mask_]; }

  std::vector<Neighbour> entries_;
  std::vector<std::uint32_t> buckets_, free_;
  std::uint64_t mask_, secret_;
  std::uint32_t hand_ = 0;
};

// First in, first out; a member can leave from anywhere.
template <Links Neighbour::*links>
class NeighbourList {
 public:
  bool empty() const { return head_ == none; }
  std::uint32_t front() const { return head_; }
  std::uint32_t size() const { return size_; }
  void push(NeighbourTable& table, std::uint32_t index) {
    table[index].*links = {tail_, none};
    (tail_ == none ? head_ : (table[tail_].*links).next) = index;
    tail_ = index;
    ++size_;
  }
  void remove(NeighbourTable& table, std::uint32_t index) {
    const Links at = table[index].*links;
    (at.previous == none ? head_ : (table[at.previous].*links).next) = at.next;
    (at.next == none ? tail_ : (table[at.next].*links).previous) = at.previous;
    --size_;
  }

 private:
  std::uint32_t head_ = none, tail_ = none, size_ = 0;
};

}  // namespace snf
