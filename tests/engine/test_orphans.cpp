// Later fragments that are here before the first one's record, or before their flow's: they wait for it.
#include "pairs_rig.hpp"

using namespace snf;

namespace {

// Of a datagram of 8 + 16 bytes from host 1: the header alone, or the 16 bytes.
std::vector<std::uint8_t> fragment(bool first, std::uint16_t identification = 77) {
  auto frame = mask::frame(mask::Order::keep, 1, {mask::inner | 1, 5000}, {mask::server, 53});
  if (!first) frame.assign(frame.begin(), frame.begin() + 34), frame.resize(50);
  store16(&frame[16], static_cast<std::uint16_t>(frame.size() - 14));
  store16(&frame[18], identification);
  store16(&frame[20], first ? 0x2000 : 1);
  if (first) store16(&frame[38], 24);
  store16(&frame[24], 0);
  const auto sum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, &frame[14], 20)));
  std::memcpy(&frame[24], &sum, 2);
  return frame;
}

void send(PairsRig& rig, bool first) { rig.port.inject(fragment(first), Side::inside, first ? 1 : 2); }

// What another instance has written of a first fragment: whose ports it has, and the flow that it opened.
struct Written {
  Written() : whole(Mode::off) {
    send(whole, true);
    whole.run();
    for (const auto& value : whole.store->values) {
      const bool fragment = value.second.size() == envelope_size + fragment_record_size;
      (fragment ? ports : flow).insert(value);
    }
    REQUIRE(ports.size() == 1);
    REQUIRE(flow.size() == 2);
  }
  PairsRig whole;
  decltype(ScriptedStore::values) ports, flow;
};

// Until something leaves, or the time is over; ms.
std::uint64_t wait(PairsRig& rig, std::string& left, std::uint64_t most) {
  const std::uint64_t start = rig.now_us;
  for (left = ""; left.empty() && rig.now_us < start + most * 1000; left = rig.left()) {
    rig.now_us += 500;
    rig.step();
    rig.store->serve();
  }
  return (rig.now_us - start) / 1000;
}

}  // namespace

TEST_CASE("a later fragment that overtook the first one follows it") {
  for (const Mode mode : {Mode::off, Mode::tracked}) {
    PairsRig rig(mode);
    send(rig, false);
    rig.run();
    CHECK(rig.left() == "");
    CHECK(!rig.pipe->idle());
    send(rig, true);
    rig.run();
    CHECK(rig.left() == "1>100 2>0");
    CHECK(rig.pipe->idle());
  }
}

TEST_CASE("both in one burst, the wrong way round") {
  PairsRig rig(Mode::off);
  send(rig, false);
  send(rig, true);
  for (int i = 0; i < 12; ++i) {  // less time than anything rests
    rig.now_us -= 40;
    rig.step();
    rig.store->serve();
  }
  CHECK(rig.left() == "1>100 2>0");
}

TEST_CASE("the first one's record comes from another instance meanwhile") {
  PairsRig rig(Mode::off), other(Mode::off);
  send(rig, false);
  rig.run();
  send(other, true);
  other.run();
  CHECK(other.left() == "1>100");
  rig.store->values = other.store->values;
  for (int i = 0; i < 3; ++i) rig.run();
  CHECK(rig.left() == "2>0");
}

TEST_CASE("a later fragment waits for the flow that the first one is opening") {
  Written written;
  PairsRig rig(Mode::off);
  rig.store->values = written.ports;
  send(rig, false);
  for (int i = 0; i < 3; ++i) rig.run();
  CHECK(rig.left() == "");
  rig.store->values.insert(written.flow.begin(), written.flow.end());
  for (int i = 0; i < 6; ++i) rig.run();
  CHECK(rig.left() == "2>0");
  CHECK(rig.pipe->idle());
}

TEST_CASE("while one waits for its flow, what opens that goes before it") {
  Written written;
  for (const bool same_burst : {false, true}) {
    PairsRig rig(Mode::off);
    rig.store->values = written.ports;
    send(rig, false);
    if (!same_burst) rig.run();
    rig.out(mask::keep, 3);
    for (int i = 0; i < (same_burst ? 1 : 20); ++i) {
      rig.now_us -= 50;  // less time than it would rest
      rig.step();
      rig.store->serve();
    }
    if (same_burst) rig.run();
    CHECK(rig.left() == "3>100 2>0");
    CHECK(rig.stats.new_flows.get() == 1);
  }
}

TEST_CASE("a commit in doubt holds what waited as well as what went before it") {
  Written written;
  PairsRig rig(Mode::off);
  rig.store->values = written.ports;
  send(rig, false);
  rig.run();
  rig.out(mask::keep, 3);
  const auto until = [&rig](bool commit) {
    while (rig.store->requests.empty() || rig.store->requests.front().commit != commit) {
      rig.store->serve(1);
      rig.step();
    }
  };
  until(true);
  rig.store->lose();
  until(false);
  until(true);
  rig.store->values.insert(written.flow.begin(), written.flow.end());  // another instance's: it may have replaced ours
  rig.run();
  CHECK(rig.left() == "3:unknown_outcome 2:unknown_outcome");
}

TEST_CASE("a fragment of a flow that is never opened is dropped for the reason that the function gave") {
  Written written;
  PairsRig rig(Mode::off);
  rig.store->values = written.ports;
  send(rig, false);
  std::string left;
  CHECK(wait(rig, left, 10'000) >= 2000);
  CHECK(left == "2:denied");
  CHECK(rig.pipe->idle());
}

TEST_CASE("a fragment may be seconds ahead of its first one, and is dropped after that") {
  for (const bool comes : {true, false}) {
    PairsRig rig(Mode::off);
    send(rig, false);
    std::string left;
    wait(rig, left, 1900);
    CHECK(left == "");
    if (comes) send(rig, true);
    wait(rig, left, 10'000);
    CHECK(left == (comes ? "1>100 2>0" : "2:fragment_without_first"));
    CHECK(rig.stats.reads.get() <= 20);
    CHECK(rig.pipe->idle());
  }
}

TEST_CASE("a flood of orphans has few places, and half of them for a few milliseconds only") {
  PairsRig rig(Mode::off);  // with a sixteenth of 256
  const auto flood = [&rig](std::uint16_t from) {
    for (std::uint16_t i = 0; i < 20; ++i) rig.port.inject(fragment(false, from + i), Side::inside, from + i);
    rig.run();
    return rig.drops(Drop::fragment_without_first);
  };
  CHECK(flood(100) == 4);
  for (int i = 0; i < 300; ++i) rig.run();  // more than half a second
  CHECK(rig.drops(Drop::fragment_without_first) == 12);
  CHECK(flood(200) == 24);
}

TEST_CASE("what rests when the instance stops is dropped") {
  PairsRig rig(Mode::off);
  send(rig, false);
  rig.run();
  rig.pipe->abandon();
  CHECK(rig.left() == "2:stopped");
}
