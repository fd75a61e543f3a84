// Flows under two keys, and packets that are rewritten (protocol.md, rules 3 to 7 and 12), by the masking function.
#include "pairs_rig.hpp"

using namespace snf;
using mask::Order;

namespace {
constexpr Mode modes[] = {Mode::baseline, Mode::off, Mode::tracked};
}

TEST_CASE("a flow is opened under two keys, and both ways are translated") {
  for (const Mode mode : modes) {
    PairsRig rig(mode);
    rig.out(Order::keep, 1);
    rig.run();
    rig.in(Order::keep, 2);
    rig.run();
    rig.in(Order::keep, 3, 101);
    rig.run();
    CHECK(rig.left() == "1>100 2>1.5000 3:denied");
    CHECK(rig.stats.new_flows.get() == 1);
    if (rig.store != nullptr) CHECK(rig.stored() == "100,0 100,0");
  }
}

TEST_CASE("no two flows share an outer port, and the second one gets the next") {
  for (const Mode mode : modes) {
    PairsRig rig(mode);
    for (const std::uint8_t host : {1, 2, 3, 4}) rig.out(Order::keep, host, host);
    rig.run();
    for (const std::uint8_t name : {5, 6, 7}) rig.in(Order::keep, name, static_cast<std::uint16_t>(95 + name));
    rig.run();
    const std::string left = rig.left();
    INFO(left);
    CHECK(left.find(":denied") == left.rfind(":denied"));  // whoever came last: its three candidates are taken
    for (const char* word : {":denied", ">100", ">101", ">102", "5>", "6>", "7>"}) {
      CHECK(left.find(word) != std::string::npos);
    }
    CHECK(rig.stats.refusals.get() == 6);
  }
}

TEST_CASE("both keys change together, from either side") {
  for (const Mode mode : {Mode::off, Mode::tracked}) {
    PairsRig rig(mode);
    rig.out(Order::change, 1);
    rig.run();
    rig.in(Order::change, 2);
    rig.run();
    rig.out(Order::change, 3);
    rig.run();
    CHECK(rig.stored() == "100,3 100,3");
    rig.in(Order::refuse, 4);  // a change with a drop: the packet does not say which the other key is
    rig.run();
    CHECK(rig.stored() == "100,4 100,4");
    CHECK(rig.left() == "1>100 2>1.5000 3>100 4:denied");
  }
}

TEST_CASE("baseline: a change by one key is seen by packets of the other in the same burst") {
  PairsRig rig(Mode::baseline);
  rig.out(Order::keep, 1);
  rig.run();
  rig.out(Order::change, 2);
  rig.in(Order::change, 3);
  rig.out(Order::change, 4);
  rig.run();
  std::uint8_t last = 0;
  rig.in(Order::change, 5);
  rig.run();
  CHECK(rig.left() == "1>100 3>1.5000 2>100 4>100 5>1.5000");
  for (const Event& event : rig.pipe->outlet().take_events()) {
    REQUIRE(event.record.size() == mask::record_size);
    last = event.record[2];
  }
  CHECK(last == 4);
}

TEST_CASE("an own commit ends the use of what was cached under the other key") {
  PairsRig rig(Mode::tracked);
  rig.out(Order::keep, 1);
  rig.run();
  for (std::uint8_t name = 2; name < 8; ++name) {
    name % 2 ? rig.out(Order::keep, name) : rig.in(Order::keep, name);
    rig.run();
  }
  const std::uint64_t hits = rig.stats.cache_hits.get();
  rig.in(Order::keep, 8);
  rig.step();
  CHECK(rig.stats.cache_hits.get() == hits + 1);
  rig.out(Order::change, 9);
  rig.run();
  rig.in(Order::keep, 10);
  rig.step();
  CHECK(rig.stats.cache_hits.get() == hits + 2);  // packet 9 alone
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(!rig.store->requests.front().commit);
}

TEST_CASE("a read under way when the record is changed by its other key does not fill the cache") {
  PairsRig rig(Mode::tracked);
  rig.out(Order::keep, 1);
  rig.run();
  rig.in(Order::keep, 2);
  rig.run();
  rig.in(Order::keep, 3);  // found before: this one is tracked
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  REQUIRE(rig.store->requests.front().tracked);
  const Request tracked = rig.store->requests.front();
  rig.store->requests.clear();
  rig.out(Order::change, 4);
  rig.step();
  rig.store->serve();
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);  // the commit
  rig.store->requests.push_front(tracked);
  rig.run();
  rig.in(Order::keep, 5);
  rig.step();
  CHECK(rig.store->requests.size() == 1);
}

TEST_CASE("a flow moves to another second key, and the one before is free") {
  for (const Mode mode : modes) {
    PairsRig rig(mode);
    rig.out(Order::keep, 1);
    rig.run();
    rig.out(Order::move, 2);
    rig.run();
    rig.in(Order::keep, 3, 100);
    rig.in(Order::keep, 4, 110);
    rig.run();
    rig.out(Order::keep, 5, 2);
    rig.run();
    CHECK(rig.left() == "1>100 2>110 4>1.5000 5>100 3:denied");
    if (rig.store != nullptr) CHECK(rig.store->values.size() == 4);
  }
}

TEST_CASE("a flow does not move to a key that another flow has") {
  for (const Mode mode : modes) {
    PairsRig rig(mode);
    rig.out(Order::keep, 1, 1);
    rig.out(Order::keep, 2, 2);
    rig.run();
    rig.out(Order::move, 3, 1);
    rig.run();  // 110
    rig.out(Order::keep, 4, 3);
    rig.run();  // 100, free again
    rig.out(Order::move, 5, 3);
    rig.run();  // not 110, so 111
    const std::string left = rig.left();
    CHECK(left.find("3>110 4>100 5>111") != std::string::npos);
  }
}

TEST_CASE("a commit of a pair whose answer is lost is told by its nonce") {
  PairsRig rig(Mode::off);
  rig.out(Order::keep, 1);
  rig.step();
  rig.store->serve();
  rig.step();
  rig.store->lose_answer();
  rig.run();
  CHECK(rig.left() == "1>100");
  CHECK(rig.stored() == "100,0 100,0");
  CHECK(rig.stats.commits.get() == 1);
}

TEST_CASE("a pair that was not created because its own key came first is run on what stands there") {
  PairsRig rig(Mode::off), other(Mode::off);
  other.out(Order::change, 9);
  other.run();
  rig.out(Order::change, 1);
  rig.step();
  rig.store->serve();  // absent
  rig.step();
  rig.store->values = other.store->values;
  rig.run();
  CHECK(rig.left() == "1>100");
  CHECK(rig.stored() == "100,2 100,2");
  CHECK(rig.stats.refusals.get() == 0);
}

TEST_CASE("a record past its deadline makes way, under both keys") {
  for (const Mode mode : modes) {
    PairsRig rig(mode);
    rig.out(Order::change, 1);
    rig.run();
    rig.now_us += (mask::lifetime + 1000) * 1000;
    rig.out(Order::keep, 2, 2);  // another flow takes the port
    rig.run();
    rig.out(Order::keep, 3, 1);
    rig.run();
    rig.in(Order::keep, 4, 100);
    rig.run();
    CHECK(rig.left() == (mode == Mode::baseline ? "1>100 2>100 3>101 4>2.5000" : "1>100 2>101 3>100 4>1.5000"));
  }
}

TEST_CASE("a pair of which one key has gone is told") {
  PairsRig rig(Mode::off);
  rig.out(Order::keep, 1);
  rig.run();
  REQUIRE(rig.store->values.size() == 2);
  const std::string own = rig.store->requests.empty() ? "" : "";
  std::string inner_key;
  rig.out(Order::keep, 2);
  rig.step();
  inner_key = rig.store->requests.front().key;
  rig.run();
  for (auto value = rig.store->values.begin(); value != rig.store->values.end();) {
    value = value->first == inner_key ? std::next(value) : rig.store->values.erase(value);
  }
  rig.out(Order::change, 3);
  rig.run();
  CHECK(rig.left() == "1>100 2>100 3:pair_broken");
}

TEST_CASE("what a packet cannot say is a named drop") {
  PairsRig rig(Mode::off);
  rig.out(Order::wander, 1);
  rig.run();
  CHECK(rig.left() == "1:not_rewritable");
}

TEST_CASE("a function without timers makes pairs by MSETEX, and keeps changes to one Function") {
  PairsRig rig(Mode::off);
  rig.out(Order::keep, 1);
  rig.step();
  rig.store->serve();
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(rig.store->requests.front().kind == Request::Kind::pair);
  rig.run();
  rig.out(Order::change, 2);
  rig.step();
  rig.store->serve();
  rig.step();
  const Request change = rig.store->requests.front();
  CHECK(change.kind == Request::Kind::put);
  CHECK(!change.anew);
  CHECK(!change.grows);
  CHECK(change.old.size() == envelope_size + mask::record_size + 19);
}

TEST_CASE("a change of the record alone leaves the flow's timer alone") {
  Traits traits = mask::traits;
  traits.timed = true;
  PairsRig rig(Mode::off, {}, traits);
  rig.out(Order::keep, 1);
  rig.step();
  rig.store->serve();
  rig.step();
  CHECK(rig.store->requests.front().timed);
  rig.run();
  rig.in(Order::change, 2);
  rig.step();
  rig.store->serve();
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(rig.store->requests.front().kind == Request::Kind::put);
  CHECK(!rig.store->requests.front().timed);
}

TEST_CASE("a function with timers names what counts its flows") {
  Traits traits = mask::traits;
  traits.timed = true;
  traits.counted = 0;  // the state, 1
  traits.counter = 1;  // port, phase, address, port
  PairsRig rig(Mode::off, {}, traits);
  rig.out(Order::keep, 1);
  rig.step();
  rig.store->serve();
  rig.step();
  const Request made = rig.store->requests.front();
  CHECK(made.kind == Request::Kind::put);
  CHECK(made.timed);
  CHECK(made.grows);
  CHECK(made.anew);
  CHECK(made.counter == made.fresh.substr(envelope_size + 1, 8));
}
