// A network function of a few lines, and packets for it: TCP segments whose window is an order and whose sequence
// number is a name. The record is (1, total, sum of the names).
#pragma once
#include <cstring>
#include <vector>

#include "checksum.hpp"
#include "function.hpp"
#include "record.hpp"

namespace snf::tally {

// count: change, report the total, forward. ask: forward if there is a record. refuse: change and drop. pass: forward.
// fail, park: a fault.
enum Order : std::uint16_t { count, ask, refuse, fail, pass, park };
inline constexpr std::size_t record_size = 3;
inline constexpr std::uint64_t lifetime = 8000, short_lifetime = 800;  // ms; short: while the sum is 200

inline void change(Job& job) {
  job.after[0] = 1;
  job.after[1] = static_cast<std::uint8_t>(job.before[1] + 1);
  job.after[2] = static_cast<std::uint8_t>(job.before[2] + job.packet->sequence);
  job.packet->effects[0] = static_cast<std::uint32_t>(Effect::event) << 24 | job.after[1];
  job.packet->effect_count = 1;
}

inline void process(Job& job) {
  const std::uint16_t order = job.packet->window;
  std::memcpy(job.after, job.before, record_size);
  job.fault = order == fail ? fault_raised : order == park ? fault_park : fault_none;
  job.changed = order == count || order == refuse;
  job.verdict = order == ask ? (job.before[0] != 0 ? verdict_forward : verdict_drop | 1 << 8) : verdict_forward;
  if (order == refuse) job.verdict = verdict_drop | 2 << 8;
  if (job.changed) change(job);
  const bool asked = !job.fault && (job.changed || job.lifetime != 0);
  job.lifetime = !asked ? 0 : job.after[2] == 200 ? short_lifetime : lifetime;
}

inline void burst(Job* jobs, std::uint64_t number, const Table*, std::uint64_t) {
  for (std::uint64_t i = 0; i < number; ++i) process(jobs[i]);
}

// Ethernet, IPv4 10.0.0.1 > 192.0.2.9, TCP from port 1000 + flow, ACK.
inline std::vector<std::uint8_t> frame(Order order, std::uint8_t name, std::uint8_t flow = 0) {
  std::vector<std::uint8_t> bytes(54);
  const auto put = [&bytes](std::size_t at, std::initializer_list<std::uint8_t> values) {
    std::copy(values.begin(), values.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(12, {8, 0, 0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 192, 0, 2, 9});
  put(34, {3, static_cast<std::uint8_t>(232 + flow), 0, 80, 0, 0, 0, name, 0, 0, 0, 0, 0x50, 16, 0,
           static_cast<std::uint8_t>(order)});
  const auto fold = [&bytes](std::size_t at, std::uint64_t sum) {
    const auto value = static_cast<std::uint16_t>(~checksum_fold(sum));
    std::memcpy(&bytes[at], &value, 2);
  };
  fold(24, checksum_add(0, &bytes[14], 20));
  fold(50, checksum_add(pseudo_header_sum(&bytes[14], 6, 20), &bytes[34], 20));
  return bytes;
}

}  // namespace snf::tally
