// The commit protocol, rule by rule (protocol.md), over a store whose every answer is scripted.
#include <doctest/doctest.h>

#include "flights_rig.hpp"
#include "frames.hpp"

using namespace snf;
using tally::Order;

namespace {

constexpr std::uint64_t other = 9ull << 32;  // nonce of another instance

}  // namespace

TEST_CASE("rules 1 and 3: packets of a key wait together, one commit holds all from the first change on") {
  Rig rig(Mode::off);
  for (const std::uint8_t name : {1, 2, 3}) rig.send(Order::count, name);
  rig.send(Order::ask, 4);
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  rig.store->serve();
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(rig.store->requests[0].commit);
  CHECK(rig.store->requests[0].expire_at == rig.now_ms() + tally::lifetime);
  CHECK(rig.out().empty());
  CHECK(rig.events() == 0);
  rig.store->serve();
  CHECK(rig.out().empty());
  rig.step();
  CHECK(rig.out() == "1 2 3 4");
  CHECK(rig.events() == 3);
  CHECK(rig.stored() == "3,6");
  CHECK(rig.pipe->idle());
}

TEST_CASE("rule 3: those in front of the first change leave at once") {
  Rig rig(Mode::off);
  rig.send(Order::ask, 1);
  rig.step();
  rig.store->values[rig.key()] = rig.record(1, 1, other);
  rig.send(Order::count, 2);
  rig.step();
  rig.store->serve();
  rig.step();
  CHECK(rig.out() == "1");
  rig.run();
  CHECK(rig.out() == "2");
}

TEST_CASE("rule 4: a conflict runs the group again on what stands there, in halves") {
  Rig rig(Mode::off);
  for (const std::uint8_t name : {1, 2, 3}) rig.send(Order::count, name);
  rig.step();
  const std::string key = rig.key();
  rig.store->serve();
  rig.step();
  rig.store->values[key] = rig.record(10, 10, other);
  rig.store->serve();
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(rig.store->requests[0].fresh.substr(envelope_size) == std::string{1, 12, 13});  // 1 and 2 alone
  rig.run();
  CHECK(rig.out() == "1 2 3");
  CHECK(rig.stored() == "13,16");
  CHECK(rig.stats.conflicts.get() == 1);
}

TEST_CASE("rule 4: after too many conflicts in a row the group is dropped, what waits goes on") {
  Limits limits;
  limits.conflicts = 2;
  Rig rig(Mode::off, limits);
  rig.send(Order::count, 1);
  rig.step();
  const std::string key = rig.key();
  rig.store->serve();
  rig.step();
  rig.send(Order::count, 2);
  for (std::uint8_t i = 0; i < 3; ++i) {
    rig.store->values[key] = rig.record(i, i, other + i);
    rig.store->serve();
    rig.step();
  }
  CHECK(rig.out() == "1:conflict_limit");
  rig.run();
  CHECK(rig.out() == "2");
  CHECK(rig.stored() == "3,4");
}

TEST_CASE("rule 4: where the record has vanished the flow is new") {
  Rig rig(Mode::off);
  rig.send(Order::count, 1);
  rig.step();
  const std::string key = rig.key();
  rig.store->values[key] = rig.record(10, 10, other);
  rig.store->serve();
  rig.step();
  rig.store->values.clear();
  rig.run();
  CHECK(rig.out() == "1");
  CHECK(rig.stored() == "1,1");
  CHECK(rig.stats.new_flows.get() == 1);
}

TEST_CASE("rule 2: a packet that came after the request was made is not dropped on its answer") {
  for (const Mode mode : {Mode::off, Mode::tracked}) {
    Rig rig(mode);
    rig.send(Order::ask, 1);
    rig.step();
    rig.store->serve();
    rig.send(Order::ask, 2);
    rig.step();
    CHECK(rig.out() == "1:denied");
    REQUIRE(rig.store->requests.size() == 1);
    rig.store->values[rig.key()] = rig.record(1, 1, other);
    rig.run();
    CHECK(rig.out() == "2");
  }
}

TEST_CASE("rule 2: without a cache nothing is decided on an older look-up; with one, FORWARD unchanged is") {
  for (const Mode mode : {Mode::off, Mode::tracked}) {
    Rig rig(mode);
    rig.send(Order::ask, 1);
    rig.step();
    rig.store->values[rig.key()] = rig.record(1, 1, other);
    rig.store->serve();
    rig.send(Order::ask, 2);
    rig.step();
    CHECK(rig.out() == (mode == Mode::off ? "1" : "1 2"));
    CHECK(rig.store->requests.size() == (mode == Mode::off ? 1 : 0));
  }
}

TEST_CASE("rule 2: what rests on absence is decided on a look-up made since, also to forward") {
  Rig rig(Mode::tracked);
  rig.send(Order::pass, 1);
  rig.step();
  rig.store->serve();
  rig.send(Order::pass, 2);
  rig.step();
  CHECK(rig.out() == "1");
  CHECK(rig.store->requests.size() == 1);
  rig.run();
  CHECK(rig.out() == "2");
}

TEST_CASE("rule 6: a refresh is a commit of the same record, and holds nobody unless it is pressing") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  rig.now_us += 3'000'000;
  rig.store->trusted = ~std::uint64_t{0};
  rig.send(Order::ask, 1);
  rig.step();
  CHECK(rig.out() == "1");
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(rig.store->requests[0].commit);
  CHECK(rig.store->requests[0].expire_at == rig.now_ms() + tally::lifetime);
  rig.run();
  rig.now_us += 7'500'000;
  rig.send(Order::ask, 2);
  rig.step();
  rig.store->serve();  // the own commit ended tracking: a look-up first
  rig.step();
  CHECK(rig.out().empty());
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(rig.store->requests[0].commit);
  rig.run();
  CHECK(rig.out() == "2");
  CHECK(rig.stats.refreshes.get() == 1);
  CHECK(rig.stored() == "1,1");
}

TEST_CASE("rule 6: the loser of a refresh takes the winner's record") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  rig.now_us += 3'000'000;
  rig.send(Order::ask, 1);
  rig.step();
  rig.store->values[rig.key()] = rig.record(5, 5, other + 1);
  rig.run();
  CHECK(rig.out() == "1");
  CHECK(rig.stored() == "5,5");
  CHECK(rig.pipe->idle());
}

TEST_CASE("rule 6: a record that lives shorter is refreshed sooner, also by a flow that was quiet") {
  for (const Mode mode : {Mode::baseline, Mode::tracked}) {
    Rig rig(mode);
    rig.send(Order::count, 1);
    for (const std::uint8_t name : {2, 3, 4}) {  // found, read tracked, from the cache: nothing to do for a long time
      rig.run();
      rig.send(Order::ask, name);
    }
    rig.run();
    rig.send(Order::count, 199);
    for (const std::uint8_t name : {5, 6}) {
      rig.run();
      rig.send(Order::ask, name);
    }
    rig.run();
    REQUIRE(rig.stats.refreshes.get() == 0);
    rig.now_us += tally::short_lifetime / 8 * 1250;
    rig.send(Order::ask, 7);
    rig.run();
    CHECK(rig.stats.refreshes.get() == 1);
    CHECK(rig.out() == "1 2 3 4 199 5 6 7");
  }
}

TEST_CASE("rule 6: so is one that another instance has made shorter") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  rig.send(Order::ask, 1);
  rig.run();
  const std::string key = rig.store->values.begin()->first;
  rig.store->values[key] = rig.record(2, 200, other + 1, tally::short_lifetime);
  rig.store->invalidate(key);
  rig.run();
  rig.send(Order::ask, 2);
  rig.run();
  REQUIRE(rig.stats.refreshes.get() == 0);
  rig.now_us += tally::short_lifetime / 8 * 1250;
  rig.send(Order::ask, 3);
  rig.run();
  CHECK(rig.stats.refreshes.get() == 1);
  CHECK(rig.out() == "1 2 3");
}

TEST_CASE("the deadline is that of the last packet that is forwarded, also in a flow that was quiet") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  rig.send(Order::ask, 1);
  rig.run();
  rig.send(Order::count, 2);
  rig.send(Order::pass, 3);
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(rig.store->requests[0].expire_at == rig.now_ms() + tally::lifetime);
}

TEST_CASE("the deadline is that of a packet that keeps the flow alive: not of a fault behind it") {
  for (const Mode mode : {Mode::baseline, Mode::off}) {
    Rig rig(mode);
    rig.send(Order::count, 1);
    rig.send(Order::fail, 2);
    rig.run();
    CHECK(rig.out() == "1 2:function_error");
    rig.now_us += 1'000'000;
    rig.send(Order::ask, 3);
    rig.run();
    CHECK(rig.out() == "3");
  }
}

TEST_CASE("a record past its deadline is absent, and is replaced by its value") {
  Rig rig(Mode::off);
  rig.send(Order::ask, 1);
  rig.send(Order::count, 2);
  rig.step();
  const std::string dead = rig.record(10, 10, other, 0);
  rig.store->values[rig.key()] = dead;
  rig.now_us += 2000;
  rig.store->serve();
  rig.send(Order::count, 3);
  rig.step();
  CHECK(rig.out().empty());  // when they arrived, it was not over yet
  rig.run();
  CHECK(rig.out() == "1 2 3");
  rig.now_us += 9'000'000;
  rig.send(Order::ask, 4);
  rig.send(Order::count, 5);
  rig.run();
  CHECK(rig.out() == "5 4:denied");
  CHECK(rig.stored() == "1,5");
}

TEST_CASE("the baseline processes and commits at once, packet for packet as the store would have it") {
  Rig rig(Mode::baseline);
  rig.send(Order::ask, 1);
  rig.send(Order::count, 2);
  rig.send(Order::refuse, 3);
  rig.send(Order::ask, 4);
  rig.step();
  CHECK(rig.out() == "2 4 1:denied 3:denied");
  CHECK(rig.events() == 2);
  CHECK(rig.pipe->idle());
}

TEST_CASE("fragments: later ones wait for what the first one teaches, and keep behind their flow's packets") {
  Rig rig(Mode::off);
  const auto first = frames::bytes(frames::ipv4_first), later = frames::bytes(frames::ipv4_later);
  rig.port.inject(later, Side::inside, 1);
  rig.run();
  CHECK(rig.out() == "");  // it waits a little for the first one (test_orphans.cpp)
  rig.port.inject(first, Side::inside, 2);
  rig.port.inject(later, Side::inside, 3);
  rig.run();
  CHECK(rig.out() == "2 1 3");
}
