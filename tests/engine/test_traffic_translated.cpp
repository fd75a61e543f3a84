// Made-up traffic through devices that rewrite it: a NAT and a load balancer of a few lines. What the device gets has
// to be what a wire would bring it, answers to what it sent included; what clients send and get has to be whole flows.
#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "rewrite.hpp"
#include "traffic_observer.hpp"
#include "traffic_tcp.hpp"
#include "wire.hpp"

using namespace snf;

namespace {

constexpr std::uint64_t ipv4(std::uint32_t address) { return mapped_prefix << 32 | address; }
constexpr std::uint32_t pool = 203u << 24 | 113u << 8, virtual_address = 198u << 24 | 18u << 16 | 1;
constexpr std::uint32_t first_server = 172u << 24 | 16u << 16 | 11;
constexpr unsigned servers = 8;

Tuple mirrored(const Tuple& tuple) {
  return {tuple.destination_high, tuple.destination_low,  tuple.source_high,
          tuple.source_low,       tuple.destination_port, tuple.source_port};
}
using Name = std::tuple<std::uint64_t, std::uint64_t, std::uint16_t, std::uint16_t>;
Name name_of(const Tuple& tuple) {
  return {tuple.source_low, tuple.destination_low, tuple.source_port, tuple.destination_port};
}

// Keeps what each flow's packets from the client become; a server's packets become the mirror of what the client sent.
class Device {
 public:
  using Choice = std::function<Tuple(const Tuple& sent, unsigned flow)>;
  Device(Side clients, Choice choice) : observer(clients), clients_(clients), choice_(std::move(choice)) {}

  Observer observer;
  std::set<Name> far;  // what servers have seen, as clients' packets

  // False: a SYN that is dropped as it came.
  bool pass(const Frame& frame) {
    const bool to_server = frame.side == clients_;
    PacketRecord packet;
    Layout layout;
    REQUIRE(parse(frame, packet, layout).what == Parsed::flow);
    if (to_server && packet.tcp_flags == syn && refuses_next()) return false;
    if (to_server) observer.see(frame);
    const Tuple tuple = tuple_of(packet);
    if (to_server && packet.tcp_flags == syn) open(tuple);
    const auto& changes = to_server ? forth_ : back_;
    const auto change = changes.find(name_of(tuple));
    REQUIRE(change != changes.end());  // else it belongs to no flow
    REQUIRE(rewrite(frame, packet, layout, change->second));
    if (!to_server) observer.see(frame);
    return true;
  }
  // The flow of a client's packet goes on somewhere else.
  void move(const Tuple& sent) { open(sent); }
  unsigned refuse_each = 0;  // every n-th SYN is dropped

 private:
  bool refuses_next() { return refuse_each != 0 && ++syns_ % refuse_each == 0; }
  void open(const Tuple& sent) {
    const Tuple left = choice_(sent, flows_++);
    REQUIRE(far.insert(name_of(left)).second);
    forth_[name_of(sent)] = left;
    back_[name_of(mirrored(left))] = mirrored(sent);
  }
  const Side clients_;
  const Choice choice_;
  unsigned flows_ = 0, syns_ = 0;
  std::map<Name, Tuple> forth_, back_;
};

Tuple as_outer(const Tuple& sent, unsigned flow) {
  Tuple left = sent;
  left.source_low = ipv4(pool + flow % 200);
  left.source_port = static_cast<std::uint16_t>(1024 + flow / 200);
  return left;
}
Tuple to_a_server(const Tuple& sent, unsigned flow) {
  REQUIRE(sent.destination_low == ipv4(virtual_address));
  REQUIRE(sent.destination_port == 8080);
  Tuple left = sent;
  left.destination_low = ipv4(first_server + flow % servers);
  left.destination_port = 80;
  return left;
}

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
