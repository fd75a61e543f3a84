// What parse makes of frames: fields, offsets, and the name under which each bad frame is dropped.
#include <doctest/doctest.h>

#include "frames.hpp"
#include "wire.hpp"

namespace snf {
namespace {

using namespace frames;
using V = std::vector<std::uint8_t>;

constexpr std::uint64_t mapped(std::uint32_t address) { return mapped_prefix << 32 | address; }
constexpr std::uint64_t inside6 = 0xfd00000000000000, outside6 = 0x20010db800000000;

Kind kind_of(const Sample& sample) { return static_cast<Kind>(sample.record.kind); }

void check_ports(const Sample& sample, int source, int destination) {
  CHECK(sample.record.source_port == source);
  CHECK(sample.record.destination_port == destination);
}

TEST_CASE("every field of an IPv4 SYN") {
  Sample s(ipv4_syn);
  REQUIRE(s.parse(Side::outside).what == Parsed::flow);
  const PacketRecord& r = s.record;
  CHECK(r.version == 4);
  CHECK(r.protocol == protocol::tcp);
  CHECK(r.source_high == 0);
  CHECK(r.source_low == mapped(0x0a000001));
  CHECK(r.destination_high == 0);
  CHECK(r.destination_low == mapped(0xc0000209));
  check_ports(s, 40000, 443);
  CHECK(r.sequence == 0x01020304);
  CHECK(r.acknowledgement == 0);
  CHECK(r.sack == 0);
  CHECK(r.payload_length == 0);
  CHECK(r.frame_length == 74);
  CHECK(r.window == 64240);
  CHECK(r.mss == 1460);
  CHECK(r.window_scale == 7);
  CHECK(r.tcp_flags == syn);
  CHECK(r.direction == 1);
  CHECK(r.ttl == 64);
  CHECK(r.vlan == 0);
  CHECK(kind_of(s) == Kind::ordinary);
  CHECK(s.layout.network == ip_at);
  CHECK(s.layout.transport == v4_at);
  CHECK(s.layout.end == 74);
  CHECK_FALSE(s.layout.first_fragment);
}

TEST_CASE("nothing of an earlier packet shows through, padding included") {
  for (std::string_view hex : {ipv4_syn, ipv4_udp, ipv6_later, ipv4_unreachable, arp_request}) {
    Sample a(hex), b(hex);
    a.parse();
    b.parse();
    std::memset(static_cast<void*>(&b.record), 0x5a, sizeof b.record);
    parse(b.frame, b.record, b.layout);
    CHECK(std::memcmp(&a.record, &b.record, sizeof a.record) == 0);
  }
}

TEST_CASE("TCP options: SACK right edge, time stamps, garbage") {
  Sample s(ipv4_sack);
  REQUIRE(s.is_flow());
  CHECK(s.record.acknowledgement == 0xfffffff0);
  CHECK(s.record.sack == 0x60);  // beyond the wrap
  CHECK(s.record.payload_length == 3);
  CHECK(s.record.window_scale == no_window_scale);
  Sample stamps(ipv4_ack);
  REQUIRE(stamps.is_flow());
  CHECK(stamps.record.sack == 9);
  CHECK(stamps.record.payload_length == 5);
  const std::size_t options = v4_at + 20;
  CHECK(Sample(ipv4_syn).set(options, {2, 0}).is_flow());   // length 0: must end
  CHECK(Sample(ipv4_syn).set(options, {2, 41}).is_flow());  // length beyond the header
  Sample late(ipv4_syn);
  REQUIRE(late.set(options + 16, {1, 1, 1, 3}).is_flow());  // kind in the last byte, no length
  CHECK(late.record.window_scale == no_window_scale);
  Sample big(ipv4_syn);
  REQUIRE(big.set(options + 19, {200}).is_flow());
  CHECK(big.record.window_scale == 14);
  Sample ended(ipv4_syn);
  REQUIRE(ended.set(options, {0}).is_flow());
  CHECK(ended.record.mss == 0);
  Sample established(ipv4_syn);
  REQUIRE(established.set(v4_at + 13, {ack}).is_flow());
  CHECK(established.record.mss == 0);
  CHECK(established.record.window_scale == no_window_scale);
}

TEST_CASE("TCP flags are valid or not as Linux conntrack has it") {
  for (unsigned flags = 0; flags < 256; ++flags) {
    const unsigned base = flags & (fin | syn | rst | ack | urg);
    const bool valid = base == syn || base == (syn | urg) || base == (syn | ack) || base == rst ||
                       base == (rst | ack) || base == (fin | ack) || base == (fin | ack | urg) || base == ack ||
                       base == (ack | urg);
    Sample s(ipv4_syn);
    s.set(v4_at + 13, {static_cast<std::uint8_t>(flags)});
    CAPTURE(flags);
    CHECK(s.reason() == (valid ? Drop::count_ : Drop::malformed));
  }
}

TEST_CASE("TCP header length") {
  CHECK(Sample(ipv4_syn).set(v4_at + 12, {0x40}).reason() == Drop::malformed);
  CHECK(Sample(ipv4_syn).set(v4_at + 12, {0xb0}).reason() == Drop::malformed);  // 44 of 40 bytes
  CHECK(Sample(ipv4_syn).set(v4_at + 12, {0xa0}).is_flow());
  CHECK(Sample(ipv4_syn).set(ip_at + 2, {0, 39}).fix_ipv4().reason() == Drop::malformed);
}

TEST_CASE("UDP lengths: shorter than IP says is accepted, longer is not") {
  Sample s(ipv4_udp);
  REQUIRE(s.is_flow());
  check_ports(s, 5000, 53);
  CHECK(s.record.payload_length == 5);
  CHECK(Sample(ipv4_udp).set(v4_at + 4, {0, 8}).is_flow());
  CHECK(Sample(ipv4_udp).set(v4_at + 4, {0, 7}).reason() == Drop::malformed);
  CHECK(Sample(ipv4_udp).set(v4_at + 4, {0, 14}).reason() == Drop::malformed);
  CHECK(Sample(ipv4_udp).set(v4_at, {0, 0, 0, 0}).is_flow());  // port 0: as conntrack
}

TEST_CASE("IPv4 header") {
  Sample options(ipv4_options_udp);
  REQUIRE(options.is_flow());
  CHECK(options.layout.transport == v4_at + 4);
  check_ports(options, 5000, 53);
  CHECK(Sample(ipv4_udp).set(ip_at + 8, {1}).reason() == Drop::bad_checksum);
  CHECK(Sample(ipv4_udp).set(ip_at, {0x44}).reason() == Drop::malformed);
  CHECK(Sample(ipv4_udp).set(ip_at, {0x65}).reason() == Drop::malformed);
  CHECK(Sample(ipv4_udp).set(ip_at + 2, {0, 19}).fix_ipv4().reason() == Drop::malformed);
  CHECK(Sample(ipv4_udp).set(ip_at + 2, {0, 34}).fix_ipv4().reason() == Drop::truncated);
  Sample padded(ipv4_udp);
  padded.data.resize(60, 0xee);
  REQUIRE(padded.is_flow());
  CHECK(padded.record.payload_length == 5);
  CHECK(padded.layout.end == 47);
  Sample gre(ipv4_gre);
  REQUIRE(gre.is_flow());
  check_ports(gre, 0, 0);
  CHECK(gre.record.payload_length == 4);
  CHECK(gre.layout.transport == v4_at);
}

TEST_CASE("every frame that is cut short is dropped, and read no further") {
  for (std::string_view hex : {ipv4_syn, ipv4_options_udp, ipv4_unreachable, qinq_syn, ipv6_chain, ipv6_first,
                               ipv6_too_big, ipv6_solicitation, arp_request}) {
    const std::size_t whole = bytes(hex).size();
    for (std::size_t length = 0; length < whole; ++length) {
      CAPTURE(length);
      CHECK(Sample(hex).cut(length).reason() == Drop::truncated);
    }
  }
}

TEST_CASE("tags and ether types") {
  Sample s(qinq_syn);
  REQUIRE(s.is_flow());
  CHECK(s.record.vlan == 100);
  CHECK(s.layout.network == 22);
  check_ports(s, 40000, 443);
  CHECK(Sample(qinq_syn).set(12, {0x91, 0x00}).is_flow());
  CHECK(Sample(qinq_syn).insert(12, {0x81, 0x00, 0x00, 0x05}).is_flow());  // three tags
  CHECK(Sample(qinq_syn).insert(12, {0x81, 0, 0, 5, 0x81, 0, 0, 6}).reason() == Drop::not_ip);
  CHECK(Sample(arp_request).is_passed());
  CHECK(Sample(arp_request).insert(12, {0x81, 0x00, 0x00, 0x05}).is_passed());
  CHECK(Sample(arp_request).set(12, {0x88, 0xcc}).reason() == Drop::not_ip);
  CHECK(Sample(arp_request).set(12, {0x00, 0x26}).reason() == Drop::not_ip);  // 802.3 length
  CHECK(Sample(ipv4_udp).set(12, {0x86, 0xdd}).reason() == Drop::truncated);
}

TEST_CASE("a jumbo frame") {
  Sample s(ipv4_udp);
  s.data.resize(9014, 0x11);
  REQUIRE(s.set(ip_at + 2, {0x23, 0x28}).set(v4_at + 4, {0x23, 0x14}).fix_ipv4().is_flow());
  CHECK(s.record.payload_length == 9000 - 28);
}

TEST_CASE("IPv4 fragments") {
  Sample first(ipv4_first);
  REQUIRE(first.is_flow());
  CHECK(kind_of(first) == Kind::ordinary);
  CHECK(first.layout.first_fragment);
  CHECK(first.layout.fragment_id == 0x1234);
  check_ports(first, 5000, 53);
  Sample later(ipv4_later);
  REQUIRE(later.is_flow());
  CHECK(kind_of(later) == Kind::fragment);
  CHECK_FALSE(later.layout.first_fragment);
  CHECK(later.layout.fragment_id == 0x1234);
  CHECK(later.layout.fragment_offset == 16);
  CHECK(later.layout.transport == 0);
  CHECK(later.record.payload_length == 32);
  check_ports(later, 0, 0);
}

TEST_CASE("fragments that hide or overwrite a transport header (RFC 1858, RFC 3128)") {
  const V more{0x20, 0x00};
  CHECK(Sample(ipv4_syn).set(ip_at + 6, more).fix_ipv4().is_flow());
  const auto tiny = [&](std::uint8_t total) {
    return Sample(ipv4_syn).set(ip_at + 2, {0, total}).set(ip_at + 6, more).fix_ipv4().reason();
  };
  CHECK(tiny(20 + 8) == Drop::fragment_tiny);
  CHECK(tiny(20 + 32) == Drop::fragment_tiny);  // 20 bytes of header there, its options not
  CHECK(tiny(20 + 36) == Drop::malformed);      // no multiple of 8
  const auto later_tcp = [](std::uint8_t offset) {
    return Sample(ipv4_later).set(ip_at + 6, {0, offset}).set(ip_at + 9, {6}).fix_ipv4().reason();
  };
  CHECK(later_tcp(1) == Drop::fragment_overlap);
  CHECK(later_tcp(2) == Drop::fragment_overlap);
  CHECK(later_tcp(3) == Drop::count_);
}

TEST_CASE("fragments that cannot be") {
  CHECK(Sample(ipv4_later).set(ip_at + 6, {0x1f, 0xff}).fix_ipv4().reason() == Drop::malformed);  // past 65535
  CHECK(Sample(ipv4_later).set(ip_at + 6, {0x1f, 0xfb}).fix_ipv4().is_flow());
  CHECK(Sample(ipv4_later).set(ip_at + 2, {0, 20}).fix_ipv4().reason() == Drop::malformed);  // empty
  CHECK(Sample(ipv4_later).set(ip_at + 2, {0, 51}).set(ip_at + 6, {0x20, 2}).fix_ipv4().reason() == Drop::malformed);
  const auto error = [](std::uint8_t flags) {
    return Sample(ipv4_unreachable).set(ip_at + 2, {0, 60}).set(ip_at + 6, {flags, 0}).fix_ipv4().reason();
  };
  CHECK(error(0x00) == Drop::count_);
  CHECK(error(0x20) == Drop::malformed);  // errors are too small to be fragmented
}

TEST_CASE("IPv6 and its extension headers") {
  Sample udp(ipv6_udp);
  REQUIRE(udp.is_flow());
  CHECK(udp.record.version == 6);
  CHECK(udp.record.source_high == inside6);
  CHECK(udp.record.source_low == 1);
  CHECK(udp.record.destination_high == outside6);
  CHECK(udp.record.destination_low == 9);
  CHECK(udp.record.ttl == 64);
  check_ports(udp, 5000, 53);
  Sample chain(ipv6_chain);
  REQUIRE(chain.is_flow());
  CHECK(chain.record.protocol == protocol::tcp);
  CHECK(kind_of(chain) == Kind::ordinary);  // an atomic fragment (RFC 6946)
  CHECK_FALSE(chain.layout.first_fragment);
  CHECK(chain.layout.transport == v6_at + 8 * 4 + 24);
  CHECK(chain.record.payload_length == 3);
  check_ports(chain, 40000, 443);
}

TEST_CASE("IPv6 headers that are refused") {
  CHECK(Sample(ipv6_udp).set(ip_at, {0x40}).reason() == Drop::malformed);
  CHECK(Sample(ipv6_udp).set(ip_at + 4, {0, 7}).reason() == Drop::malformed);
  for (std::uint8_t hidden : {135, 139, 140, 253, 254})
    CHECK(Sample(ipv6_udp).set(ip_at + 6, {hidden}).reason() == Drop::unsupported_header);
  CHECK(Sample(ipv6_udp).set(ip_at + 6, {50}).is_flow());  // ESP is the transport
  const std::size_t routing = v6_at + 8, options = v6_at + 16, fragment = v6_at + 24;
  CHECK(Sample(ipv6_chain).set(routing + 3, {1}).reason() == Drop::unsupported_header);  // a segment left
  CHECK(Sample(ipv6_chain).set(routing, {0}).reason() == Drop::malformed);               // hop-by-hop, not first
  CHECK(Sample(ipv6_chain).set(options + 1, {20}).reason() == Drop::malformed);          // longer than the packet
  Sample twice(ipv6_chain);                                                              // a second fragment header
  twice.insert(fragment, {44, 0, 0, 0, 0, 0, 0, 1}).set(ip_at + 4, {0, 87});
  CHECK(twice.reason() == Drop::malformed);
  V mapped_address(16, 0);
  mapped_address[10] = mapped_address[11] = 0xff;
  CHECK(Sample(ipv6_udp).set(ip_at + 8, mapped_address).reason() == Drop::malformed);
  CHECK(Sample(ipv6_udp).set(ip_at + 24, mapped_address).reason() == Drop::malformed);
}

TEST_CASE("a chain of extension headers has an end") {
  const auto chain = [](unsigned headers) {
    Sample s(ipv6_udp);
    for (unsigned i = 0; i < headers; ++i)
      s.insert(v6_at, {static_cast<std::uint8_t>(i == 0 ? 17 : 60), 0, 1, 4, 0, 0, 0, 0});
    return s.set(ip_at + 4, {0, static_cast<std::uint8_t>(13 + 8 * headers)}).set(ip_at + 6, {60}).reason();
  };
  CHECK(chain(8) == Drop::count_);
  CHECK(chain(9) == Drop::unsupported_header);
}

TEST_CASE("IPv6 fragments") {
  Sample first(ipv6_first);
  REQUIRE(first.is_flow());
  CHECK(first.layout.first_fragment);
  CHECK(first.layout.fragment_id == 0x55667788);
  check_ports(first, 5000, 53);
  Sample later(ipv6_later);
  REQUIRE(later.is_flow());
  CHECK(kind_of(later) == Kind::fragment);
  CHECK(later.layout.fragment_id == 0x55667788);
  CHECK(later.layout.fragment_offset == 32);
  CHECK(later.layout.transport == 0);
  const std::size_t field = v6_at + 2;
  CHECK(Sample(ipv6_later).set(field, {0, 0x10}).reason() == Drop::fragment_overlap);  // offset 16, UDP or not
  CHECK(Sample(ipv6_first).set(v6_at, {6}).set(ip_at + 4, {0, 24}).reason() == Drop::fragment_tiny);
  CHECK(Sample(ipv6_first).set(v6_at, {60}).set(v6_at + 9, {9}).reason() == Drop::fragment_tiny);  // RFC 7112
}

TEST_CASE("ICMP queries carry their identifier in both ports") {
  Sample s(ipv4_echo), s6(ipv6_echo);
  REQUIRE(s.is_flow());
  check_ports(s, 0xbeef, 0xbeef);
  CHECK(s.record.icmp_type == 8);
  CHECK(s.record.payload_length == 4);
  REQUIRE(s6.is_flow());
  check_ports(s6, 0xbeef, 0xbeef);
  CHECK(s6.record.icmp_type == 128);
  Sample router(ipv4_echo);
  REQUIRE(router.set(v4_at, {9}).is_flow());
  check_ports(router, 0, 0);
  CHECK(Sample(ipv4_echo).set(ip_at + 2, {0, 27}).fix_ipv4().reason() == Drop::malformed);
  Sample crossed(ipv4_echo);  // ICMPv6 has no meaning in IPv4
  REQUIRE(crossed.set(ip_at + 9, {58}).fix_ipv4().is_flow());
  check_ports(crossed, 0, 0);
}

TEST_CASE("ICMP errors carry the tuple that they quote") {
  Sample s(ipv4_unreachable);
  REQUIRE(s.is_flow());
  CHECK(kind_of(s) == Kind::icmp_error);
  CHECK(s.record.source_low == mapped(0x0a000001));
  CHECK(s.record.destination_low == mapped(0xc0000209));
  CHECK(s.record.protocol == protocol::udp);
  CHECK(s.record.icmp_type == 3);
  CHECK(s.record.icmp_code == 1);
  CHECK(s.record.ttl == 9);  // the error's own
  check_ports(s, 5000, 53);
  CHECK(s.layout.transport == v4_at);
  CHECK(s.layout.quoted_network == v4_at + 8);
  CHECK(s.layout.quoted_transport == v4_at + 28);
  Sample tcp(ipv4_unreachable_tcp);
  REQUIRE(tcp.is_flow());
  check_ports(tcp, 40000, 443);
  CHECK(tcp.record.sequence == 0x0a0b0c0d);
  Sample big(ipv6_too_big);
  REQUIRE(big.is_flow());
  CHECK(kind_of(big) == Kind::icmp_error);
  CHECK(big.record.protocol == protocol::tcp);
  CHECK(big.record.source_high == inside6);
  CHECK(big.record.sequence == 0x0a0b0c0d);
  check_ports(big, 40000, 443);
  for (std::uint8_t type : {3, 4, 5, 11, 12}) {
    Sample error(ipv4_unreachable);
    REQUIRE(error.set(v4_at, {type}).is_flow());
    CHECK(kind_of(error) == Kind::icmp_error);
  }
}

TEST_CASE("quotes that cannot be used") {
  const std::size_t quote = v4_at + 8;
  CHECK(Sample(ipv4_unreachable).set(quote + 15, {2}).reason() == Drop::malformed);    // not who gets it
  CHECK(Sample(ipv4_unreachable).set(quote + 6, {0, 1}).reason() == Drop::malformed);  // a later fragment
  CHECK(Sample(ipv4_unreachable).set(quote, {0x44}).reason() == Drop::malformed);
  CHECK(Sample(ipv4_unreachable).set(quote + 9, {1, 0, 0}).set(quote + 20, {3}).reason() == Drop::malformed);
  Sample echo(ipv4_unreachable);  // quoted echo request, its identifier where UDP has its length: 13
  REQUIRE(echo.set(quote + 9, {1}).set(quote + 20, {8}).is_flow());
  check_ports(echo, 13, 13);
  CHECK(Sample(ipv4_unreachable_tcp).set(ip_at + 2, {0, 55}).fix_ipv4().reason() == Drop::malformed);  // 7 bytes
  CHECK(Sample(ipv4_unreachable_tcp).set(ip_at + 2, {0, 46}).fix_ipv4().reason() == Drop::malformed);
}

TEST_CASE("neighbour discovery passes, but not from afar") {
  CHECK(Sample(ipv6_solicitation).is_passed());
  CHECK(Sample(ipv6_solicitation).set(ip_at + 7, {254}).reason() == Drop::malformed);
  CHECK(Sample(ipv6_solicitation).set(v6_at + 1, {1}).reason() == Drop::malformed);
  CHECK(Sample(ipv6_solicitation).set(ip_at + 4, {0, 23}).reason() == Drop::malformed);
  for (std::uint8_t type : {133, 134, 135, 136}) CHECK(Sample(ipv6_solicitation).set(v6_at, {type}).is_passed());
  CHECK(Sample(ipv6_solicitation).set(v6_at, {137}).reason() == Drop::malformed);  // a redirect has 40 bytes
  Sample atomic(ipv6_solicitation);                                                // RFC 6980
  atomic.insert(v6_at, {58, 0, 0, 0, 0, 0, 0, 1}).set(ip_at + 4, {0, 32}).set(ip_at + 6, {44});
  CHECK(atomic.reason() == Drop::malformed);
}

TEST_CASE("transport checksums") {
  for (std::string_view hex : {ipv4_syn, ipv4_sack, ipv4_udp, ipv4_options_udp, ipv4_echo, ipv4_unreachable, qinq_syn,
                               ipv6_udp, ipv6_syn, ipv6_chain, ipv6_echo, ipv6_too_big}) {
    CAPTURE(hex);
    Sample s(hex), wrong(hex);
    REQUIRE(s.is_flow());
    CHECK(s.sums_hold());
    wrong.data.back() ^= 1;
    REQUIRE(wrong.is_flow());
    CHECK_FALSE(wrong.sums_hold());
  }
  for (std::string_view hex : {ipv4_later, ipv4_first, ipv4_gre, ipv6_later, ipv6_first}) {
    Sample s(hex);
    s.data.back() ^= 1;
    REQUIRE(s.is_flow());
    CHECK(s.sums_hold());  // cannot be told
  }
  Sample first(ipv4_first);  // its UDP length reaches behind the frame
  REQUIRE(first.set(v4_at + 6, {1, 2}).is_flow());
  CHECK(first.sums_hold());
  Sample none(ipv4_udp);
  REQUIRE(none.set(v4_at + 6, {0, 0}).is_flow());
  CHECK(none.sums_hold());
}

}  // namespace
}  // namespace snf
