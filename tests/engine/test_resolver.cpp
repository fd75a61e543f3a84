// Neighbours are found, kept and doubted: the resolver's states and timers, without frames.
#include "resolver_rig.hpp"

namespace snf {
namespace {

using namespace neighbours_test;

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

}  // namespace
}  // namespace snf
