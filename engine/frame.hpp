// One frame in memory that somebody else owns (a DPDK mbuf, a slab of a memory port).
// A port lends frames to a pipe; the pipe gives each back exactly once, by transmit or release.
#pragma once
#include <cstdint>

namespace snf {

enum class Side : std::uint8_t { inside = 0, outside = 1 };

struct Frame {
  std::uint8_t* data = nullptr;
  std::uint32_t length = 0;     // bytes, Ethernet header included, FCS excluded
  std::uint32_t capacity = 0;   // bytes that may be written from `data` on
  void* handle = nullptr;       // the port's own; opaque to everybody else
  Side side = Side::inside;     // where it was received
  std::uint8_t unused[7] = {};  // so that a copy is two whole moves
};

constexpr Side opposite(Side side) { return side == Side::inside ? Side::outside : Side::inside; }

}  // namespace snf
