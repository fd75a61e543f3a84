// Commits of unknown fate (protocol.md, rule 7; docs/decisions/unknown-outcome.md), and a store that is gone.
#include <doctest/doctest.h>

#include "flights_rig.hpp"

using namespace snf;
using tally::Order;

namespace {

constexpr std::uint64_t other = 9ull << 32;  // nonce of another instance

}  // namespace

TEST_CASE("rule 7: a commit of unknown outcome that was written is told by its nonce") {
  Rig rig(Mode::off);
  rig.send(Order::count, 1);
  rig.step();
  rig.store->serve();
  rig.step();
  rig.store->lose_answer();
  rig.step();
  CHECK(rig.out().empty());
  rig.run();
  CHECK(rig.out() == "1");
  CHECK(rig.stored() == "1,1");
  CHECK(rig.stats.unknown_outcomes.get() == 1);
  CHECK(rig.stats.new_flows.get() == 1);
}

TEST_CASE("rule 7: one that was not written is made again") {
  Rig rig(Mode::off);
  rig.send(Order::count, 1);
  rig.step();
  rig.store->serve();
  rig.step();
  rig.store->lose();
  rig.run();
  CHECK(rig.out() == "1");
  CHECK(rig.stored() == "1,1");
}

TEST_CASE("rule 7: where somebody else's record stands, its packets are dropped, and others go on") {
  Rig rig(Mode::off);
  rig.send(Order::count, 1);
  rig.step();
  const std::string key = rig.key();
  rig.store->serve();
  rig.step();
  rig.send(Order::ask, 2);
  rig.store->lose_answer();
  rig.store->values[key] = rig.record(2, 9, other);
  rig.run();
  CHECK(rig.out() == "2 1:unknown_outcome");
  CHECK(rig.stored() == "2,9");
}

namespace {

// Packets 1 and 2 in a commit that is lost, looked for in vain, and made again; 3 waits. Leaves the second commit.
std::string doubtful(Rig& rig) {
  rig.send(Order::count, 1);
  rig.send(Order::count, 2);
  rig.step();
  rig.store->serve();
  rig.step();
  const std::string late = rig.store->requests.front().fresh;
  rig.store->lose();
  rig.step();
  rig.step();
  rig.store->serve();
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  REQUIRE(rig.store->requests[0].commit);
  rig.send(Order::count, 3);
  rig.step();
  return late;
}

}  // namespace

TEST_CASE("rule 7: a commit in doubt that is written late has happened, and is not counted again") {
  Rig rig(Mode::off);
  const std::string late = doubtful(rig);
  rig.store->values[rig.key()] = late;
  rig.run();
  CHECK(rig.out() == "1 2 3");
  CHECK(rig.stored() == "3,6");
}

TEST_CASE("rule 7: a commit in doubt that may lie below somebody else's is not made again") {
  Rig rig(Mode::off);
  doubtful(rig);
  rig.store->values[rig.key()] = rig.record(3, 30, other);  // which counts 1 and 2, or not
  rig.run();
  CHECK(rig.out() == "3 1:unknown_outcome 2:unknown_outcome");
  CHECK(rig.stored() == "4,33");
}

TEST_CASE("rule 7: of two commits in doubt either may be written") {
  Rig rig(Mode::off);
  const std::string late = doubtful(rig);
  const std::string key = rig.key();
  rig.store->lose();
  rig.step();
  rig.step();
  rig.store->serve();  // nothing there yet
  rig.step();
  rig.store->values[key] = late;
  rig.run();
  const std::string out = rig.out();
  CHECK(out == "3 1:unknown_outcome 2:unknown_outcome");
  CHECK(rig.stored() == "3,6");
}

TEST_CASE("rule 7: what came behind a commit in doubt is not taken for a part of it") {
  Rig rig(Mode::off);
  const std::string late = doubtful(rig);
  const std::string key = rig.key();
  rig.store->answer(Answer::full);  // 1 and 2 are dropped
  rig.step();
  rig.store->serve();
  rig.step();  // 3 is committed on its own
  rig.store->values[key] = late;
  rig.run();
  CHECK(rig.out() == "3 1:store_full 2:store_full");
  CHECK(rig.stored() == "3,6");
}

TEST_CASE("a store that is gone: waiting packets are kept as long as a record would be trusted, then dropped") {
  Rig rig(Mode::off);
  rig.send(Order::ask, 1);
  rig.step();
  rig.store->up = false;
  rig.store->lose();
  rig.run();
  CHECK(rig.out().empty());
  rig.send(Order::ask, 2, 1);
  rig.step();
  CHECK(rig.out() == "2:store_unavailable");
  rig.now_us += Limits{}.stale_us + 1000;
  rig.step();
  CHECK(rig.out() == "1:store_unavailable");
  CHECK(rig.pipe->idle());
}
