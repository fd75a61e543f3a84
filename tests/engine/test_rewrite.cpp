// `rewrite`, `clamp_mss` and the MAC addresses on frames that Scapy made, and the corners that chance does not find.
#include <doctest/doctest.h>

#include "frames.hpp"
#include "rewrite.hpp"
#include "wire.hpp"

namespace snf {
namespace {

using namespace frames;

constexpr std::size_t source_at = ip_at + 12, destination_at = ip_at + 16;
constexpr std::uint64_t v4(std::uint32_t address) { return mapped_prefix << 32 | address; }
constexpr std::uint64_t outer = v4(0xcb007105), server = v4(0xc0000209);  // 203.0.113.5, 192.0.2.9

struct Edited : Sample {
  explicit Edited(std::string_view hex) : Sample(hex) { start(); }
  void start() {
    REQUIRE(parse().what == Parsed::flow);
    wanted = tuple_of(record);
  }
  bool rewrite() { return snf::rewrite(frame, record, layout, wanted); }
  bool clamp(std::uint16_t limit) { return clamp_mss(frame, record, layout, limit); }
  // Offsets of the bytes that are no longer as they were.
  std::vector<std::size_t> changes() const {
    std::vector<std::size_t> out;
    for (std::size_t at = 0; at < data.size(); ++at)
      if (block[at] != data[at]) out.push_back(at);
    return out;
  }
  bool unchanged() const { return changes().empty(); }
  // What is in the frame now becomes what it was.
  Edited& again() {
    std::copy(block.get(), block.get() + data.size(), data.begin());
    start();
    return *this;
  }
  std::uint32_t word(std::size_t at) const { return load32(block.get() + at); }
  std::uint16_t half(std::size_t at) const { return load16(block.get() + at); }

  Tuple wanted{};
};

TEST_CASE("source address and port of a SYN") {
  Edited s(ipv4_syn);
  s.wanted.source_low = outer;
  s.wanted.source_port = 1024;
  REQUIRE(s.rewrite());
  CHECK(s.word(source_at) == 0xcb007105);
  CHECK(s.word(destination_at) == 0xc0000209);
  CHECK(s.word(v4_at) == (1024u << 16 | 443));
  for (const std::size_t at : s.changes())
    CHECK(((at >= ip_at + 10 && at < source_at + 4) || at < v4_at + 2 || (at >= v4_at + 16 && at < v4_at + 18)));
  const Tuple expected = s.wanted;
  s.again();
  CHECK(s.wanted == expected);
  CHECK(s.sums_hold());
}

TEST_CASE("where nothing differs nothing is touched, not even a checksum of minus zero") {
  for (std::string_view hex : {ipv4_syn, ipv4_udp, ipv4_echo, ipv4_gre, ipv4_first, ipv4_later, ipv4_unreachable,
                               ipv6_chain, ipv6_udp, ipv6_echo, ipv6_later, ipv6_too_big, qinq_syn}) {
    Edited s(hex);
    CHECK(s.rewrite());
    CHECK(s.unchanged());
  }
  for (auto [hex, sum] : {std::pair{ipv4_syn, v4_at + 16}, std::pair{ipv4_udp, v4_at + 6},
                          std::pair{ipv4_echo, v4_at + 2}, std::pair{ipv6_echo, v6_at + 2}}) {
    Edited s(hex);
    s.set(sum, {0xff, 0xff});
    s.start();
    CHECK(s.rewrite());
    CHECK(s.unchanged());
  }
  Edited header(ipv4_udp);
  header.set(ip_at + 4, {0, 0}).fix_ipv4();  // the identification makes the header's checksum zero
  const std::uint16_t sum = load16(&header.data[ip_at + 10]);
  header.set(ip_at + 4, {static_cast<std::uint8_t>(sum >> 8), static_cast<std::uint8_t>(sum)}).fix_ipv4();
  REQUIRE(load16(&header.data[ip_at + 10]) == 0);
  header.set(ip_at + 10, {0xff, 0xff});
  header.start();
  header.wanted.source_port = 7;
  CHECK(header.rewrite());
  CHECK(header.half(ip_at + 10) == 0xffff);  // it covers no port
}

TEST_CASE("endpoints that change places change no checksum") {
  Edited s(ipv4_syn);
  std::swap(s.wanted.source_low, s.wanted.destination_low);
  std::swap(s.wanted.source_port, s.wanted.destination_port);
  REQUIRE(s.rewrite());
  for (const std::size_t at : s.changes()) CHECK((at >= source_at && at < v4_at + 4));
  CHECK(s.again().sums_hold());
}

TEST_CASE("what a packet cannot say is refused, and nothing changed") {
  const auto refused = [](std::string_view hex, auto change) {
    CAPTURE(hex);
    Edited s(hex);
    change(s.wanted);
    CHECK_FALSE(s.rewrite());
    CHECK(s.unchanged());
  };
  for (std::string_view hex : {ipv4_syn, ipv4_later, ipv4_unreachable}) {
    refused(hex, [](Tuple& wanted) { wanted.source_low = 1; });
    refused(hex, [](Tuple& wanted) { wanted.destination_high = 1; });
  }
  for (std::string_view hex : {ipv6_syn, ipv6_later, ipv6_too_big}) {
    refused(hex, [](Tuple& wanted) { wanted.source_high = 0, wanted.source_low = outer; });
    refused(hex, [](Tuple& wanted) { wanted.destination_high = 0, wanted.destination_low = outer; });
  }
  for (std::string_view hex : {ipv4_echo, ipv6_echo, ipv4_gre}) {
    refused(hex, [](Tuple& wanted) { wanted.source_port ^= 1; });
    refused(hex, [](Tuple& wanted) { wanted.destination_port ^= 1; });
  }
  refused(ipv4_gre, [](Tuple& wanted) { wanted.source_port = wanted.destination_port = 5; });
}

TEST_CASE("a later fragment's ports are in its first") {
  for (std::string_view hex : {ipv4_later, ipv6_later}) {
    Edited s(hex);
    s.wanted.source_low ^= 0xff;
    s.wanted.source_port = 5000, s.wanted.destination_port = 53;
    REQUIRE(s.rewrite());
    const std::size_t payload = s.data.size() - s.record.payload_length;
    for (const std::size_t at : s.changes()) CHECK(at < payload);
    const Tuple expected = s.wanted;
    CHECK(s.again().record.source_low == expected.source_low);
  }
}

TEST_CASE("no UDP checksum stays none; a sum that comes out as zero is written as 0xffff (RFC 768)") {
  for (auto [hex, at] : {std::pair{ipv4_udp, v4_at}, std::pair{ipv6_udp, v6_at}}) {
    Edited none(hex);
    none.set(at + 6, {0, 0});
    none.start();
    none.wanted.source_low ^= 0xffff;
    none.wanted.source_port = 9;
    REQUIRE(none.rewrite());
    CHECK(none.half(at + 6) == 0);
    unsigned zeros = 0;
    for (unsigned port = 0; port < 65536; ++port) {
      Edited s(hex);
      s.wanted.destination_port = static_cast<std::uint16_t>(port);
      REQUIRE(s.rewrite());
      REQUIRE(s.half(at + 6) != 0);
      if (s.half(at + 6) != 0xffff) continue;
      ++zeros;
      CHECK(s.again().sums_hold());
    }
    CHECK(zeros == 1);
  }
}

TEST_CASE("an echo reply of zeros: the one sum that has no other zero") {
  for (const std::uint16_t identifier : {5, 0xffff, 0xfffe}) {
    Edited s(ipv4_echo);
    s.set(v4_at, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
    store16(&s.data[v4_at + 4], identifier);
    store16(&s.data[v4_at + 2], static_cast<std::uint16_t>(~identifier));
    s.start();
    REQUIRE(s.sums_hold());
    s.wanted.source_port = s.wanted.destination_port = 0;
    REQUIRE(s.rewrite());
    CHECK(s.half(v4_at + 2) == 0xffff);
    CHECK(s.again().sums_hold());
    s.wanted.source_port = s.wanted.destination_port = identifier;
    REQUIRE(s.rewrite());
    CHECK(s.half(v4_at + 2) == static_cast<std::uint16_t>(~identifier));
  }
  Edited nearly(ipv4_echo);
  nearly.set(v4_at, {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0});
  nearly.start();
  nearly.wanted.source_low = outer;
  REQUIRE(nearly.rewrite());
  CHECK(nearly.half(v4_at + 2) == 0);
}

// Inbound: 10.0.0.1 is what the quote's sender knows; on the wire stands 203.0.113.5.
TEST_CASE("an error from a router: the quote and its way back are translated, the router is not") {
  Edited s(ipv4_unreachable);
  s.wanted.source_low = outer;
  s.wanted.source_port = 61000;
  REQUIRE(s.rewrite());
  CHECK(s.word(source_at) == 0xc0000201);
  CHECK(s.word(destination_at) == 0xcb007105);
  const std::size_t quote = s.layout.quoted_network;
  CHECK(s.word(quote + 12) == 0xcb007105);
  CHECK(s.word(quote + 16) == 0xc0000209);
  CHECK(s.word(quote + 20) == (61000u << 16 | 53));
  CHECK(ipv4_checksum_holds(s.block.get() + quote));
  CHECK(s.again().sums_hold());
  s.wanted.destination_low = v4(0x0a000009);
  REQUIRE(s.rewrite());
  CHECK(s.word(source_at) == 0x0a000009);  // RFC 5508 REQ-5: a router behind that address is hidden with it
}

TEST_CASE("an error from the quoted host itself: its own address is translated, too") {
  Edited s(ipv4_unreachable);
  s.set(source_at, {192, 0, 2, 9}).fix_ipv4();
  s.start();
  s.wanted.destination_low = v4(0x0a000009);
  s.wanted.destination_port = 8080;
  REQUIRE(s.rewrite());
  CHECK(s.word(source_at) == 0x0a000009);
  CHECK(s.word(destination_at) == 0x0a000001);
  CHECK(s.again().sums_hold());
  CHECK(s.wanted.destination_low == v4(0x0a000009));
  CHECK(s.wanted.destination_port == 8080);
}

TEST_CASE("a quote that ends within or before the TCP checksum") {
  for (const std::size_t quoted : {8u, 16u, 17u, 18u}) {
    Edited s(ipv4_unreachable_tcp);
    const std::size_t quote = s.layout.quoted_network, transport = s.layout.quoted_transport;
    s.data.resize(transport + 30, 0xee);
    s.set(ip_at + 2, {0, static_cast<std::uint8_t>(transport + quoted - ip_at)}).fix_ipv4();
    s.start();
    s.wanted.source_low = outer;
    REQUIRE(s.rewrite());
    const bool there = quoted == 18;
    CHECK((s.half(transport + 16) != 0xeeee) == there);
    CHECK(s.half(transport + 18) == 0xeeee);
    CHECK(ipv4_checksum_holds(s.block.get() + quote));
  }
}

TEST_CASE("what follows the quoted packet is not its checksum (RFC 4884)") {
  Edited s(ipv4_unreachable_tcp);
  const std::size_t quote = s.layout.quoted_network, transport = s.layout.quoted_transport;
  s.data.resize(transport + 30, 0xee);
  s.set(ip_at + 2, {0, static_cast<std::uint8_t>(transport + 30 - ip_at)}).fix_ipv4();
  s.set(quote + 2, {0, 37}).fix_ipv4(quote);
  s.start();
  s.wanted.source_low = outer;
  REQUIRE(s.rewrite());
  for (const std::size_t at : s.changes()) CHECK(at < quote + 20);
}

TEST_CASE("the MSS of a SYN is lowered, never raised") {
  Edited s(ipv4_syn);
  CHECK_FALSE(s.clamp(1460));
  CHECK_FALSE(s.clamp(9000));
  CHECK(s.unchanged());
  CHECK(s.clamp(1220));
  CHECK(s.changes() == std::vector<std::size_t>{v4_at + 17, v4_at + 22, v4_at + 23});
  CHECK(s.again().record.mss == 1220);
  CHECK(s.sums_hold());
}

TEST_CASE("a second MSS option, which is the one that hosts take") {
  Edited s(ipv4_syn);
  s.set(v4_at + 24, {2, 4, 0x23, 0x28, 1, 1, 2, 4, 0, 100, 0});
  s.start();
  CHECK(s.clamp(1400));
  CHECK(s.half(v4_at + 22) == 1400);
  CHECK(s.half(v4_at + 26) == 1400);
  CHECK(s.half(v4_at + 32) == 100);
}

TEST_CASE("what has no MSS to clamp") {
  for (std::string_view hex : {qinq_syn, ipv6_syn, ipv4_sack, ipv4_udp, ipv4_later, ipv6_later, ipv4_unreachable_tcp}) {
    Edited s(hex);
    CHECK_FALSE(s.clamp(1));
    CHECK(s.unchanged());
  }
  Edited established(ipv4_syn);
  established.set(v4_at + 13, {ack});
  established.start();
  CHECK_FALSE(established.clamp(1));
  for (const std::uint8_t length : {0, 1, 3, 5, 41}) {
    Edited s(ipv4_syn);
    s.set(v4_at + 21, {length});
    s.start();
    CHECK_FALSE(s.clamp(1));
    CHECK(s.unchanged());
  }
  Edited quote(ipv4_unreachable_tcp);  // whose bytes would pass for a SYN with an MSS of 0x0909
  const std::size_t quoted = quote.layout.quoted_network;
  quote.set(quoted + 4, {0xf0, syn}).set(quoted + 12, {2, 4, 9, 9}).set(destination_at, {2, 4, 9, 9}).fix_ipv4();
  quote.start();
  CHECK_FALSE(quote.clamp(1));
  Edited ended(ipv4_syn);
  ended.set(v4_at + 20, {0, 1, 2, 4, 5, 0xb4});
  ended.start();
  CHECK_FALSE(ended.clamp(1));
}

TEST_CASE("MAC addresses stand before the tags") {
  Edited s(qinq_syn);
  const std::uint8_t to[] = {2, 1, 2, 3, 4, 5}, from[] = {2, 9, 8, 7, 6, 5};
  set_destination_mac(s.frame, to);
  set_source_mac(s.frame, from);
  CHECK(std::equal(to, to + 6, s.block.get()));
  CHECK(std::equal(from, from + 6, s.block.get() + 6));
  CHECK(std::equal(s.data.begin() + 12, s.data.end(), s.block.get() + 12));
}

}  // namespace
}  // namespace snf
