// Ethernet and VLAN tags, and the way from a frame to its packet record; the layers above are in parse_*.cpp.
// A record is written whole, so nothing of an earlier packet shows through.
#include "packet.hpp"

#include <cstring>

#include "checksum.hpp"
#include "parse.hpp"
#include "wire.hpp"

namespace snf {
namespace {

// What a record holds before anything is known. Copied as bytes, so that padding is written too.
constexpr PacketRecord blank = [] {
  PacketRecord record{};
  record.window_scale = no_window_scale;
  return record;
}();

constexpr unsigned max_tags = 3;
constexpr std::uint16_t old_qinq = 0x9100;
constexpr std::uint32_t arp_size = 28;  // RFC 826, Ethernet and IPv4

bool is_tag(std::uint16_t type) { return type == ethertype::vlan || type == ethertype::qinq || type == old_qinq; }

// Offset behind the Ethernet header and its tags, 0 if the frame ends before; `type` is what stands there.
std::uint32_t skip_ethernet(const Frame& frame, PacketRecord& record, std::uint16_t& type) {
  std::uint32_t at = 14;
  if (frame.length < at) return 0;
  type = load16(frame.data + 12);
  for (unsigned tags = 0; is_tag(type) && tags < max_tags; ++tags, at += 4) {
    if (frame.length < at + 4) return 0;
    if (tags == 0) record.vlan = load16(frame.data + at) & 0xfff;
    type = load16(frame.data + at + 2);
  }
  return at;
}

ParseResult parse_ip(const Frame& frame, std::uint16_t type, PacketRecord& record, Layout& layout) {
  const Span span{frame.data, layout.network, frame.length, false};
  Network network{};
  const ParseResult result =
      type == ethertype::ipv4 ? parse_ipv4(span, record, network) : parse_ipv6(span, record, network);
  if (result.what != Parsed::flow) return result;
  record.ttl = frame.data[span.start + (type == ethertype::ipv4 ? 8 : 7)];
  layout.end = network.end;
  return parse_payload(frame.data, network, record, layout);
}

bool transport_checksum_holds(const std::uint8_t* ip, const std::uint8_t* transport, std::uint32_t length,
                              std::uint8_t protocol) {
  if (protocol == protocol::udp) {
    // Without a checksum: RFC 768; over IPv6 tunnels may do so (RFC 6935), and Linux conntrack accepts it.
    if (load16(transport + 6) == 0) return true;
    length = load16(transport + 4);
  }
  const std::uint64_t start = protocol == protocol::icmp ? 0 : pseudo_header_sum(ip, protocol, length);
  return checksum_fold(checksum_add(start, transport, length)) == 0xffff;
}

// The protocol in the frame's own IP header, which for an ICMP error is not that of the record.
std::uint8_t own_protocol(const PacketRecord& record) {
  if (static_cast<Kind>(record.kind) != Kind::icmp_error) return record.protocol;
  return record.version == 4 ? protocol::icmp : protocol::icmpv6;
}

bool has_checksum(std::uint8_t version, std::uint8_t protocol) {
  return protocol == protocol::tcp || protocol == protocol::udp ||
         protocol == (version == 4 ? protocol::icmp : protocol::icmpv6);
}

}  // namespace

ParseResult parse(const Frame& frame, PacketRecord& record, Layout& layout) {
  std::memcpy(static_cast<void*>(&record), &blank, sizeof record);
  layout = Layout{};
  record.frame_length = frame.length;
  record.direction = static_cast<std::uint8_t>(frame.side);
  std::uint16_t type = 0;
  const std::uint32_t network = skip_ethernet(frame, record, type);
  if (network == 0) return refused(Drop::truncated);
  layout.network = static_cast<std::uint16_t>(network);
  if (type == ethertype::ipv4 || type == ethertype::ipv6) return parse_ip(frame, type, record, layout);
  if (type != ethertype::arp) return refused(Drop::not_ip);
  return frame.length - network < arp_size ? refused(Drop::truncated) : passed;
}

bool checksums_hold(const Frame& frame, const PacketRecord& record, const Layout& layout) {
  const std::uint8_t* ip = frame.data + layout.network;
  if (record.version == 4 && !ipv4_checksum_holds(ip)) return false;
  const std::uint8_t protocol = own_protocol(record);
  if (layout.transport == 0 || layout.first_fragment || !has_checksum(record.version, protocol)) return true;
  return transport_checksum_holds(ip, frame.data + layout.transport, layout.end - layout.transport, protocol);
}

}  // namespace snf
