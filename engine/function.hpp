// What the engine knows of a network function: the shape of its record and one compiled function for a burst.
// The shared object that the builder emits (statelessnf/builder.py) exports:
//   uint32_t snf_abi;  uint32_t snf_record_size;  void snf_burst(Job*, uint64_t, const Table*, uint64_t services);
//   int64_t (*snf_classify_pointer)(uint64_t services, const void* packet);   set by the engine after loading
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "packet.hpp"

namespace snf {

inline constexpr std::uint32_t function_abi = 2;
inline constexpr std::size_t max_record_size = 96;  // bytes of the function's own fields

// Low byte of Job::verdict. The next byte of a DROP is an index into the function's own reasons, plus one; 0: `denied`.
enum Verdict : std::uint32_t { verdict_drop = 0, verdict_forward = 1, verdict_park = 2 };

// Effects: kind in the top byte, argument below. `reject`: a Refusal (reject.hpp).
// `event`: log line with a code of the function (bits 16..23) and a 16-bit value. `count`: adds one to
// function_counters[argument].
enum class Effect : std::uint8_t { none = 0, reject = 1, event = 2, count = 3 };

// A packet that the function could not be done with: it raised, or it wants the packet parked, and nobody parks any.
enum Fault : std::uint16_t { fault_none = 0, fault_raised = 1, fault_park = 2 };

struct Job {
  PacketRecord* packet;        // in; `effects` are out
  const std::uint8_t* before;  // record fields without envelope, unaligned; all zero where there is no record
  std::uint8_t* after;         // out: working copy, `before` as changed by process
  std::uint64_t lifetime;      // in: not 0 to ask for it in any case; out: ms, lifetime(after), if asked for or changed
  std::uint32_t verdict;       // out
  std::uint16_t fault;         // out: a Fault; but for `none` `after` equals `before`, and there are no effects
  std::uint16_t changed;       // in: 1 if `before` is the `after` of an earlier job; out: 1 if `after` differs from it
};
static_assert(sizeof(Job) == 40);

struct Table {
  const void* data;
  std::uint64_t rows;
};

using Burst = void (*)(Job* jobs, std::uint64_t count, const Table* tables, std::uint64_t services);
using Classify = std::int64_t (*)(std::uint64_t services, const void* packet);

}  // namespace snf
