// Owned addresses are answered for in ARP and neighbour discovery, byte for byte as Scapy would write it; everything
// else passes, whatever is wrong with it.
#include <doctest/doctest.h>

#include "neighbour_rig.hpp"

namespace snf {
namespace {

using namespace frames;

TEST_CASE("neighbours: questions for owned addresses are answered (RFC 826, RFC 5227, RFC 4861 7.2.4)") {
  const std::pair<std::string_view, std::string_view> pairs[] = {{arp_question, arp_answer},
                                                                 {arp_probe, arp_probe_answer},
                                                                 {nd_question, nd_answer},
                                                                 {nd_probe, nd_probe_answer},
                                                                 {nd_unicast_question, nd_answer}};
  Station station;
  for (const auto& [question, answer] : pairs) {
    CHECK(station.hear(question) == What::answered);
    CHECK(station.said == bytes(answer));
  }
  CHECK(station.stats.answers.get() == 5);
  CHECK(station.stats.conflicts.get() == 0);
}

TEST_CASE("neighbours: a tagged question gets an answer with the same tags") {
  const Octets vlan{0x81, 0x00, 0x20, 0x07}, qinq{0x88, 0xa8, 0x00, 0x64, 0x81, 0x00, 0x00, 0x07};
  Station station;
  for (const Octets& tags : {vlan, qinq}) {
    CHECK(station.hear(tagged(bytes(arp_question), tags)) == What::answered);
    Octets expected = tagged(bytes(arp_answer), tags);
    expected.resize(60);  // its padding is shorter
    CHECK(station.said == expected);
    CHECK(station.hear(tagged(bytes(nd_question), tags)) == What::answered);
    CHECK(station.said == tagged(bytes(nd_answer), tags));
  }
}

TEST_CASE("neighbours: on a side with a VLAN, others' VLANs are none of its business") {
  NeighbourOptions options = neighbour_options();
  options.sides[1].vlan = 7;
  Station station(options);
  const Octets seven{0x81, 0x00, 0x00, 0x07}, nine{0x81, 0x00, 0x00, 0x09};
  CHECK(station.hear(arp_question) == What::other);
  CHECK(station.hear(tagged(bytes(arp_question), nine)) == What::other);
  CHECK(station.hear(tagged(bytes(nd_question), nine)) == What::other);
  CHECK(station.hear(tagged(bytes(arp_question), seven)) == What::answered);
  CHECK(station.announce(host4(20)));
  Octets expected = tagged(bytes(arp_announcement), seven);
  expected.resize(60);
  CHECK(station.said == expected);
}

TEST_CASE("neighbours: nothing is answered for that is not owned on that side") {
  Station station;
  for (std::string_view hex : {arp_question, arp_probe, nd_question, nd_probe, nd_unicast_question}) {
    CHECK(station.hear(hex, Side::inside) == What::other);
  }
  for (std::uint8_t last : {0, 1, 15, 32, 255})
    CHECK(station.hear(Sample(arp_question).set(41, {last}).data) == What::other);
  for (std::uint8_t last : {16, 31}) CHECK(station.hear(Sample(arp_question).set(41, {last}).data) == What::answered);
  CHECK(station.hear(with_sum(Sample(nd_question).set(v6_at + 22, {2, 0}).data)) == What::other);
  CHECK(station.hear(with_sum(Sample(nd_question).set(v6_at + 22, {1, 0xff}).data)) == What::answered);
  CHECK(station.hear(router_solicitation) == What::other);
  CHECK(station.stats.answers.get() == 3);
}

TEST_CASE("neighbours: the link-local address of the MAC is owned where IPv6 is spoken, as questions come from it") {
  Station station;
  Octets question = bytes(nd_unicast_question);
  const Octets address = bytes("fe8000000000000000534efffe461234");
  std::copy(address.begin(), address.end(), question.begin() + v6_at + 8);
  question = with_sum(question);
  CHECK(station.hear(question) == What::answered);
  CHECK(station.hear(question, Side::inside) == What::other);
}

TEST_CASE("neighbours: questions in other hands pass") {
  Station station;
  CHECK(station.hear(Sample(arp_question).set(0, {2, 0, 0, 0, 0, 9}).data) == What::other);
  CHECK(station.hear(Sample(nd_unicast_question).set(0, {2, 0, 0, 0, 0, 9}).data) == What::other);
  CHECK(station.hear(Sample(arp_question).set(0, {0x02, 0x53, 0x4e, 0x46, 0x12, 0x34}).data) == What::answered);
}

TEST_CASE("neighbours: ARP that cannot be read passes") {
  Station station;
  const std::pair<std::size_t, Octets> changes[] = {
      {14, {0, 6}},        // hardware: IEEE 802
      {16, {0x86, 0xdd}},  // protocol: IPv6
      {18, {8}},           // size of a MAC
      {19, {16}},          // size of an address
      {20, {0, 0}},
      {20, {0, 3}},
      {20, {1, 1}},  // operations
      {22, {0x03}},  // sender's MAC: a group
      {22, {0, 0, 0, 0, 0, 0}},
      {28, {224, 0, 0, 1}},        // sender: a group
      {28, {255, 255, 255, 255}},  // and everybody
  };
  for (const auto& [at, octets] : changes) {
    CAPTURE(at);
    CHECK(station.hear(Sample(arp_question).set(at, octets).data) == What::other);
  }
  CHECK(station.stats.answers.get() == 0);
}

Octets changed(std::string_view hex, std::size_t at, const Octets& octets) {
  return with_sum(Sample(hex).set(at, octets).data);
}

TEST_CASE("neighbours: solicitations are checked as RFC 4861 7.1.1 says, where they are for an owned address") {
  const std::size_t option = v6_at + 24;
  Octets two = bytes(nd_question);
  two[ip_at + 5] = 40;  // bytes of the payload: a second option
  two.insert(two.end(), {14, 1, 1, 2, 3, 4, 5, 6});
  Octets half = two;
  half[v6_at + 33] = 2;
  const Octets cases[] = {
      changed(nd_question, option + 1, {0}),  // an option without length
      changed(nd_question, option + 1, {2}),  // one that reaches past the end
      changed(nd_question, option + 2, {3}),  // the sender's MAC: a group
      changed(nd_question, option + 2, {0, 0, 0, 0, 0, 0}),
      changed(nd_question, ip_at + 8, {0xff, 0x02}),  // the sender: a group
      changed(nd_probe, ip_at + 39, {6}),             // from ::, to another group than the target's
      changed(nd_probe, ip_at + 24, {0xff, 0x05}),
      changed(nd_question, ip_at + 8, Octets(16, 0)),  // from ::, with a MAC
      with_sum(half),
  };
  Station station;
  for (const Octets& question : cases) {
    CHECK(station.hear(question) == What::refused);
    CHECK(station.heard.reason == Drop::malformed);
    CHECK(station.hear(question, Side::inside) == What::other);
  }
  CHECK(station.hear(Sample(nd_question).set(v6_at + 2, {1}).data) == What::refused);
  CHECK(station.heard.reason == Drop::bad_checksum);
  CHECK(station.stats.answers.get() == 0);
  CHECK(station.hear(with_sum(two)) == What::answered);  // options of other kinds are skipped
  CHECK(station.said == bytes(nd_answer));
}

TEST_CASE("neighbours: hop limit, code, size and fragments are refused by parse, before") {
  CHECK(Sample(nd_question).set(ip_at + 7, {254}).reason() == Drop::malformed);
  CHECK(Sample(nd_question).set(v6_at + 1, {1}).reason() == Drop::malformed);
  CHECK(Sample(nd_question).set(ip_at + 5, {23}).reason() == Drop::malformed);
  CHECK(Sample(arp_question).cut(41).reason() == Drop::truncated);
}

TEST_CASE("neighbours: targets that are groups, none, or IPv4 in disguise are nobody's") {
  NeighbourOptions options = neighbour_options();
  options.sides[1].owned = {{{0, 0}, {~0ull, ~0ull}}};
  Station station(options);
  const char* targets[] = {"ff020000000000000000000000000001", "00000000000000000000000000000000",
                           "00000000000000000000ffffc0000214"};
  for (const char* target : targets) {
    CHECK(station.hear(changed(nd_unicast_question, v6_at + 8, bytes(target))) == What::refused);
  }
}

TEST_CASE("neighbours: what another instance says, or one's own echo, goes no further and teaches nothing") {
  Station station;
  for (std::string_view hex : {arp_answer, arp_announcement, arp_own_question, nd_answer, nd_own_question}) {
    CHECK(station.hear(hex) == What::taken);
  }
  for (std::string_view hex : {arp_announcement, arp_own_question, nd_own_question}) {
    CHECK(station.hear(Sample(hex).set(6, {2, 0, 0, 0, 0, 9}).data) == What::taken);  // through a proxy
  }
  CHECK(station.stats.conflicts.get() == 0);
}

TEST_CASE("neighbours: a claim to an owned address is counted, and defended every ten seconds (RFC 5227 2.4)") {
  Station station;
  CHECK(station.hear(arp_claim) == What::answered);
  CHECK(station.said == bytes(arp_announcement));
  CHECK(station.hear(arp_claim) == What::taken);
  CHECK(station.hear(nd_claim) == What::answered);
  Station announcer;
  REQUIRE(announcer.announce(host6(0x105)));
  CHECK(station.said == announcer.said);
  station.now += 9'999;
  CHECK(station.hear(arp_claim) == What::taken);
  station.now += 1;
  CHECK(station.hear(arp_claim) == What::answered);
  CHECK(station.stats.conflicts.get() == 5);
  // As a question to somebody else, as a reply, and in a solicitation's source.
  CHECK(station.hear(Sample(arp_claim).set(41, {9}).data) != What::other);
  CHECK(station.hear(Sample(arp_claim).set(21, {2}).data) != What::other);
  CHECK(station.hear(changed(nd_question, ip_at + 22, {1, 7})) == What::answered);
  CHECK(station.stats.conflicts.get() == 8);
}

TEST_CASE("neighbours: announcements for owned addresses, and for no others (RFC 5227 2.3, RFC 4861 7.2.6)") {
  Station station;
  CHECK(station.announce(host4(20)));
  CHECK(station.said == bytes(arp_announcement));
  CHECK(station.announce(host6(0x105)));
  Octets expected = bytes(nd_claim);
  std::copy(our_mac.begin(), our_mac.end(), expected.begin() + 6);
  std::copy(our_mac.begin(), our_mac.end(), expected.begin() + v6_at + 26);
  expected[v6_at + 4] = 0xa0;
  CHECK(station.said == with_sum(expected));
  CHECK(!station.announce(host4(7)));
  CHECK(!station.announce(host4(20), Side::inside));
}

TEST_CASE("neighbours: ten thousand answers a second, and no more") {
  Station station;
  for (int i = 0; i < 5'000; ++i) {
    REQUIRE(station.hear(arp_question) == What::answered);
    REQUIRE(station.hear(nd_question) == What::answered);
  }
  CHECK(station.hear(arp_question) == What::taken);
  CHECK(station.hear(nd_question) == What::taken);
  CHECK(station.hear(arp_claim) == What::taken);
  CHECK(station.stats.answers_limited.get() == 2);
  station.now += 1000;
  CHECK(station.hear(arp_question) == What::answered);
}

TEST_CASE("neighbours: an answer that does not fit, or for which there is no frame, is not given") {
  Station station;
  station.room = 59;
  CHECK(station.hear(arp_question) == What::taken);
  station.room = 85;
  CHECK(station.hear(nd_question) == What::taken);
  station.room = 86;
  CHECK(station.hear(nd_question) == What::answered);
  Sample sample(arp_question);
  REQUIRE(sample.parse(Side::outside).what == Parsed::pass);
  Frame nothing{nullptr, 0, 2048, nullptr, Side::inside};
  CHECK(station.neighbours.hear(sample.frame, sample.record, sample.layout, 1, nothing).what == What::taken);
}

}  // namespace
}  // namespace snf
