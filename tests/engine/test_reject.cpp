// Answers to rejected packets, read back by the parser, and the packets that get none.
#include <doctest/doctest.h>

#include "flow.hpp"
#include "frames.hpp"
#include "reject.hpp"
#include "wire.hpp"

namespace snf {
namespace {

using namespace frames;

// The answer to `sample`, parsed; `sample` as it was parsed when there is none.
struct Answered {
  explicit Answered(Sample& sample, std::uint32_t room = 2048, Refusal kind = Refusal::rejected) : back(ipv4_udp) {
    REQUIRE(sample.parse().what == Parsed::flow);
    std::vector<std::uint8_t> buffer(room);
    Frame frame{buffer.data(), 0, room, nullptr, Side::inside};
    given = build_reject(sample.frame, sample.record, sample.layout, kind, frame);
    if (!given) return;
    side = frame.side;
    buffer.resize(frame.length);
    back.data = buffer;
    REQUIRE(back.parse(frame.side).what == Parsed::flow);
    CHECK(back.sums_hold());
    CHECK(std::equal(&buffer[0], &buffer[6], &sample.data[6]));
    CHECK(std::equal(&buffer[6], &buffer[12], &sample.data[0]));
  }
  const PacketRecord& record() const { return back.record; }
  std::size_t size() const { return back.data.size(); }

  bool given = false;
  Side side = Side::inside;
  Sample back;
};

bool answered(Sample& sample) { return Answered(sample).given; }

Sample& with_tcp_sum(Sample& sample) {
  std::uint8_t* ip = &sample.data[ip_at];
  sample.set(v4_at + 16, {0, 0});
  const auto length = static_cast<std::uint32_t>(sample.data.size() - v4_at);
  const std::uint64_t pseudo = pseudo_header_sum(ip, protocol::tcp, length);
  const auto sum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(pseudo, &sample.data[v4_at], length)));
  std::memcpy(&sample.data[v4_at + 16], &sum, 2);
  return sample;
}

TEST_CASE("a SYN is answered by RST, ACK of the sequence behind it (RFC 9293 3.10.7.1)") {
  for (std::string_view hex : {ipv4_syn, ipv6_syn}) {
    Sample s(hex);
    const Answered a(s);
    REQUIRE(a.given);
    CHECK(a.side == Side::outside);
    CHECK(a.record().tcp_flags == (rst | ack));
    CHECK(a.record().sequence == 0);
    CHECK(a.record().acknowledgement == s.record.sequence + 1);
    CHECK(a.record().source_port == 443);
    CHECK(a.record().destination_port == 40000);
    CHECK(a.record().source_low == s.record.destination_low);
    CHECK(a.record().destination_low == s.record.source_low);
    CHECK(a.record().source_high == s.record.destination_high);
    CHECK(a.record().window == 0);
    CHECK(a.size() == s.layout.network + (s.record.version == 4 ? 40u : 60u));
  }
}

TEST_CASE("data and FIN count in the acknowledgement") {
  Sample s(ipv4_ack);
  s.set(v4_at + 13, {syn});
  const Answered data(with_tcp_sum(s));
  REQUIRE(data.given);
  CHECK(data.record().acknowledgement == 5 + 5 + 1);
  Sample wrapped(ipv4_syn);
  wrapped.set(v4_at + 4, {0xff, 0xff, 0xff, 0xff});
  CHECK(Answered(with_tcp_sum(wrapped)).record().acknowledgement == 0);
}

TEST_CASE("a segment with ACK is answered by a bare RST at the number it acknowledged") {
  for (std::string_view hex : {ipv4_sack, ipv6_chain}) {
    Sample s(hex);
    const Answered a(s);
    REQUIRE(a.given);
    CHECK(a.record().tcp_flags == rst);
    CHECK(a.record().sequence == s.record.acknowledgement);
    CHECK(a.record().acknowledgement == 0);
  }
}

TEST_CASE("VLAN tags stay") {
  Sample s(qinq_syn);
  const Answered a(s);
  REQUIRE(a.given);
  CHECK(std::equal(&a.back.data[12], &a.back.data[22], &s.data[12]));
  CHECK(a.record().vlan == 100);
}

TEST_CASE("UDP gets port unreachable, everything else prohibited, quoting the packet") {
  struct {
    std::string_view hex;
    int type, code;
  } const cases[] = {{ipv4_udp, 3, 3}, {ipv4_options_udp, 3, 3}, {ipv4_first, 3, 3}, {ipv4_echo, 3, 13},
                     {ipv6_udp, 1, 4}, {ipv6_first, 1, 4},       {ipv6_echo, 1, 1}};
  const Keys keys(1, 2);
  for (const auto& expected : cases) {
    CAPTURE(expected.hex);
    Sample s(expected.hex);
    Answered a(s);
    REQUIRE(a.given);
    CHECK(a.record().icmp_type == expected.type);
    CHECK(a.record().icmp_code == expected.code);
    CHECK(static_cast<Kind>(a.record().kind) == Kind::icmp_error);
    const std::size_t quote = a.back.layout.quoted_network;
    CHECK(std::equal(a.back.data.begin() + static_cast<long>(quote), a.back.data.end(), s.data.begin() + ip_at));
    Key asked, named;
    keys.flow(s.record, asked);
    keys.flow(a.back.record, named);
    CHECK(asked == named);
  }
}

TEST_CASE("what is prohibited gets ICMP administratively prohibited, whatever its protocol (RFC 5508 REQ-8)") {
  for (std::string_view hex : {ipv4_syn, ipv4_udp, ipv4_echo, ipv6_syn, ipv6_udp, ipv6_echo}) {
    CAPTURE(hex);
    Sample s(hex);
    const Answered a(s, 2048, Refusal::prohibited);
    REQUIRE(a.given);
    CHECK(a.record().icmp_type == (s.record.version == 4 ? 3 : 1));
    CHECK(a.record().icmp_code == (s.record.version == 4 ? 13 : 1));
    CHECK(static_cast<Kind>(a.record().kind) == Kind::icmp_error);
  }
}

TEST_CASE("a quote leaves out padding, and the answer keeps to its size") {
  Sample padded(ipv4_udp);
  padded.data.resize(60);
  CHECK(Answered(padded).size() == ip_at + 20 + 8 + 33);
  Sample big(ipv4_udp);
  big.data.resize(1514);
  big.set(ip_at + 2, {0x05, 0xdc}).set(v4_at + 4, {0x05, 0xc8}).set(v4_at + 6, {0, 0}).fix_ipv4();
  CHECK(Answered(big).size() == ip_at + 576);  // RFC 1812 section 4.3.2.3
  Sample big6(ipv6_udp);
  big6.data.resize(1514);
  big6.set(ip_at + 4, {0x05, 0xb4}).set(v6_at + 4, {0x05, 0xb4}).set(v6_at + 6, {0, 0});
  CHECK(Answered(big6).size() == ip_at + 1280);  // RFC 4443 section 2.4 (c)
}

TEST_CASE("what never gets an answer") {
  const std::size_t source = ip_at + 12, destination = ip_at + 16;
  Sample reset(ipv4_sack);
  reset.set(v4_at + 13, {rst | ack});
  CHECK_FALSE(answered(with_tcp_sum(reset)));
  for (std::string_view hex : {ipv4_unreachable, ipv4_unreachable_tcp, ipv6_too_big, ipv4_later, ipv6_later}) {
    Sample s(hex);
    CHECK_FALSE(answered(s));
  }
  const auto changed = [](std::size_t at, std::vector<std::uint8_t> bytes) {
    Sample s(ipv4_udp);  // without UDP checksum, so that addresses may change
    return answered(s.set(v4_at + 6, {0, 0}).set(at, std::move(bytes)).fix_ipv4());
  };
  CHECK(changed(source, {10, 0, 0, 7}));
  for (std::uint8_t first : {0, 127, 224, 239, 240, 255}) CHECK_FALSE(changed(source, {first}));
  for (std::uint8_t first : {224, 239, 240, 255}) CHECK_FALSE(changed(destination, {first}));
  CHECK_FALSE(changed(0, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));  // broadcast on the link
  CHECK_FALSE(changed(0, {0x01, 0x00, 0x5e}));
  CHECK_FALSE(changed(6, {0x01}));
  Sample router(ipv4_echo);
  const std::uint16_t sum =
      checksum_update(static_cast<std::uint16_t>(router.data[v4_at + 2] | router.data[v4_at + 3] << 8),
                      &router.data[v4_at], bytes("0900").data(), 2);
  router.set(v4_at, {9}).set(v4_at + 2, {static_cast<std::uint8_t>(sum), static_cast<std::uint8_t>(sum >> 8)});
  CHECK_FALSE(answered(router));  // neither query nor error
}

TEST_CASE("what never gets an answer, IPv6") {
  const auto changed = [](std::size_t at, std::vector<std::uint8_t> bytes) {
    Sample s(ipv6_udp);
    return answered(s.set(v6_at + 6, {0, 0}).set(at, std::move(bytes)));
  };
  std::vector<std::uint8_t> none(16, 0), loopback(16, 0);
  loopback[15] = 1;
  CHECK(changed(ip_at + 9, {7}));
  CHECK_FALSE(changed(ip_at + 8, none));
  CHECK_FALSE(changed(ip_at + 8, loopback));
  CHECK_FALSE(changed(ip_at + 8, {0xff, 0x02}));
  CHECK_FALSE(changed(ip_at + 24, {0xff, 0x02}));
}

TEST_CASE("a wrong checksum gets no answer") {
  for (std::string_view hex : {ipv4_syn, ipv4_udp, ipv6_udp, ipv4_echo}) {
    Sample s(hex);
    s.data.back() ^= 1;
    CHECK_FALSE(answered(s));
  }
}

TEST_CASE("an answer that does not fit is none") {
  Sample s(ipv4_syn);
  CHECK_FALSE(Answered(s, 53).given);
  CHECK(Answered(s, 54).given);
  Sample udp(ipv6_udp);
  CHECK_FALSE(Answered(udp, 14 + 48 + 52).given);
  CHECK(Answered(udp, 14 + 48 + 53).given);
}

TEST_CASE("a packet from an endpoint to itself is answered like any other") {
  Sample s(ipv4_syn);
  s.set(ip_at + 12, {10, 0, 0, 1, 10, 0, 0, 1}).set(v4_at, {1, 187, 1, 187}).fix_ipv4();
  CHECK(answered(with_tcp_sum(s)));
}

}  // namespace
}  // namespace snf
