// Where a forwarded packet goes by what its function and its record say of the next hop.
#include <doctest/doctest.h>

#include "gateway_rig.hpp"

using namespace snf;
using namespace snf::frames;

namespace {

struct Hops {
  Hops() { outlet.lead_by(gateway); }
  // 10.0.0.1 > 192.0.2.9, received inside from a host for the router.
  Packet& packet(Hop hop) {
    REQUIRE(port.inject(macs(tally::frame(tally::pass, 1), mac_of(1), host_mac), Side::inside, 5));
    index = pool.acquire();
    Packet& made = pool[index];
    made.received = 0;
    made.fault = fault_none;
    made.verdict = verdict_forward;
    made.hop = hop;
    REQUIRE(port.receive(&made.frame, 1) == 1);
    REQUIRE(parse(made.frame, made.header, made.layout).what == Parsed::flow);
    return made;
  }
  // The packet is finished, and what is asked is answered by this host.
  std::vector<MemoryPort::Sent> finish(std::uint8_t answers = 9) {
    gateway.begin(now, now);
    outlet.finish(index);
    gateway.step();
    outlet.flush(1);
    asked = port.collect();
    Sample sample("");
    sample.data = reply4(answers, mac_of(answers));
    REQUIRE(sample.parse(Side::outside).what == Parsed::pass);
    REQUIRE(port.inject(sample.data, Side::outside, 6));
    Frame frame;
    REQUIRE(port.receive(&frame, 1) == 1);
    gateway.hear(frame, sample.record, sample.layout);
    gateway.step();
    outlet.flush(1);
    return port.collect();
  }

  MemoryPort port{64, 256};
  PacketPool pool{32};
  Stats stats;
  NeighbourStats neighbours;
  Outlet outlet{port, pool, stats, 8, 8};
  Gateway gateway{gateway_options(), port, pool, outlet, neighbours};
  std::uint32_t index = none;
  std::uint64_t now = 1'000'000;
  std::vector<MemoryPort::Sent> asked;
};

const Octets sent_by_host = macs(tally::frame(tally::pass, 1), mac_of(1), host_mac);

}  // namespace

TEST_CASE("hop known: the frame goes at once to the MAC in the record, from the deployment's") {
  Hops hops;
  hops.packet(Hop::known).mac = mac_of(0x77);
  CHECK(hops.finish().empty());
  REQUIRE(hops.asked.size() == 1);
  CHECK(hops.asked[0].bytes == macs(sent_by_host, mac_of(0x77), our_mac));
}

TEST_CASE("hop known: a MAC that is nobody's, a group's, or our own is not used: its IP destination is asked for") {
  for (const Mac& mac : {Mac{}, broadcast, our_mac}) {
    Hops hops;
    hops.packet(Hop::known).mac = mac;
    const auto sent = hops.finish();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].bytes == macs(sent_by_host, mac_of(9), our_mac));
  }
}

TEST_CASE("hop destination: the frame's own IP destination is asked for, not the packet record's") {
  Hops hops;
  hops.packet(Hop::destination).header.destination_low = host4(8).low;
  const auto sent = hops.finish(9);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].token == 5);
  CHECK(sent[0].bytes == macs(sent_by_host, mac_of(9), our_mac));
}

TEST_CASE("hop record: the packet record's destination is asked for, the packet stays as it is") {
  Hops hops;
  hops.packet(Hop::record).header.destination_low = host4(8).low;
  const auto sent = hops.finish(8);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].bytes == macs(sent_by_host, mac_of(8), our_mac));
}

TEST_CASE("hop: an outlet without a gateway does not look at it") {
  for (const Hop hop : {Hop::as_received, Hop::known, Hop::destination, Hop::record}) {
    MemoryPort port{4, 256};
    PacketPool pool{4};
    Stats stats;
    Outlet outlet(port, pool, stats, 8, 8);
    REQUIRE(port.inject(sent_by_host, Side::inside, 1));
    const std::uint32_t index = pool.acquire();
    REQUIRE(port.receive(&pool[index].frame, 1) == 1);
    pool[index].hop = hop;
    outlet.forward(index);
    outlet.flush(1);
    CHECK(port.collect().at(0).bytes == sent_by_host);
    CHECK(pool.used() == 0);
  }
}
