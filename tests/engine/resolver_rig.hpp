// A resolver as its tests use it: time, questions and answers without frames.
#pragma once
#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "resolver.hpp"

namespace snf::neighbours_test {

using What = Resolution::What;

inline constexpr Address a{0, 1}, b{0, 2};
inline constexpr Mac first{2, 0, 0, 0, 0, 1}, second{2, 0, 0, 0, 0, 2}, third{2, 0, 0, 0, 0, 3};

struct Bench {
  explicit Bench(const NeighbourLimits& limits = {}) : resolver(limits, 0x5eed, stats) {}

  Resolution resolve(const Address& address) { return resolver.resolve(Side::inside, address, now); }
  What what(const Address& address) { return resolve(address).what; }
  bool resolves_to(const Address& address, const Mac& mac) {
    const Resolution resolution = resolve(address);
    return resolution.what == What::resolved && resolution.mac == mac;
  }
  bool reachable(const Address& address) {
    Mac mac;
    return resolver.reachable(Side::inside, address, now, mac);
  }
  void told(const Address& address, const Mac& mac, bool solicited = true) {
    resolver.told(Side::inside, address, &mac, solicited, now);
  }
  // Sends all questions that are due; how many, and whether the last one was to the known MAC alone.
  unsigned ask() {
    unsigned count = 0;
    while (const Neighbour* neighbour = resolver.question(now)) {
      unicast = neighbour->state == NeighbourState::probing && !neighbour->doubted;
      resolver.asked(now);
      ++count;
    }
    return count;
  }
  void find(const Address& address, const Mac& mac) {
    resolve(address);
    ask();
    told(address, mac);
    REQUIRE(reachable(address));
  }
  // Each of these tries waits a second for an answer, and none comes.
  void ask_in_vain(unsigned tries) {
    for (unsigned i = 0; i < tries; ++i) {
      REQUIRE(ask() == 1);
      now += 999;
      REQUIRE(ask() == 0);
      now += 1;
    }
  }

  std::uint64_t now = 1'000'000;
  bool unicast = false;
  NeighbourStats stats;
  Resolver resolver;
};

// All handles that can be taken back, in order.
inline std::vector<std::uint32_t> all(std::uint32_t (Resolver::*take)(), Resolver& resolver) {
  std::vector<std::uint32_t> handles;
  for (std::uint32_t handle = (resolver.*take)(); handle != none; handle = (resolver.*take)())
    handles.push_back(handle);
  return handles;
}
using Handles = std::vector<std::uint32_t>;

}  // namespace snf::neighbours_test
