// Packets that wait for a neighbour come back once, and hostile scans meet bounds.
#include <random>
#include <set>

#include "resolver_rig.hpp"

namespace snf {
namespace {

using namespace neighbours_test;

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
