// Later fragments that are here before the first one's record: they wait a little for it.
#include "pairs_rig.hpp"

using namespace snf;

namespace {

constexpr std::uint16_t identification = 77;

// Of a datagram of 8 + 16 bytes from host 1: the header alone, or the 16 bytes.
std::vector<std::uint8_t> fragment(bool first) {
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

TEST_CASE("a fragment whose first one does not come is dropped after a few looks") {
  PairsRig rig(Mode::off);
  send(rig, false);
  for (int i = 0; i < 3; ++i) rig.run();
  CHECK(rig.left() == "");
  for (int i = 0; i < 6; ++i) rig.run();
  CHECK(rig.left() == "2:fragment_without_first");
  CHECK(rig.stats.reads.get() <= 8);
  CHECK(rig.pipe->idle());
}

TEST_CASE("what rests when the instance stops is dropped") {
  PairsRig rig(Mode::off);
  send(rig, false);
  rig.run();
  rig.pipe->abandon();
  CHECK(rig.left() == "2:stopped");
}
