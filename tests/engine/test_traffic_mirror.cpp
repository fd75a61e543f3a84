// Captured traffic through a NAT of a few lines: what comes back is, byte for byte, what a server that was sent the
// rewritten packet would send, and the ICMP error that a router would.
#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "craft.hpp"
#include "traffic_capture.hpp"
#include "traffic_mirror.hpp"

using namespace snf;

namespace {

Tuple mirrored(const Tuple& tuple) {
  return {tuple.destination_high, tuple.destination_low,  tuple.source_high,
          tuple.source_low,       tuple.destination_port, tuple.source_port};
}

// A flow: a packet from inside, then from outside an answer, a later fragment, and an error about the packet.
struct Played {
  std::vector<craft::Recipe> recipes;
  Tuple sent, left;
  craft::Bytes expected(std::size_t number, bool known) const {
    const Tuple& mine = known ? left : sent;
    return craft::frame(recipes[number], number == 0 ? sent : number == 3 ? mine : mirrored(mine));
  }
};

Played random_flow(std::mt19937& random) {
  Played played;
  craft::Recipe recipe;
  recipe.four = random() % 2 == 0;
  recipe.payload = std::array{craft::Payload::tcp, craft::Payload::udp, craft::Payload::echo}[random() % 3];
  for (unsigned i = 0; i < 4; ++i) {
    recipe.seed = static_cast<std::uint32_t>(random());
    played.recipes.push_back(recipe);
  }
  played.recipes[2].cut = craft::Cut::later_fragment;
  played.recipes[3].error = true;
  played.sent = craft::random_tuple(random, recipe);
  played.left = played.sent;
  const Tuple other = craft::random_tuple(random, recipe);
  played.left.source_high = other.source_high;
  played.left.source_low = other.source_low;
  played.left.source_port = other.source_port;
  if (recipe.payload == craft::Payload::echo) played.left.destination_port = other.source_port;
  return played;
}

// Forwards or drops the first packet as `drops` says, and looks at all that come.
void play(const Played& played, bool opened_inside, bool drops) {
  std::vector<craft::Bytes> frames;
  std::vector<CapturedFrame> capture;
  for (std::size_t i = 0; i < played.recipes.size(); ++i) frames.push_back(played.expected(i, false));
  for (std::size_t i = opened_inside ? 0 : 1; i < frames.size(); ++i) {
    capture.push_back({i == 0 ? Side::inside : Side::outside, frames[i], 1});
  }
  TrafficPort port(std::make_unique<MirroredFlows>(std::make_unique<CaptureFlows>(capture)), 1, 1);
  for (std::size_t i = opened_inside ? 0 : 1; i < frames.size(); ++i) {
    Frame frame;
    REQUIRE(port.receive(&frame, 1) == 1);
    REQUIRE(craft::Bytes(frame.data, frame.data + frame.length) == played.expected(i, opened_inside && !drops));
    if (i == 0 && drops) {
      port.release(&frame, 1);
      continue;
    }
    PacketRecord packet;
    Layout layout;
    REQUIRE(parse(frame, packet, layout).what == Parsed::flow);
    if (i == 0) REQUIRE(rewrite(frame, packet, layout, played.left));
    port.transmit(opposite(frame.side), &frame, 1);
  }
  CHECK(port.flows() == 1);
}

}  // namespace

TEST_CASE("mirrored traffic: answers, fragments and errors are about the packet as it left") {
  std::mt19937 random(11);
  for (int round = 0; round < 1000; ++round) play(random_flow(random), true, false);
}

TEST_CASE("mirrored traffic: a packet that was dropped changes nothing, nor does a flow from outside") {
  std::mt19937 random(12);
  for (int round = 0; round < 200; ++round) {
    play(random_flow(random), true, true);
    play(random_flow(random), false, false);
  }
}

TEST_CASE("mirrored traffic: what was learnt outlives a dropped packet, and ends with its flow") {
  std::mt19937 random(13);
  const Played flow = random_flow(random);
  const craft::Bytes there = flow.expected(0, false), back = flow.expected(1, false);
  const std::vector<CapturedFrame> capture = {
      {Side::inside, there, 1}, {Side::inside, there, 1}, {Side::outside, back, 1}, {Side::outside, back, 2}};
  TrafficPort port(std::make_unique<MirroredFlows>(std::make_unique<CaptureFlows>(capture)), 1, 1);
  const auto next = [&port](Frame& frame) {
    REQUIRE(port.receive(&frame, 1) == 1);
    return craft::Bytes(frame.data, frame.data + frame.length);
  };
  Frame frame;
  REQUIRE(next(frame) == there);
  PacketRecord packet;
  Layout layout;
  REQUIRE(parse(frame, packet, layout).what == Parsed::flow);
  REQUIRE(rewrite(frame, packet, layout, flow.left));
  port.transmit(Side::outside, &frame, 1);
  REQUIRE(next(frame) == there);
  port.release(&frame, 1);
  CHECK(next(frame) == flow.expected(1, true));
  port.transmit(Side::inside, &frame, 1);
  CHECK(next(frame) == back);
  CHECK(port.flows() == 2);
}
