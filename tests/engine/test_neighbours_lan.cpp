// Instances on a simulated link with hosts: what they ask, byte for byte; how next hops are found, confirmed and lost;
// and that two instances with one MAC do not get into each other's way.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "neighbour_rig.hpp"

namespace snf {
namespace {

using namespace frames;
using Found = Resolution::What;

struct Host {
  Mac mac;
  bool answers = true;
};

// One broadcast domain outside of both instances. Frames with a host's answer go to every instance, as the header of
// neighbours.hpp asks of whoever spreads them.
struct Lan {
  explicit Lan(unsigned instances, const NeighbourOptions& options = neighbour_options()) {
    for (unsigned i = 0; i < instances; ++i) stations.push_back(std::make_unique<Station>(options));
  }
  Station& operator[](unsigned i) { return *stations[i]; }

  void pass(std::uint64_t ms) {
    for (auto& station : stations) station->now += ms;
    settle();
  }
  // All questions that are due, and what follows from them.
  void settle() {
    for (auto& station : stations) {
      while (station->ask()) deliver(station->said, station.get());
    }
  }
  void deliver(const Octets& frame, const Station* from) {
    for (auto& station : stations) {
      if (station.get() == from) continue;
      const What what = station->hear(frame);
      if (what == What::answered) ++answers;
      CHECK(what == What::taken);  // it is from the deployment
    }
    const Octets answer = frame[13] == 0x06 ? answer4(frame) : answer6(frame);
    if (answer.empty()) return;
    for (auto& station : stations) CHECK(station->hear(answer) == What::taken);
  }
  bool reaches(const Octets& frame, const Host& host) {
    return host.answers && (frame[0] & 1 || std::equal(host.mac.begin(), host.mac.end(), frame.begin()));
  }
  Octets answer4(const Octets& question) {
    const auto host = hosts.find(host4(question[41]));
    if (host == hosts.end() || !reaches(question, host->second)) return {};
    Octets answer = reply4(question[41], host->second.mac);
    std::copy_n(question.begin() + 22, 10, answer.begin() + 32);
    return answer;
  }
  Octets answer6(const Octets& question) {
    const auto host = hosts.find(host6(question[v6_at + 23]));
    if (host == hosts.end() || !reaches(question, host->second)) return {};
    return reply6(question[v6_at + 23], host->second.mac);
  }

  std::vector<std::unique_ptr<Station>> stations;
  std::map<Address, Host> hosts;
  unsigned answers = 0;
};

bool reaches(Station& station, const Address& address, const Mac& mac) {
  const Resolution resolution = station.resolve(address);
  return resolution.what == Found::resolved && resolution.mac == mac;
}

TEST_CASE("neighbours on a link: questions, byte for byte") {
  Station station;
  CHECK(station.resolve(host4(7)).what == Found::pending);
  CHECK(station.resolve(host6(7)).what == Found::pending);
  REQUIRE(station.ask());
  CHECK(station.said == bytes(arp_own_question));
  REQUIRE(station.ask());
  CHECK(station.said == bytes(nd_own_question));
  CHECK(!station.ask());
  CHECK(station.hear(arp_reply) == What::taken);
  CHECK(station.hear(nd_reply) == What::taken);
  CHECK(reaches(station, host4(7), host_mac));
  CHECK(reaches(station, host6(7), host_mac));
  station.now += 50'000;
  CHECK(reaches(station, host4(7), host_mac));
  CHECK(reaches(station, host6(7), host_mac));
  REQUIRE(station.ask());
  Octets expected = bytes(arp_own_question);
  std::copy(host_mac.begin(), host_mac.end(), expected.begin());
  CHECK(station.said == expected);
  REQUIRE(station.ask());
  CHECK(station.said == bytes(nd_own_probe));
}

TEST_CASE("neighbours on a link: without an address of the subnet it asks as a probe does; with a VLAN, tagged") {
  NeighbourOptions options = neighbour_options();
  options.sides[1].vlan = 7;
  options.sides[1].owned = {{ipv4_address(0xcb007100), ipv4_address(0xcb0071ff)}};  // 203.0.113.0/24
  Station station(options);
  station.resolve(host4(7));
  REQUIRE(station.ask());
  Octets expected = bytes(arp_own_question);
  std::fill_n(expected.begin() + 28, 4, 0);
  const Octets tag{0x81, 0x00, 0x00, 0x07};
  expected = tagged(expected, tag);
  expected.resize(60);
  CHECK(station.said == expected);
  CHECK(station.hear(arp_reply) == What::other);  // of another VLAN
  CHECK(station.resolve(host4(7)).what == Found::pending);
  CHECK(station.hear(tagged(bytes(arp_reply), tag)) == What::taken);
  CHECK(reaches(station, host4(7), host_mac));
}

TEST_CASE("neighbours on a link: without a VLAN nothing is learned from tagged frames") {
  Station station;
  station.resolve(host4(7));
  station.hear(tagged(bytes(arp_reply), {0x81, 0x00, 0x00, 0x07}));
  CHECK(station.resolve(host4(7)).what == Found::pending);
}

TEST_CASE("neighbours on a link: off-link goes to the gateway of its version, found before the first packet") {
  NeighbourOptions options = neighbour_options();
  options.sides[1].gateway4 = host4(1);
  options.sides[1].gateway6 = host6(1);
  Lan lan(1, options);
  lan.hosts = {{host4(1), {mac_of(1)}}, {host6(1), {mac_of(2)}}, {host4(9), {mac_of(9)}}};
  lan.settle();
  CHECK(lan[0].stats.questions.get() == 2);
  CHECK(reaches(lan[0], ipv4_address(0x08080808), mac_of(1)));
  CHECK(reaches(lan[0], {0x2620'0000'0000'0000, 1}, mac_of(2)));
  CHECK(lan[0].resolve(host4(9)).what == Found::pending);
  lan.settle();
  CHECK(reaches(lan[0], host4(9), mac_of(9)));
  CHECK(lan[0].stats.known.get() == 3);
}

TEST_CASE("neighbours on a link: nowhere to go") {
  Station station;
  const Address nowhere[] = {ipv4_address(0x08080808),
                             {0x2620'0000'0000'0000, 1},
                             ipv4_address(0xe0000001),
                             {0xff02'0000'0000'0000, 1},
                             ipv4_address(0),
                             {0, 0},
                             host4(20),
                             host6(0x105)};  // the last two are owned
  for (const Address& address : nowhere) CHECK(station.resolve(address).what == Found::unroutable);
  CHECK(station.resolve(host4(7), Side::inside).what == Found::unroutable);
  CHECK(station.resolve(host4(15)).what == Found::pending);
  NeighbourOptions options = neighbour_options();
  options.sides[1].gateway4 = host4(1);
  options.sides[1].gateway6 = host6(1);
  Station with_gateways(options);
  for (const Address& address : {nowhere[2], nowhere[3], nowhere[4], nowhere[5]}) {
    CHECK(with_gateways.resolve(address).what == Found::unroutable);
  }
}

TEST_CASE("neighbours on a link: two instances find and keep hosts, each answered as if it were one") {
  Lan lan(2);
  lan.hosts = {{host4(7), {mac_of(7)}}, {host6(8), {mac_of(8)}}};
  lan[0].resolve(host4(7));
  lan[1].resolve(host6(8));
  lan.settle();
  CHECK(reaches(lan[0], host4(7), mac_of(7)));
  CHECK(reaches(lan[1], host6(8), mac_of(8)));
  CHECK(lan[1].stats.unasked.get() == 1);  // it heard the other one's answer, and learned nothing
  CHECK(lan[1].resolve(host4(7)).what == Found::pending);
  for (int second = 0; second < 300; ++second) {
    lan.pass(1'000);
    for (unsigned i : {0u, 1u}) lan[i].resolve(host4(7)), lan[i].resolve(host6(8));
  }
  for (unsigned i : {0u, 1u}) {
    CHECK(reaches(lan[i], host4(7), mac_of(7)));
    CHECK(reaches(lan[i], host6(8), mac_of(8)));
    CHECK(lan[i].stats.failures.get() == 0);
    CHECK(lan[i].stats.conflicts.get() == 0);
  }
  CHECK(lan.answers == 0);
}

TEST_CASE("neighbours on a link: a host that dies has failed after six questions, and is found again when it is back") {
  Lan lan(1);
  lan.hosts = {{host4(7), {mac_of(7)}}};
  lan[0].resolve(host4(7));
  lan.settle();
  lan.hosts[host4(7)].answers = false;
  lan.pass(50'000);
  CHECK(reaches(lan[0], host4(7), mac_of(7)));
  for (int second = 0; second < 6; ++second) lan.settle(), lan.pass(1'000);
  CHECK(lan[0].resolve(host4(7)).what == Found::failed);
  CHECK(lan[0].stats.questions.get() == 7);
  lan.hosts[host4(7)].answers = true;
  lan.pass(2'000);
  CHECK(lan[0].resolve(host4(7)).what == Found::pending);
  lan.settle();
  CHECK(reaches(lan[0], host4(7), mac_of(7)));
}

TEST_CASE("neighbours on a link: a gateway that fails over is followed; one that is spoofed is not left") {
  NeighbourOptions options = neighbour_options();
  options.sides[1].gateway4 = host4(1);
  Lan lan(2, options);
  lan.hosts = {{host4(1), {mac_of(1)}}};
  lan.settle();
  lan.pass(5'000);
  const auto announce = [&](const Mac& mac) {
    for (auto& station : lan.stations) CHECK(station->hear(reply4(1, mac, true)) == What::other);
    lan.settle();
    lan.pass(1'000);
  };
  announce(mac_of(66));
  for (unsigned i : {0u, 1u}) CHECK(reaches(lan[i], ipv4_address(0x08080808), mac_of(1)));
  lan.hosts[host4(1)].mac = mac_of(2);
  announce(mac_of(2));
  for (unsigned i : {0u, 1u}) CHECK(reaches(lan[i], ipv4_address(0x08080808), mac_of(2)));
}

TEST_CASE("neighbours on a link: the same with advertisements, whatever they say of overriding") {
  Lan lan(1);
  lan.hosts = {{host6(7), {mac_of(7)}}};
  lan[0].resolve(host6(7));
  lan.settle();
  lan.pass(5'000);
  for (std::uint8_t flags : {0x00, 0x20, 0x40, 0x60}) {
    CHECK(lan[0].hear(reply6(7, mac_of(66), flags)) == What::taken);
    lan.settle();
    CHECK(reaches(lan[0], host6(7), mac_of(7)));
    lan.pass(2'000);
    CHECK(reaches(lan[0], host6(7), mac_of(7)));
  }
  CHECK(lan[0].stats.moves.get() == 0);
}

TEST_CASE("neighbours on a link: answers that are broadcast count, and pass on to who else listens") {
  Station station;
  station.resolve(host4(7));
  Octets answer = reply4(7, mac_of(7));
  std::fill_n(answer.begin(), 6, 0xff);
  CHECK(station.hear(answer) == What::other);
  CHECK(reaches(station, host4(7), mac_of(7)));
  CHECK(!station.ask());  // it is confirmed, as the answer named the asker
}

TEST_CASE("neighbours on a link: what is told unasked serves until it is confirmed, so the question follows at once") {
  Station station;
  station.resolve(host4(7));
  station.resolve(host6(7));
  CHECK(station.hear(reply4(7, mac_of(7), true)) == What::other);
  CHECK(station.hear(reply6(7, mac_of(7), 0x20)) == What::taken);
  CHECK(reaches(station, host4(7), mac_of(7)));
  CHECK(reaches(station, host6(7), mac_of(7)));
  CHECK(station.ask());
  CHECK(station.ask());
}

TEST_CASE("neighbours on a link: questions of hosts tell where they are to who looks for them, and to nobody else") {
  Station station;
  CHECK(station.hear(arp_question) == What::answered);
  CHECK(station.hear(nd_question) == What::answered);
  CHECK(station.stats.known.get() == 0);
  station.resolve(host4(7));
  station.resolve(host6(7));
  CHECK(station.hear(arp_question) == What::answered);
  CHECK(station.hear(nd_question) == What::answered);
  CHECK(reaches(station, host4(7), host_mac));
  CHECK(reaches(station, host6(7), host_mac));
}

TEST_CASE("neighbours on a link: wrong answers find nobody (RFC 4861 7.1.2)") {
  const std::size_t option = v6_at + 24;
  Octets group = Sample(nd_reply).set(ip_at + 24, bytes("ff020000000000000000000000000001")).data;
  const Octets wrong[] = {
      Sample(nd_reply).set(v6_at + 2, {1}).data,         // checksum
      with_sum(group),                                   // solicited, and to a group
      with_sum(Sample(nd_reply).set(option, {1}).data),  // the MAC is in no target's option
      with_sum(Sample(nd_reply).set(option + 1, {0}).data),
      with_sum(Sample(nd_reply).set(option + 2, {1}).data),  // the MAC is a group's
      with_sum(Sample(nd_reply).set(ip_at + 8, Octets(16, 0)).data),
      with_sum(Sample(nd_reply).set(v6_at + 23, {9}).data),  // another target
      Sample(arp_reply).set(31, {9}).data,
      Sample(arp_reply).set(22, {0xff}).data,
      Sample(arp_reply).set(20, {0, 9}).data,
      Sample(arp_reply).set(0, {2, 0, 0, 0, 0, 9}).data,  // to another host
      Sample(nd_reply).set(0, {2, 0, 0, 0, 0, 9}).data,
  };
  Station station;
  station.resolve(host4(7));
  station.resolve(host6(7));
  for (const Octets& frame : wrong) {
    station.hear(frame);
    CHECK(station.resolve(host4(7)).what == Found::pending);
    CHECK(station.resolve(host6(7)).what == Found::pending);
  }
}

TEST_CASE("neighbours on a link: packets wait for the answer") {
  Station station;
  const Resolution pending = station.resolve(host4(7));
  CHECK(station.neighbours.hold(pending, 42) == none);
  CHECK(station.neighbours.take_ready() == none);
  station.ask();
  station.hear(arp_reply);
  CHECK(station.neighbours.take_ready() == 42);
  CHECK(station.neighbours.take_failed() == none);
}

TEST_CASE("neighbours on a link: servers that are kept are asked for at once, and scans do not push them out") {
  NeighbourOptions options = neighbour_options();
  options.limits.entries = 8, options.limits.unresolved = 4;
  Lan lan(1, options);
  lan.hosts = {{host4(7), {mac_of(7)}}};
  lan[0].neighbours.keep(Side::outside, host4(7));
  lan.settle();
  for (std::uint32_t last = 100; last < 200; ++last) lan[0].resolve(host4(last));
  CHECK(reaches(lan[0], host4(7), mac_of(7)));
}

TEST_CASE("neighbours on a link: a question that finds no room in its frame is asked later") {
  Station station;
  station.resolve(host4(7));
  Octets block(59);
  Frame small{block.data(), 0, 59, nullptr, Side::inside};
  CHECK(station.neighbours.step(station.now));
  CHECK(!station.neighbours.ask(station.now, small));
  CHECK(station.stats.questions.get() == 0);
  CHECK(station.ask());
}

}  // namespace
}  // namespace snf
