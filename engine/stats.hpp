// Counters with one name for each reason to drop, and latency histograms.
// One writer (the pipe's thread); readers on other threads see values that are at most a moment old.
#pragma once
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace snf {

// X(name, what it means) - the name is what operators see in every output.
#define SNF_DROPS(X)                                                             \
  X(truncated, "frame shorter than its headers say")                             \
  X(malformed, "header fields that contradict each other")                       \
  X(bad_checksum, "wrong IP or transport checksum")                              \
  X(not_ip, "neither IP nor ARP")                                                \
  X(unsupported_header, "IPv6 extension header that hides the transport header") \
  X(fragment_tiny, "first fragment without the whole transport header")          \
  X(fragment_overlap, "later fragment that would overlap the transport header")  \
  X(fragment_without_first, "later fragment of which no first one was seen")     \
  X(scattered, "frame in more buffers than the port can join")                   \
  X(packets_full, "too many packets in flight in this pipe")                     \
  X(flights_full, "too many flows waiting for the store in this pipe")           \
  X(queue_full, "too many packets of one flow waiting")                          \
  X(flow_table_full, "memory store: no room for another flow")                   \
  X(new_flow_limit, "more new flows per second than allowed")                    \
  X(conflict_limit, "too many conflicting commits on one flow")                  \
  X(unknown_outcome, "a commit of unknown fate, and others committed since")     \
  X(store_unavailable, "no answer from the store")                               \
  X(store_full, "the store refused a commit for lack of memory")                 \
  X(store_error, "the store answered with an error")                             \
  X(record_invalid, "a stored record of unknown schema or size")                 \
  X(pair_broken, "the two keys of a flow hold different records")                \
  X(function_error, "the network function raised an error")                      \
  X(not_parked, "the network function wants the packet parked, which cannot be") \
  X(not_rewritable, "the function wants what the packet cannot say")             \
  X(neighbour_unknown, "the next hop did not answer ARP or neighbour discovery") \
  X(no_route, "neither on-link nor a gateway to the destination")                \
  X(transmit_full, "the outgoing port took no more")                             \
  X(stopped, "in flight when the instance stopped")                              \
  X(denied, "the network function said so")

enum class Drop : std::uint8_t {
#define X(name, text) name,
  SNF_DROPS(X)
#undef X
      count_
};
inline constexpr std::size_t drop_count = static_cast<std::size_t>(Drop::count_);
std::string_view name_of(Drop drop);
std::string_view meaning_of(Drop drop);

// Reasons that a function names itself: verdict DROP with an index below this.
inline constexpr std::size_t function_drop_count = 16;
inline constexpr std::size_t function_counter_count = 4096;

// A counter that one thread writes and others read.
class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// A level that one thread sets and others read.
class Gauge {
 public:
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Log-linear latency histogram in nanoseconds: 16 steps an octave, so within 6 %.
class Histogram {
 public:
  static constexpr unsigned steps = 16;
  static constexpr unsigned buckets = 44 * steps;
  void add(std::uint64_t nanoseconds, std::uint64_t times = 1) { counts_[bucket_of(nanoseconds)].add(times); }
  std::uint64_t count(unsigned bucket) const { return counts_[bucket].get(); }
  static std::uint64_t upper_bound(unsigned bucket);  // the largest value in it
  static unsigned bucket_of(std::uint64_t nanoseconds);
  struct Total {
    std::uint64_t count = 0, nanoseconds = 0;
  };
  Total total() const;  // each value counts as the middle of its bucket

 private:
  std::array<Counter, buckets> counts_;
};

// Of ARP and neighbour discovery (neighbours.hpp).
struct NeighbourStats {
  Counter taken;            // messages that were for the deployment: neither passed nor dropped
  Counter questions;        // sent
  Counter answers;          // sent for owned addresses
  Counter answers_limited;  // not sent, as answers are limited in rate
  Counter conflicts;        // messages of others that claim an owned address
  Counter unasked;          // answers to the deployment about neighbours that this pipe does not look for
  Counter doubts;           // messages that named another MAC than the known one
  Counter moves;            // neighbours that answer from another MAC
  Counter failures;         // neighbours that did not answer
  Counter evictions;        // neighbours forgotten for want of room
  Gauge known;              // neighbours in the table
};

struct Stats {
  Counter received[2], received_bytes[2];    // by Side
  Counter forwarded[2], forwarded_bytes[2];  // by Side on which it left
  Counter passed;                            // ARP, neighbour discovery
  Counter generated;                         // RST, ICMP unreachable, ARP, neighbour discovery
  Counter answers_limited;                   // packets to reject that got no answer, as answers are limited in rate
  Counter cache_hits;                        // packets decided on a cached record
  Counter reads, tracked_reads, commits, refreshes, conflicts, unknown_outcomes, reruns;
  Counter invalidations, cache_flushes, reconnects;
  Counter new_flows;     // records created by this pipe
  Counter refusals;      // second keys that were wanted and belonged to another flow
  Counter effects_lost;  // events that found the event queue full
  Counter beats;         // sent, to each target
  Counter beats_lost;    // could not be sent
  Gauge records;         // held: cached, or all there are for the baseline
  Gauge in_flight;       // flows waiting for the store
  Gauge available;       // 1: the store answers, or there is none to ask
  std::array<Counter, drop_count> drops;
  std::array<Counter, function_drop_count> function_drops;
  std::array<Counter, function_counter_count> function_counters;
  std::unique_ptr<NeighbourStats> neighbours;  // none: the pipe has no neighbours
  Histogram latency;                           // ns from receive to transmit
  Histogram store_latency;                     // ns from request to reply

  std::uint64_t dropped() const;
};

}  // namespace snf
