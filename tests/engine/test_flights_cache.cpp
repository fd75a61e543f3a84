// When a record may be used without asking (protocol.md, rules 2 and 11 to 14).
#include <doctest/doctest.h>

#include "flights_rig.hpp"

using namespace snf;
using tally::Order;

namespace {

constexpr std::uint64_t other = 9ull << 32;  // nonce of another instance

}  // namespace

TEST_CASE("rule 2: a fault on a cached record is looked into afresh") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  rig.send(Order::fail, 1);
  rig.step();
  CHECK(rig.out().empty());
  CHECK(rig.store->requests.size() == 1);
  rig.run();
  CHECK(rig.out() == "1:function_error");
}

TEST_CASE("a packet that a function wants parked is dropped under a name of its own") {
  Rig rig(Mode::baseline);
  rig.send(Order::park, 1);
  rig.run();
  CHECK(rig.out() == "1:not_parked");
  CHECK(rig.stats.drops[static_cast<unsigned>(Drop::function_error)].get() == 0);
}

TEST_CASE("rules 11 and 12: found twice, a record is read tracked and then used without asking") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  CHECK(rig.stats.reads.get() == 1);
  CHECK(rig.stats.tracked_reads.get() == 1);
  rig.send(Order::ask, 1);
  rig.step();
  CHECK(rig.out() == "1");
  CHECK(rig.store->requests.empty());
  CHECK(rig.stats.cache_hits.get() == 1);
}

TEST_CASE("rule 11: an absent key is never read tracked") {
  Rig rig(Mode::tracked);
  for (const std::uint8_t name : {1, 2, 3}) {
    rig.send(Order::ask, name);
    rig.run();
  }
  CHECK(rig.stats.tracked_reads.get() == 0);
  CHECK(rig.stats.reads.get() == 3);
}

TEST_CASE("rule 12: after an own commit the record is read before it is used") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  rig.send(Order::count, 1);
  rig.run();
  CHECK(rig.out() == "1");
  rig.send(Order::ask, 2);
  rig.step();
  CHECK(rig.out().empty());
  CHECK(rig.store->requests.size() == 1);
}

TEST_CASE("rule 13: an invalidation is obeyed, also between a reply and its use") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  const std::string key = rig.store->values.begin()->first;
  rig.store->invalidate(key);
  rig.send(Order::ask, 1);
  rig.step();
  REQUIRE(rig.store->requests.size() == 1);
  CHECK(rig.store->requests[0].tracked);
  rig.store->serve();
  rig.store->invalidate(key);  // behind the reply, in the same poll
  rig.step();
  CHECK(rig.out() == "1");
  rig.send(Order::ask, 2);
  rig.step();
  CHECK(rig.store->requests.size() == 1);
  rig.run();
  rig.store->invalidate_all();
  rig.send(Order::ask, 3);
  rig.step();
  CHECK(rig.store->requests.size() == 1);
}

TEST_CASE("rule 14: a record is used only while the store is known to answer, and not close to its deadline") {
  Rig rig(Mode::tracked);
  warm(rig, other);
  rig.store->trusted = rig.now_us + 120;
  rig.send(Order::ask, 1);
  rig.step();
  CHECK(rig.out() == "1");
  rig.step();
  rig.send(Order::ask, 2);
  rig.step();
  CHECK(rig.out().empty());
  CHECK(rig.store->requests.size() == 1);
  rig.run();
  rig.store->trusted = ~std::uint64_t{0};
  rig.now_us += (tally::lifetime - Limits{}.guard_ms) * 1000;
  rig.out();
  rig.send(Order::ask, 3);
  rig.step();
  CHECK(rig.out().empty());
}

TEST_CASE("a cache that is full forgets, and drops nothing") {
  Limits limits;
  limits.flows = 4;
  limits.flights = 2;
  Rig rig(Mode::tracked, limits);
  for (std::uint8_t round = 0; round < 3; ++round) {
    for (std::uint8_t flow = 0; flow < 40; ++flow) {
      rig.send(Order::count, flow, flow);
      rig.run();
      REQUIRE(rig.out() == std::to_string(flow));
    }
  }
  CHECK(rig.stats.records.get() <= 4);
}
