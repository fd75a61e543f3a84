// A translator of a few lines, and UDP datagrams for it: inner hosts 10.0.0.x share 203.0.113.9, whose port is 100 more
// than the attempt; servers are at 192.0.2.9. A datagram's length says what is to be done; a later fragment opens no
// flow. Record: (1, port, phase).
#pragma once
#include <cstring>
#include <vector>

#include "checksum.hpp"
#include "function.hpp"
#include "program.hpp"
#include "wire.hpp"

namespace snf::mask {

enum Order : std::uint8_t { keep = 0, change = 1, move = 2, refuse = 3, wander = 4 };  // payload bytes
inline constexpr std::size_t record_size = 3 + 4 + 2;  // state, port, phase; inner address and port
inline constexpr std::uint64_t lifetime = 8000;        // ms
inline constexpr std::uint32_t outer = 0xcb007109, server = 0xc0000209, inner = 0x0a000000;
inline constexpr std::uint64_t mapped = mapped_prefix << 32;
inline constexpr Traits traits{.rewrites = true};

inline void open(Job& job) {
  const PacketRecord& packet = *job.packet;
  job.after[0] = 1;
  job.after[1] = static_cast<std::uint8_t>(100 + packet.attempt);
  store32(job.after + 3, static_cast<std::uint32_t>(packet.source_low));
  store16(job.after + 7, packet.source_port);
}

inline void process(Job& job) {
  PacketRecord& packet = *job.packet;
  const auto order = static_cast<Order>(packet.payload_length);
  std::memcpy(job.after, job.before, record_size);
  job.verdict = verdict_drop | 1 << 8;
  job.changed = job.fault = 0;
  job.lifetime = lifetime;
  const bool later = packet.kind == static_cast<std::uint8_t>(Kind::fragment);
  if (job.before[0] == 0 && (packet.direction == 1 || packet.attempt > 2 || later)) return;
  if (job.before[0] == 0) open(job);
  if (order == change || order == refuse) ++job.after[2];
  if (order == move) job.after[1] = static_cast<std::uint8_t>(job.after[1] + 10 + packet.attempt);
  job.changed = std::memcmp(job.before, job.after, record_size) != 0;
  packet.effects[0] = static_cast<std::uint32_t>(Effect::event) << 24 | job.after[1];
  packet.effect_count = job.changed;
  if (order == refuse) return;
  job.verdict = verdict_forward;
  if (packet.direction == 0) {
    packet.source_low = mapped | outer;
    packet.source_port = job.after[1];
  } else {
    packet.destination_low = mapped | load32(job.after + 3);
    packet.destination_port = load16(job.after + 7);
  }
  if (order == wander) packet.destination_high = 1;  // no such address in an IPv4 header
}

inline void burst(Job* jobs, std::uint64_t number, const Table*, std::uint64_t) {
  for (std::uint64_t i = 0; i < number; ++i) process(jobs[i]);
}

struct End {
  std::uint32_t address;
  std::uint16_t port;
};

// Ethernet, IPv4, UDP; `name` is the identification, and the last byte of the sender's MAC address.
inline std::vector<std::uint8_t> frame(Order order, std::uint8_t name, End from, End to) {
  std::vector<std::uint8_t> bytes(42u + order);
  bytes[0] = bytes[6] = 2;
  bytes[11] = name;
  store16(&bytes[12], ethertype::ipv4);
  bytes[14] = 0x45;
  store16(&bytes[16], static_cast<std::uint16_t>(28 + order));
  store16(&bytes[18], name);
  bytes[22] = 64;
  bytes[23] = protocol::udp;
  store32(&bytes[26], from.address);
  store32(&bytes[30], to.address);
  store16(&bytes[34], from.port);
  store16(&bytes[36], to.port);
  store16(&bytes[38], static_cast<std::uint16_t>(8 + order));
  const auto fold = [&bytes](std::size_t at, std::uint64_t sum) {
    const auto value = static_cast<std::uint16_t>(~checksum_fold(sum));
    std::memcpy(&bytes[at], &value, 2);
  };
  fold(24, checksum_add(0, &bytes[14], 20));
  fold(40, checksum_add(pseudo_header_sum(&bytes[14], protocol::udp, 8u + order), &bytes[34], 8u + order));
  return bytes;
}

}  // namespace snf::mask
