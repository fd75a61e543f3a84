// Every queue and table has a bound, and what is refused has a name.
#include <doctest/doctest.h>

#include "flights_rig.hpp"

using namespace snf;
using tally::Order;

namespace {

constexpr std::uint64_t other = 9ull << 32;  // nonce of another instance

}  // namespace

TEST_CASE("a packet with a bad checksum changes nothing, those behind it are processed without it") {
  for (const Mode mode : {Mode::baseline, Mode::off, Mode::tracked}) {
    Rig rig(mode);
    rig.send(Order::count, 1);
    rig.send(Order::count, 2, 0, true);
    rig.send(Order::count, 3);
    rig.send(Order::count, 4, 0, true);
    rig.send(Order::ask, 5);
    rig.run();
    CHECK(rig.out() == "1 3 5 2:bad_checksum 4:bad_checksum");
    rig.send(Order::count, 6, 1, true);
    rig.send(Order::ask, 7, 1);
    rig.run();
    CHECK(rig.out() == "6:bad_checksum 7:denied");
    if (rig.store != nullptr) CHECK(rig.stored() == "2,4");
  }
}

TEST_CASE("every queue is bounded, and what finds one full is dropped under a name") {
  Limits limits;
  limits.queue = 2;
  limits.flights = 1;
  Rig rig(Mode::off, limits);
  for (const std::uint8_t name : {1, 2, 3}) rig.send(Order::ask, name);
  rig.send(Order::ask, 4, 1);
  rig.step();
  CHECK(rig.out() == "3:queue_full 4:flights_full");
  rig.run();
  CHECK(rig.out() == "1:denied 2:denied");

  limits.packets = 2;
  Rig small(Mode::off, limits);
  for (const std::uint8_t name : {1, 2, 3}) small.send(Order::ask, name);
  small.step();
  CHECK(small.out() == "3:packets_full");
}

TEST_CASE("the baseline's table is bounded, and keeps what has not ended") {
  Limits limits;
  limits.flows = 2;
  Rig rig(Mode::baseline, limits);
  for (const std::uint8_t flow : {1, 2, 3}) rig.send(Order::count, flow, flow);
  rig.run();
  CHECK(rig.out() == "1 2 3:flow_table_full");
  rig.now_us += 9'000'000;
  rig.send(Order::count, 3, 3);
  rig.run();
  CHECK(rig.out() == "3");
}

TEST_CASE("new flows are limited in rate, and not admitted where the store is nearly full; known ones go on") {
  for (const Mode mode : {Mode::baseline, Mode::off}) {
    Limits limits;
    limits.new_flows_per_s = 2;
    Rig rig(mode, limits);
    for (const std::uint8_t flow : {1, 2, 3}) rig.send(Order::count, flow, flow);
    rig.run();
    CHECK(rig.out() == "1 2 3:new_flow_limit");
    rig.now_us += 500'000;
    rig.send(Order::count, 4, 3);
    rig.run();
    CHECK(rig.out() == "4");
    rig.now_us += 500'000;
    rig.pipe->admit(false);
    rig.send(Order::count, 5, 3);
    rig.send(Order::count, 6, 4);
    rig.run();
    CHECK(rig.out() == "5 6:store_full");
  }
}

TEST_CASE("what the store refuses or cannot be read is dropped under a name, and the flow goes on") {
  Rig rig(Mode::off);
  rig.send(Order::count, 1);
  rig.step();
  const std::string key = rig.key();
  rig.store->serve();
  rig.step();
  rig.store->answer(Answer::full);
  rig.step();
  CHECK(rig.out() == "1:store_full");
  rig.send(Order::ask, 2);
  rig.step();
  rig.store->answer(Answer::error);
  rig.step();
  CHECK(rig.out() == "2:store_error");
  for (const std::string& value :
       {std::string("x"), rig.record(1, 1, other) + "x", "\2" + rig.record(1, 1, other).substr(1)}) {
    rig.send(Order::ask, 3);
    rig.store->values[key] = value;
    rig.run();
    CHECK(rig.out() == "3:record_invalid");
  }
  rig.store->values[key] = rig.record(1, 1, other);
  rig.send(Order::ask, 4);
  rig.run();
  CHECK(rig.out() == "4");
}

TEST_CASE("what is in flight when the pipe ends is dropped under a name") {
  Rig rig(Mode::off);
  rig.send(Order::ask, 1);
  rig.send(Order::ask, 2);
  rig.step();
  rig.pipe->abandon();
  CHECK(rig.out() == "1:stopped 2:stopped");
  CHECK(rig.pipe->idle());
  CHECK(rig.port.lent() == 0);
}
