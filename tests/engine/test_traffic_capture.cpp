// A capture as endless traffic: the first pass is the capture itself, later ones have other clients and right
// checksums.
#include <doctest/doctest.h>

#include <array>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "frames.hpp"
#include "packet.hpp"
#include "traffic_capture.hpp"

using namespace snf;

namespace {

using Octets = std::vector<std::uint8_t>;

// Forwards `count` packets one at a time; gives them in the order in which they came.
std::vector<std::pair<Side, Octets>> play(TrafficPort& port, unsigned count) {
  std::vector<std::pair<Side, Octets>> all;
  for (unsigned i = 0; i < count; ++i) {
    Frame frame;
    REQUIRE(port.receive(&frame, 1) == 1);
    all.emplace_back(frame.side, Octets(frame.data, frame.data + frame.length));
    port.transmit(opposite(frame.side), &frame, 1);
  }
  return all;
}

PacketRecord parsed(std::pair<Side, Octets>& packet) {
  PacketRecord record{};
  Layout layout;
  const auto size = static_cast<std::uint32_t>(packet.second.size());
  const Frame frame{packet.second.data(), size, size, nullptr, packet.first};
  REQUIRE(parse(frame, record, layout).what == Parsed::flow);
  CHECK(checksums_hold(frame, record, layout));
  if (layout.quoted_network != 0 && record.version == 4) {
    CHECK(checksum_fold(checksum_add(0, frame.data + layout.quoted_network, 20)) == 0xffff);
  }
  return record;
}

TrafficPort capture_traffic(const std::vector<CapturedFrame>& frames, unsigned open_flows) {
  return {std::make_unique<CaptureFlows>(frames), open_flows, 1};
}

}  // namespace

TEST_CASE("capture traffic: one flow at a time gives the capture, then the same with other clients") {
  for (const std::string_view text : {frames::ipv4_syn, frames::ipv4_udp, frames::ipv4_echo, frames::ipv4_options_udp,
                                      frames::ipv4_unreachable, frames::ipv4_unreachable_tcp, frames::ipv6_udp,
                                      frames::ipv6_syn, frames::ipv6_chain, frames::ipv6_echo, frames::ipv6_too_big}) {
    const Octets octets = frames::bytes(text);
    const bool error =
        text == frames::ipv4_unreachable || text == frames::ipv4_unreachable_tcp || text == frames::ipv6_too_big;
    // An error from outside quotes a packet that the client sent.
    const std::vector<CapturedFrame> capture = {{error ? Side::outside : Side::inside, octets, 9}};
    TrafficPort port = capture_traffic(capture, 1);
    auto packets = play(port, 300);
    CHECK(packets[0].second == octets);
    std::set<std::pair<std::uint64_t, std::uint64_t>> clients;
    const PacketRecord first = parsed(packets[0]);
    CHECK((static_cast<Kind>(first.kind) == Kind::icmp_error) == error);
    for (auto& packet : packets) {
      const PacketRecord record = parsed(packet);
      clients.emplace(record.source_high, record.source_low);
      CHECK((record.source_high >> 40) == (first.source_high >> 40));
      CHECK(record.destination_low == first.destination_low);
      CHECK(record.source_port == first.source_port);
    }
    CHECK(clients.size() == 300);
  }
}

TEST_CASE("capture traffic: flows keep their order and sides, are interleaved, and never end") {
  const Octets there = frames::bytes(frames::ipv4_syn), back = frames::bytes(frames::ipv4_ack);
  std::vector<CapturedFrame> capture;
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t flow = 0; flow < 5; ++flow) {
      capture.push_back({round == 1 ? Side::outside : Side::inside, round == 1 ? back : there, flow});
    }
  }
  TrafficPort port = capture_traffic(capture, 4);
  std::map<void*, unsigned> step;
  std::array<Frame, 8> held;
  for (int burst = 0; burst < 300; ++burst) {
    const unsigned count = port.receive(held.data(), 8);
    REQUIRE(count == 4);  // one packet of each open flow
    for (unsigned i = 0; i < count; ++i) {
      CHECK((held[i].side == Side::outside) == (step[held[i].handle]++ % 3 == 1));
      port.transmit(opposite(held[i].side), &held[i], 1);
    }
  }
  CHECK(port.flows() == 400);
}

TEST_CASE("capture traffic: what is no flow stays as it is; an empty capture is refused") {
  const Octets arp = frames::bytes(frames::arp_request);
  const std::vector<CapturedFrame> capture = {{Side::inside, arp, 0}};
  TrafficPort port = capture_traffic(capture, 1);
  for (const auto& packet : play(port, 10)) CHECK(packet.second == arp);
  CHECK_THROWS_AS(capture_traffic({}, 1), std::invalid_argument);
}
