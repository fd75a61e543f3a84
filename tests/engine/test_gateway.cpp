// What a whole pipe does with its neighbours: what is heard, asked and announced, and where packets go.
#include <doctest/doctest.h>

#include "gateway_rig.hpp"

using namespace snf;
using namespace snf::frames;

TEST_CASE("gateway: a question for an owned address is answered where it came in, and goes no further") {
  GatewayRig rig;
  for (const auto& [question, answer] : {std::pair{arp_question, arp_answer}, {nd_question, nd_answer}}) {
    const auto sent = rig.step({bytes(question)}, Side::outside);
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].side == Side::outside);
    CHECK(sent[0].token == MemoryPort::generated);
    CHECK(sent[0].bytes == bytes(answer));
  }
  CHECK(rig.stats.neighbours->answers.get() == 2);
  CHECK(rig.stats.neighbours->taken.get() == 2);
  CHECK(rig.stats.generated.get() == 2);
  CHECK(rig.stats.passed.get() == 0);
  CHECK(rig.port.lent() == 0);
  CHECK(rig.pipe->idle());
}

TEST_CASE("gateway: what hosts and their router say to each other passes as it is") {
  GatewayRig rig;
  const auto sent = rig.step({bytes(arp_request), bytes(ipv6_solicitation), bytes(router_solicitation)});
  REQUIRE(sent.size() == 3);
  for (const auto& each : sent) CHECK(each.side == Side::outside);
  CHECK(sent[0].bytes == bytes(arp_request));
  CHECK(sent[1].bytes == bytes(ipv6_solicitation));
  CHECK(rig.stats.passed.get() == 3);
  CHECK(rig.stats.generated.get() == 0);
  CHECK(rig.port.lent() == 0);
}

TEST_CASE("gateway: with new tables come other owned addresses; what is new is announced, what is gone is passed on") {
  NeighbourOptions options = gateway_options();
  options.announced = 64;
  options.sides[0].owned.clear();
  options.sides[1].owned = {{host4(16), host4(20)}};
  GatewayRig rig(options);
  rig.step();  // announces the first
  const auto tables = std::make_shared<TableSet>();
  tables->set_owned({{host4(14), host4(14)}, {host4(18), host4(21)}});
  rig.pipe->swap_tables(tables);
  std::vector<std::uint8_t> announced;
  for (unsigned i = 0; i < 10; ++i, rig.now_ms += 100) {
    for (const auto& sent : rig.step()) {
      if (sent.bytes[21] == 1 && sent.bytes[31] == sent.bytes[41]) announced.push_back(sent.bytes[41]);
    }
  }
  CHECK(announced == std::vector<std::uint8_t>{18, 19, 20, 14, 21});
  CHECK(rig.step({bytes(arp_question)}, Side::outside).at(0).bytes == bytes(arp_answer));
  rig.pipe->swap_tables(std::make_shared<TableSet>());  // without a word on them
  CHECK(rig.step({bytes(arp_question)}, Side::outside).at(0).bytes == bytes(arp_answer));
  const auto none_left = std::make_shared<TableSet>();
  none_left->set_owned({});
  rig.pipe->swap_tables(none_left);
  CHECK(rig.step({bytes(arp_question)}, Side::outside).at(0).bytes == bytes(arp_question));
}

TEST_CASE("gateway: a message about an owned address that is wrong is dropped under its reason") {
  GatewayRig rig;
  Octets wrong = bytes(nd_question);
  wrong[ip_at + 42] ^= 1;
  CHECK(rig.step({wrong}, Side::outside).empty());
  CHECK(rig.dropped() == "1:bad_checksum");
  CHECK(rig.port.lent() == 0);
}

TEST_CASE("gateway: a pipe without neighbours answers nothing, and leaves frames to its own MAC as they are") {
  GatewayRig rig(std::nullopt);
  CHECK(rig.step({bytes(arp_question)}, Side::outside).at(0).bytes == bytes(arp_question));
  CHECK(rig.step({routed()}).at(0).bytes == routed());
  CHECK(rig.stats.neighbours == nullptr);
}

TEST_CASE("gateway: a packet to the router's MAC passes with both MACs as they were") {
  GatewayRig rig;
  const Octets frame = macs(tally::frame(tally::pass, 1), mac_of(1), host_mac);
  const auto sent = rig.step({frame});
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].bytes == frame);
  CHECK(rig.stats.neighbours->questions.get() == 0);
}

TEST_CASE("gateway: a packet to the deployment's MAC waits for its next hop, and leaves with both MACs set") {
  GatewayRig rig;
  auto sent = rig.step({routed(0), routed(1)});
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].side == Side::outside);
  Octets question = bytes(arp_own_question);
  question[41] = 9;
  CHECK(sent[0].bytes == question);
  CHECK_FALSE(rig.pipe->idle());
  CHECK(rig.step().empty());

  sent = rig.step({reply4(9, mac_of(9))}, Side::outside);
  REQUIRE(sent.size() == 2);
  for (unsigned i : {0u, 1u}) {
    CHECK(sent[i].token == i + 1);
    CHECK(sent[i].side == Side::outside);
    CHECK(sent[i].bytes == macs(routed(static_cast<std::uint8_t>(i)), mac_of(9), our_mac));
  }
  CHECK(rig.pipe->idle());
  CHECK(has_macs(rig.step({routed(2)}).at(0).bytes, mac_of(9), our_mac));  // and now at once
  const Octets passing = macs(routed(2), mac_of(1), host_mac);             // in the place of the one before
  CHECK(rig.step({passing}).at(0).bytes == passing);
  CHECK(rig.port.lent() == 0);
  CHECK(rig.stats.dropped() == 0);
}

TEST_CASE("gateway: IPv6 packets go to whom neighbour discovery names") {
  GatewayRig rig;
  const Octets frame = macs(bytes(ipv6_syn), our_mac, host_mac);
  const auto asked = rig.step({frame});
  REQUIRE(asked.size() == 1);
  CHECK(asked[0].bytes[ip_at + 40] == 135);  // a solicitation
  const auto sent = rig.step({reply6(9, mac_of(9))}, Side::outside);
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].bytes == macs(frame, mac_of(9), our_mac));
}

TEST_CASE("gateway: a neighbour that does not answer three questions is unknown, for those that wait and come") {
  GatewayRig rig;
  unsigned questions = 0;
  questions += static_cast<unsigned>(rig.step({routed()}).size());
  for (unsigned second = 0; second < 3; ++second) {
    CHECK(rig.dropped() == "");
    rig.now_ms += Resolver::retry_ms;
    questions += static_cast<unsigned>(rig.step().size());
  }
  CHECK(questions == Resolver::max_tries);
  CHECK(rig.dropped() == "1:neighbour_unknown");
  CHECK(rig.pipe->idle());
  CHECK(rig.step({routed()}).empty());
  CHECK(rig.dropped() == "2:neighbour_unknown");
  CHECK(rig.stats.neighbours->failures.get() == 1);
  CHECK(rig.port.lent() == 0);
}

TEST_CASE("gateway: three packets wait for a neighbour, the oldest has to go for a fourth") {
  GatewayRig rig;
  rig.step({routed(0), routed(1), routed(2), routed(3)});
  CHECK(rig.dropped() == "1:neighbour_unknown");
  CHECK(rig.step({reply4(9, mac_of(9))}, Side::outside).size() == 3);
}

TEST_CASE("gateway: what is neither on-link nor behind a gateway has no route, nor has an owned address") {
  NeighbourOptions options = gateway_options();
  options.sides[1].on_link.clear();
  GatewayRig rig(options);
  CHECK(rig.step({routed()}).empty());
  CHECK(rig.dropped() == "1:no_route");

  options.sides[1].gateway4 = host4(1);
  GatewayRig behind(options);
  CHECK(behind.step().size() == 1);  // the gateway is asked for at once
  CHECK(behind.step({reply4(1, mac_of(1))}, Side::outside).empty());
  CHECK(has_macs(behind.step({routed()}).at(0).bytes, mac_of(1), our_mac));

  options.sides[0].owned = {{host4(9), host4(9)}};  // the packet's destination, owned where it comes from
  GatewayRig own(options);
  own.step({routed()});
  CHECK(own.dropped() == "1:no_route");
}

TEST_CASE("gateway: packets that wait when the pipe stops are dropped as such") {
  GatewayRig rig;
  rig.step({routed(0), routed(1)});
  rig.pipe->abandon();
  CHECK(rig.dropped() == "1:stopped 2:stopped");
  CHECK(rig.pipe->idle());
  CHECK(rig.port.lent() == 0);
  CHECK(rig.port.collect().empty());
}

TEST_CASE("gateway: without a free frame of the port nothing is said, and the question is asked later") {
  GatewayRig rig;
  REQUIRE(rig.port.inject(routed(), Side::inside, 1));
  std::vector<Frame> taken;
  for (Frame frame; (frame = rig.port.allocate()).data != nullptr;) taken.push_back(frame);
  CHECK(rig.step().empty());
  CHECK(rig.stats.neighbours->questions.get() == 0);
  rig.port.release(taken.data(), static_cast<unsigned>(taken.size()));
  CHECK(rig.step().size() == 1);
  CHECK(rig.stats.neighbours->questions.get() == 1);
}

TEST_CASE("gateway: owned addresses are announced once, some of them, and no more than 32 a second") {
  NeighbourOptions options = gateway_options();
  options.announced = 20;  // of 272 outside, and of 1 inside
  GatewayRig rig(options);
  std::array<std::vector<Octets>, 2> said;
  for (unsigned i = 0; i < 40; ++i) {
    for (const auto& sent : rig.step()) said[static_cast<unsigned>(sent.side)].push_back(sent.bytes);
  }
  REQUIRE(said[0].size() == 1);
  REQUIRE(said[1].size() == 20);
  CHECK(said[0][0][31] == 0xfe);
  Octets first = bytes(arp_announcement);
  first[31] = first[41] = 16;
  CHECK(said[1][0] == first);
  CHECK(said[1][16][ip_at + 40] == 136);  // IPv6: an advertisement

  options.announced = 64;
  GatewayRig many(options);
  std::size_t count = 0;
  for (unsigned i = 0; i < 100; ++i) count += many.step().size();
  CHECK(count == 32);
  many.now_ms += 1000;
  for (unsigned i = 0; i < 100; ++i) count += many.step().size();
  CHECK(count == 64);
}

TEST_CASE("gateway: nothing is announced on a side without a link, until it is there") {
  NeighbourOptions options = gateway_options();
  options.announced = 1;
  GatewayRig rig(options);
  rig.linked.up = {true, false};
  for (unsigned i = 0; i < 5; ++i) {
    for (const auto& sent : rig.step()) CHECK(sent.side == Side::inside);
  }
  CHECK(rig.stats.generated.get() == 1);
  rig.linked.up[1] = true;
  CHECK(rig.step().at(0).side == Side::outside);
}
