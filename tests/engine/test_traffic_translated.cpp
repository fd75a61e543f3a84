// Made-up traffic through devices that rewrite it: a NAT and a load balancer of a few lines. What the device gets has
// to be what a wire would bring it, answers to what it sent included; what clients send and get has to be whole flows.
#include <doctest/doctest.h>

#include <array>
#include <span>
#include <vector>

#include "traffic_tcp.hpp"
#include "translating_device.hpp"

using namespace snf;
using namespace snf::translating;

namespace {

TrafficPort translated_traffic(unsigned packets, unsigned open_flows, unsigned frame_bytes, Service service = {}) {
  return {std::make_unique<TranslatedTcpFlows>(packets, open_flows, frame_bytes, 1, service), open_flows, 1};
}

void play(TrafficPort& port, Device& device, unsigned bursts) {
  std::array<Frame, 32> frames;
  for (unsigned burst = 0; burst < bursts; ++burst) {
    const unsigned count = port.receive(frames.data(), 32);
    REQUIRE(count == 32);
    for (const Frame& frame : std::span(frames).first(count)) {
      device.pass(frame) ? static_cast<void>(port.transmit(opposite(frame.side), &frame, 1)) : port.release(&frame, 1);
    }
  }
}

}  // namespace

TEST_CASE("translated traffic: through a NAT answers go to the outer endpoint, and flows are whole") {
  for (const unsigned frame_bytes : {64u, 1500u}) {
    TrafficPort port = translated_traffic(20, 100, frame_bytes);
    Device nat(Side::inside, as_outer);
    play(port, nat, 2000);
    CHECK(nat.observer.finished.size() > 3000);
    CHECK(nat.observer.open.size() <= 100);
    CHECK(nat.far.size() == port.flows());
    CHECK(port.dropped() == 0);
  }
}

TEST_CASE("translated traffic: clients outside, one virtual address, and the server that was chosen answers") {
  TrafficPort port = translated_traffic(20, 100, 64, {Side::outside, virtual_address, 8080});
  Device balancer(Side::outside, to_a_server);
  play(port, balancer, 2000);
  CHECK(balancer.observer.finished.size() > 3000);
  CHECK(balancer.far.size() == port.flows());
}

TEST_CASE("translated traffic: a flow that goes on elsewhere is answered from there") {
  TrafficPort port = translated_traffic(20, 1, 64);
  Device nat(Side::inside, as_outer);
  Frame frame;
  for (unsigned i = 0; i < 2000; ++i) {
    REQUIRE(port.receive(&frame, 1) == 1);
    PacketRecord packet;
    Layout layout;
    parse(frame, packet, layout);
    if (frame.side == Side::inside && packet.tcp_flags != syn && i % 5 == 0) nat.move(tuple_of(packet));
    REQUIRE(nat.pass(frame));
    port.transmit(opposite(frame.side), &frame, 1);
  }
  CHECK(nat.far.size() > port.flows() + 50);
  CHECK(nat.observer.finished.size() > 90);
}

TEST_CASE("translated traffic: a flow whose first packet is dropped ends there") {
  TrafficPort port = translated_traffic(20, 100, 64);
  Device nat(Side::inside, as_outer);
  nat.refuse_each = 3;
  play(port, nat, 2000);
  CHECK(port.dropped() > 1000);
  CHECK(nat.far.size() + port.dropped() == port.flows());  // no flow asks twice
  CHECK(nat.observer.finished.size() > 2500);
}

TEST_CASE("translated traffic: where nothing is rewritten it is the plain traffic") {
  TrafficPort plain(std::make_unique<TcpFlows>(20, 50, 128, 3), 50, 3);
  TrafficPort translated(std::make_unique<TranslatedTcpFlows>(20, 50, 128, 3), 50, 3);
  Frame one, other;
  for (unsigned i = 0; i < 5000; ++i) {
    REQUIRE(plain.receive(&one, 1) == 1);
    REQUIRE(translated.receive(&other, 1) == 1);
    REQUIRE(one.side == other.side);
    REQUIRE(std::vector(one.data, one.data + one.length) == std::vector(other.data, other.data + other.length));
    plain.transmit(opposite(one.side), &one, 1);
    translated.transmit(opposite(other.side), &other, 1);
  }
}

TEST_CASE("translated traffic: flows of a single SYN, each another one") {
  TrafficPort port = translated_traffic(1, 100, 64);
  Device nat(Side::inside, as_outer);
  play(port, nat, 1000);
  CHECK(nat.observer.seen.size() == 32000);
  CHECK(port.flows() == 32000);
}
