// Which MAC address a neighbour has: RFC 4861 section 7.3, for IPv4 too. Sans-I/O: says what to ask, is told what was
// heard, and gives back the packets that wait, by the caller's handles. Time is ms, monotonic.
//
// Simplified: DELAY is left out, as no upper layer could confirm anything in the meantime, so a stale neighbour that is
// used is asked at once (its MAC serves on). A neighbour that three unicast questions do not reach is asked for three
// times more by multicast before it has failed, as its MAC may have changed.
//
// Spoofing. ARP and ND prove nothing, so the first answer for an unknown neighbour counts. But nothing is learned of
// an address that nobody here asked for, and no message replaces a MAC that still answers: one that names another is a
// reason to ask everybody, at most once a second; the other one is taken when the known one stays silent for a second.
#pragma once
#include <cstdint>
#include <vector>

#include "neighbour_table.hpp"
#include "rate_limit.hpp"
#include "stats.hpp"

namespace snf {

struct NeighbourLimits {
  std::uint32_t entries = 4096;    // at least 1, as the next
  std::uint32_t unresolved = 512;  // of them without a MAC: scans of a subnet make these, so they push out each other
  std::uint32_t held = 1024;       // packets that wait, or are to be taken back
  std::uint32_t questions_per_second = 1000;
};

struct Resolution {
  enum class What : std::uint8_t {
    resolved,    // to `mac`
    pending,     // `hold` the packet, if it is to wait
    failed,      // it has not answered, or there is no room to ask for it
    unroutable,  // neither on-link nor a gateway, or never a host (neighbours.hpp)
  } what;
  Mac mac{};
  std::uint32_t neighbour = none;  // where pending: for `hold`, before any other call
};

class Resolver {
 public:
  static constexpr std::uint64_t retry_ms = 1000;       // RETRANS_TIMER, RFC 4861 section 10
  static constexpr unsigned max_tries = 3;              // MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT
  static constexpr std::uint64_t reachable_ms = 30000;  // REACHABLE_TIME: a half to one and a half of it, at random
  static constexpr std::uint64_t failed_ms = 2000;      // until a packet starts another try; RFC 4861 names no time

  // Throws std::bad_alloc.
  Resolver(const NeighbourLimits& limits, std::uint64_t secret, NeighbourStats& stats);

  // A reachable neighbour costs one look-up of the table.
  bool reachable(Side side, const Address& address, std::uint64_t now, Mac& mac) {
    const std::uint32_t index = table_.find(side, address);
    if (index == none) return false;
    Neighbour& entry = table_[index];
    entry.recent = true;
    mac = entry.mac;
    return now < entry.reachable_until;
  }
  Resolution resolve(Side side, const Address& address, std::uint64_t now);
  // The packet waits for the neighbour, in front of which at most three do (RFC 4861 section 7.2.2; Linux has waited
  // with as many). Returns the handle that has to go for want of room: the oldest one, or this; or none.
  std::uint32_t hold(std::uint32_t neighbour, std::uint32_t packet);
  std::uint32_t take_ready() { return take(ready_); }    // its neighbour is known now; or none
  std::uint32_t take_failed() { return take(failed_); }  // it is not, and will not be; or none
  // All packets that wait can be taken as failed from now on.
  void abandon();
  // Asked for at once, and never evicted.
  void pin(Side side, const Address& address);

  // `address` is at `mac` (nullptr: where it was), somebody says; solicited: as an answer to a question of ours.
  void told(Side side, const Address& address, const Mac* mac, bool solicited, std::uint64_t now);

  // The neighbour that has to be asked for now, or nullptr; then either `asked` follows, or nothing has happened.
  const Neighbour* question(std::uint64_t now);
  void asked(std::uint64_t now);

  bool knows(Side side, const Address& address) const { return table_.find(side, address) != none; }
  std::uint32_t size() const { return table_.size(); }
  std::uint32_t unresolved() const { return unresolved_.size(); }

 private:
  struct Handles {  // of packets; the sum of all is bounded by limits.held
    std::vector<std::uint32_t> ring;
    std::size_t head = 0, count = 0;
  };
  void put(Handles& handles, std::uint32_t packet);
  std::uint32_t take(Handles& handles);
  std::uint32_t enter(Side side, const Address& address);
  bool make_room();
  void evict(std::uint32_t index);
  void move(std::uint32_t index, NeighbourTimer timer);
  void look_for(std::uint32_t index);
  void verify(std::uint32_t index);
  void learn(std::uint32_t index, const Mac& mac, bool confirmed, std::uint64_t now);
  void fail(std::uint32_t index, std::uint64_t now);
  void told_another(std::uint32_t index, const Mac& mac, bool solicited, std::uint64_t now);
  void mark_unresolved(std::uint32_t index, bool unresolved);
  void release_held(std::uint32_t index, Handles& to);
  void expire(std::uint32_t index, std::uint64_t now);
  std::uint64_t reachable_time(std::uint32_t index, std::uint64_t now) const;

  NeighbourLimits limits_;
  NeighbourStats& stats_;
  NeighbourTable table_;
  RateLimit questions_;
  NeighbourList<&Neighbour::timer_links> asking_, waiting_;  // waiting_: all wait equally long, so in order of `due`
  NeighbourList<&Neighbour::unresolved_links> unresolved_;   // oldest first, without pinned ones
  Handles ready_, failed_;
  std::uint32_t held_ = 0;
};

}  // namespace snf
