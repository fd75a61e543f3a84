// Neighbours are found, kept, doubted and forgotten: the resolver's states, timers and bounds, without frames.
#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <random>
#include <set>

#include "resolver.hpp"

namespace snf {
namespace {

using What = Resolution::What;

constexpr Address a{0, 1}, b{0, 2};
constexpr Mac first{2, 0, 0, 0, 0, 1}, second{2, 0, 0, 0, 0, 2}, third{2, 0, 0, 0, 0, 3};

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

TEST_CASE(
    "resolver: an unknown neighbour is asked for at once; its answer resolves it for half to one and a half of 30 s") {
  Bench bench;
  CHECK(bench.what(a) == What::pending);
  CHECK(bench.what(a) == What::pending);
  CHECK(bench.ask() == 1);
  CHECK(!bench.unicast);
  bench.now += 500;
  bench.told(a, first);
  CHECK(bench.resolves_to(a, first));
  bench.now += 14'999;
  CHECK(bench.reachable(a));
  CHECK(bench.ask() == 0);
  bench.now += 30'001;
  CHECK(!bench.reachable(a));
}

TEST_CASE("resolver: three tries a second apart, then it has failed for two seconds, then it is looked for again") {
  Bench bench;
  CHECK(bench.what(a) == What::pending);
  bench.ask_in_vain(3);
  CHECK(bench.ask() == 0);
  CHECK(bench.what(a) == What::failed);
  CHECK(bench.stats.failures.get() == 1);
  bench.now += 1'999;
  CHECK(bench.what(a) == What::failed);
  CHECK(bench.ask() == 0);
  bench.now += 1;
  CHECK(bench.what(a) == What::pending);
  CHECK(bench.ask() == 1);
}

TEST_CASE("resolver: a stale neighbour serves on while it alone is asked, then all are, then it has failed") {
  Bench bench;
  bench.find(a, first);
  bench.now += 50'000;
  CHECK(bench.ask() == 0);  // unused, so not asked
  CHECK(bench.resolves_to(a, first));
  bench.ask_in_vain(2);
  CHECK(bench.resolves_to(a, first));
  CHECK(bench.unicast);
  bench.ask_in_vain(1);
  CHECK(bench.unicast);
  CHECK(bench.ask() == 1);
  CHECK(!bench.unicast);
  CHECK(bench.what(a) == What::pending);
  bench.now += 1'000;
  bench.ask_in_vain(2);
  CHECK(bench.ask() == 0);
  CHECK(bench.what(a) == What::failed);
}

TEST_CASE("resolver: an answer that names no MAC confirms the one that is known, and finds nobody (RFC 4861 7.2.5)") {
  Bench bench;
  bench.resolve(a);
  bench.ask();
  bench.resolver.told(Side::inside, a, nullptr, true, bench.now);
  CHECK(bench.what(a) == What::pending);
  bench.told(a, first);
  bench.now += 50'000;
  CHECK(bench.resolves_to(a, first));
  bench.ask();
  bench.resolver.told(Side::inside, a, nullptr, true, bench.now);
  CHECK(bench.reachable(a));
}

TEST_CASE("resolver: what was not asked for finds a neighbour, but confirms nothing") {
  Bench bench;
  bench.resolve(a);
  bench.told(a, first, false);
  CHECK(!bench.reachable(a));
  CHECK(bench.resolves_to(a, first));  // and so it is asked
  CHECK(bench.ask() == 1);
  CHECK(bench.unicast);
  bench.told(a, first, false);
  CHECK(!bench.reachable(a));
  bench.told(a, first);
  CHECK(bench.reachable(a));
}

TEST_CASE("resolver: nothing is learned of who is not looked for") {
  Bench bench;
  bench.told(a, first);
  bench.told(b, first, false);
  CHECK(bench.resolver.size() == 0);
  CHECK(bench.stats.unasked.get() == 1);
  CHECK(bench.what(a) == What::pending);
  bench.resolver.told(Side::outside, a, &first, true, bench.now);
  CHECK(bench.what(a) == What::pending);
}

TEST_CASE("resolver: no message replaces a MAC that still answers") {
  for (bool solicited : {false, true}) {
    Bench bench;
    bench.find(a, first);
    bench.now += 2'000;
    bench.told(a, second, solicited);
    CHECK(bench.resolves_to(a, first));
    CHECK(bench.ask() == 1);
    CHECK(!bench.unicast);
    bench.told(a, second);  // faster than the true one
    CHECK(bench.resolves_to(a, first));
    bench.told(a, first);
    CHECK(bench.reachable(a));
    bench.now += 1'001;
    CHECK(bench.ask() == 0);
    CHECK(bench.resolves_to(a, first));
    CHECK(bench.stats.moves.get() == 0);
    CHECK(bench.stats.doubts.get() == 2);
    bench.now += 50'000;  // and nothing of the other one is left when it is asked again
    bench.resolve(a);
    bench.ask_in_vain(1);
    CHECK(bench.unicast);
    bench.ask();
    CHECK(bench.resolves_to(a, first));
  }
}

TEST_CASE("resolver: a neighbour whose MAC has moved is followed within a second") {
  Bench bench;
  bench.find(a, first);
  bench.now += 2'000;
  bench.told(a, second, false);  // a gateway that has failed over announces itself
  CHECK(bench.ask() == 1);
  bench.told(a, second);
  bench.told(a, third);  // too late
  bench.now += 999;
  CHECK(bench.ask() == 0);
  CHECK(bench.resolves_to(a, first));
  bench.now += 1;
  CHECK(bench.ask() == 0);
  CHECK(bench.resolves_to(a, second));
  CHECK(bench.reachable(a));
  CHECK(bench.stats.moves.get() == 1);
}

TEST_CASE("resolver: doubts make one question a second") {
  Bench bench;
  bench.find(a, first);
  unsigned questions = 0;
  for (int i = 0; i < 10'000; ++i, ++bench.now) {
    bench.told(a, second, false);
    questions += bench.ask();
    bench.told(a, first);
  }
  CHECK(questions >= 9);
  CHECK(questions <= 10);
}

TEST_CASE("resolver: while only announcements name another MAC, it is not taken") {
  Bench bench;
  bench.find(a, first);
  bench.now += 2'000;
  for (int i = 0; i < 3; ++i) {
    bench.told(a, second, false);
    CHECK(bench.ask() == 1);
    CHECK(bench.resolves_to(a, first));
    bench.now += 1'000;
  }
  bench.ask();
  CHECK(bench.what(a) == What::pending);  // the old one is gone, and everybody is asked
}

std::vector<std::uint32_t> all(std::uint32_t (Resolver::*take)(), Resolver& resolver) {
  std::vector<std::uint32_t> handles;
  for (std::uint32_t handle = (resolver.*take)(); handle != none; handle = (resolver.*take)())
    handles.push_back(handle);
  return handles;
}
using Handles = std::vector<std::uint32_t>;

TEST_CASE("resolver: three packets wait, the oldest goes for a fourth; all come back in order") {
  Bench bench;
  const std::uint32_t at = bench.resolve(a).neighbour;
  for (std::uint32_t packet : {10, 11, 12}) CHECK(bench.resolver.hold(at, packet) == none);
  CHECK(bench.resolver.hold(at, 13) == 10);
  CHECK(bench.resolver.hold(at, 14) == 11);
  CHECK(bench.resolver.take_ready() == none);
  bench.ask();
  bench.told(a, first);
  CHECK(all(&Resolver::take_ready, bench.resolver) == Handles{12, 13, 14});
  CHECK(bench.resolver.hold(at, 15) == 15);  // nothing to wait for
  CHECK(bench.resolver.take_failed() == none);
}

TEST_CASE("resolver: packets to who does not answer come back as failed") {
  Bench bench;
  const std::uint32_t at = bench.resolve(a).neighbour;
  bench.resolver.hold(at, 10);
  bench.resolver.hold(at, 11);
  bench.ask_in_vain(3);
  CHECK(bench.ask() == 0);
  CHECK(all(&Resolver::take_failed, bench.resolver) == Handles{10, 11});
  CHECK(bench.resolver.take_ready() == none);
}

TEST_CASE("resolver: what waits is bounded, and what waits to be taken back counts") {
  NeighbourLimits limits;
  limits.held = 4;
  Bench bench(limits);
  const std::uint32_t at = bench.resolve(a).neighbour, other = bench.resolve(b).neighbour;
  for (std::uint32_t packet : {1, 2, 3}) CHECK(bench.resolver.hold(at, packet) == none);
  CHECK(bench.resolver.hold(other, 4) == none);
  CHECK(bench.resolver.hold(other, 5) == 5);
  bench.ask();
  bench.told(a, first);
  CHECK(bench.resolver.hold(other, 6) == 6);
  CHECK(bench.resolver.take_ready() == 1);
  CHECK(bench.resolver.hold(other, 7) == none);
  bench.told(b, first);
  CHECK(all(&Resolver::take_ready, bench.resolver) == Handles{2, 3, 4, 7});
}

TEST_CASE("resolver: a scan pushes out its own, not who answers, and fails what waits for them") {
  NeighbourLimits limits;
  limits.entries = 64, limits.unresolved = 16;
  Bench bench(limits);
  for (std::uint64_t i = 0; i < 48; ++i) bench.find({1, i}, first);
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    const Resolution resolution = bench.resolve({2, i});
    REQUIRE(resolution.what == What::pending);
    REQUIRE(bench.resolver.hold(resolution.neighbour, static_cast<std::uint32_t>(i)) == none);
    REQUIRE(bench.resolver.unresolved() <= 16);
    if (i >= 16) REQUIRE(bench.resolver.take_failed() == i - 16);
  }
  CHECK(bench.resolver.size() == 64);
  for (std::uint64_t i = 0; i < 48; ++i) CHECK(bench.reachable({1, i}));
  CHECK(bench.stats.evictions.get() == 984);
}

TEST_CASE("resolver: in a full table those go that were not used") {
  NeighbourLimits limits;
  limits.entries = 32;
  Bench bench(limits);
  for (std::uint64_t i = 0; i < 32; ++i) bench.find({1, i}, first);
  bench.find({2, 0}, first);  // all had been used: the hand went round once, and the first one went
  CHECK(!bench.reachable({1, 0}));
  for (std::uint64_t i = 1; i < 16; ++i) CHECK(bench.reachable({1, i}));
  for (std::uint64_t i = 1; i < 16; ++i) bench.find({2, i}, first);
  for (std::uint64_t i = 1; i < 16; ++i) CHECK(bench.reachable({1, i}));
  CHECK(bench.resolver.size() == 32);
}

TEST_CASE("resolver: pinned neighbours are asked for at once and never pushed out") {
  NeighbourLimits limits;
  limits.entries = 4, limits.unresolved = 2;
  Bench bench(limits);
  bench.resolver.pin(Side::inside, a);
  bench.resolver.pin(Side::inside, b);
  CHECK(bench.ask() == 2);
  for (std::uint64_t i = 0; i < 100; ++i) bench.resolve({2, i});
  bench.told(a, first);
  bench.told(b, second);
  for (std::uint64_t i = 0; i < 100; ++i) {
    bench.resolve({3, i});
    bench.told({3, i}, first);
  }
  CHECK(bench.resolves_to(a, first));
  CHECK(bench.resolves_to(b, second));
}

TEST_CASE("resolver: a pinned neighbour that has failed is looked for again, and still not pushed out") {
  NeighbourLimits limits;
  limits.entries = 8, limits.unresolved = 2;
  Bench bench(limits);
  bench.resolver.pin(Side::inside, a);
  bench.ask_in_vain(3);
  CHECK(bench.ask() == 0);
  bench.now += 2'000;
  CHECK(bench.what(a) == What::pending);
  for (std::uint64_t i = 0; i < 20; ++i) bench.resolve({2, i});
  bench.told(a, first);
  CHECK(bench.resolves_to(a, first));
}

TEST_CASE("resolver: the sides have different neighbours") {
  NeighbourLimits limits;
  limits.entries = 4;
  Bench bench(limits);
  for (std::uint64_t i = 0; i < 200; ++i) {
    bench.find({1, i}, first);
    REQUIRE(bench.resolver.resolve(Side::outside, {1, i}, bench.now).what == What::pending);
    bench.resolver.told(Side::outside, {1, i}, &second, true, bench.now);
    REQUIRE(bench.resolves_to({1, i}, first));
  }
}

TEST_CASE("resolver: where all is pinned there is no room") {
  NeighbourLimits limits;
  limits.entries = 2;
  Bench bench(limits);
  bench.resolver.pin(Side::inside, a);
  bench.resolver.pin(Side::inside, b);
  bench.resolver.pin(Side::inside, {0, 3});
  CHECK(bench.what({0, 3}) == What::failed);
  CHECK(bench.resolver.size() == 2);
}

TEST_CASE("resolver: questions are limited in rate, and those that had to wait are asked later") {
  NeighbourLimits limits;
  limits.questions_per_second = 10;
  Bench bench(limits);
  for (std::uint64_t i = 0; i < 25; ++i) bench.resolve({2, i});
  CHECK(bench.ask() == 10);
  bench.now += 999;
  CHECK(bench.ask() == 0);
  for (std::uint64_t i = 0; i < 10; ++i) bench.told({2, i}, first);
  bench.now += 1;
  CHECK(bench.ask() == 10);
  for (std::uint64_t i = 10; i < 20; ++i) bench.told({2, i}, first);
  bench.now += 1'000;
  CHECK(bench.ask() == 5);
  CHECK(bench.stats.questions.get() == 25);
}

TEST_CASE("resolver: whatever happens, each packet comes back once and the bounds hold") {
  std::mt19937_64 random(11);
  NeighbourLimits limits;
  limits.entries = 16, limits.unresolved = 6, limits.held = 12;
  Bench bench(limits);
  std::set<std::uint32_t> waiting;
  const auto back = [&](std::uint32_t packet) { REQUIRE(waiting.erase(packet) == 1); };
  for (std::uint32_t packet = 0; packet < 200'000; ++packet) {
    const Address address{0, random() % 40};
    const Mac mac{2, 0, 0, 0, 0, static_cast<std::uint8_t>(random() % 3)};
    const std::uint64_t what = random() % 10;
    if (what < 4) {
      const Resolution resolution = bench.resolve(address);
      if (resolution.what == What::pending) {
        waiting.insert(packet);
        if (const std::uint32_t gone = bench.resolver.hold(resolution.neighbour, packet); gone != none) back(gone);
      }
    } else if (what < 7) {
      bench.told(address, mac, random() % 2 == 0);
    } else if (what < 8) {
      if (bench.resolver.question(bench.now) != nullptr) bench.resolver.asked(bench.now);
    } else if (what < 9) {
      bench.now += random() % 600;
    } else if (random() % 2 == 0) {
      for (std::uint32_t taken : all(&Resolver::take_ready, bench.resolver)) back(taken);
      for (std::uint32_t taken : all(&Resolver::take_failed, bench.resolver)) back(taken);
    }
    REQUIRE(waiting.size() <= 12);
    REQUIRE(bench.resolver.size() <= 16);
    REQUIRE(bench.resolver.unresolved() <= 6);
  }
  for (int i = 0; i < 10; ++i) bench.ask(), bench.now += 1'000;
  for (std::uint32_t taken : all(&Resolver::take_ready, bench.resolver)) back(taken);
  for (std::uint32_t taken : all(&Resolver::take_failed, bench.resolver)) back(taken);
  CHECK(waiting.empty());
}

}  // namespace
}  // namespace snf
