// From the IP header to ports: fragments, TCP and its options, UDP, everything else.
// What Linux conntrack calls invalid is malformed here (nf_conntrack_proto_tcp.c, nf_conntrack_proto_udp.c).
#include "parse.hpp"
#include "tcp_options.hpp"
#include "wire.hpp"

namespace snf {
namespace {

constexpr std::uint32_t tcp_size = 20, udp_size = 8, max_datagram = 65535;
constexpr std::uint8_t max_window_scale = 14;  // RFC 7323 section 2.3

// Bit i: the flags i (without PSH, ECE and CWR) are a combination that a TCP may send: conntrack's tcp_valid_flags.
constexpr std::uint64_t valid_flags = [] {
  std::uint64_t set = 0;
  for (int flags : {+syn, syn | urg, syn | ack, +rst, rst | ack, fin | ack, fin | ack | urg, +ack, ack | urg})
    set |= std::uint64_t{1} << flags;
  return set;
}();

// `option` is `length` bytes long, of which the first two are kind and length.
void read_option(const std::uint8_t* option, unsigned length, PacketRecord& record) {
  const bool opening = record.tcp_flags & syn;
  if (option[0] == segment_size && length == segment_size_length && opening) record.mss = load16(option + 2);
  if (option[0] == scale && length == 3 && opening)
    record.window_scale = option[2] < max_window_scale ? option[2] : max_window_scale;
  if (option[0] != sack_blocks || length % 8 != 2) return;
  for (unsigned at = 6; at < length; at += 8) {
    const std::uint32_t right = load32(option + at);
    if (static_cast<std::int32_t>(right - record.sack) > 0) record.sack = right;
  }
}

void read_options(const std::uint8_t* at, const std::uint8_t* end, PacketRecord& record) {
  if (end - at == 12 && load32(at) == 0x0101080a) return;  // time stamps alone (RFC 7323 appendix A): nearly always
  for_each_option(at, end, [&](const std::uint8_t* option, unsigned length) { read_option(option, length, record); });
}

ParseResult parse_udp(const std::uint8_t* frame, const Network& network, PacketRecord& record) {
  const std::uint32_t available = network.end - network.transport;
  if (available < udp_size) return header_missing(network);
  const std::uint8_t* udp = frame + network.transport;
  const std::uint32_t length = load16(udp + 4);
  if (length < udp_size || (length > available && !network.more_fragments)) return refused(Drop::malformed);
  record.source_port = load16(udp);
  record.destination_port = load16(udp + 2);
  record.payload_length = available - udp_size;
  return accepted;
}

// A later fragment must not reach into the transport header that the first one showed (RFC 1858, RFC 3128). IPv6
// reassembly believes the first fragment's next header only (RFC 8200 4.5), so there every protocol may be TCP.
ParseResult parse_later_fragment(const Network& network, PacketRecord& record, Layout& layout) {
  const std::uint32_t length = network.end - network.transport;
  if (length == 0 || network.fragment_offset + length > max_datagram) return refused(Drop::malformed);
  if (network.fragment_offset < tcp_size && (record.protocol == protocol::tcp || record.version == 6))
    return refused(Drop::fragment_overlap);
  record.kind = static_cast<std::uint8_t>(Kind::fragment);
  record.payload_length = length;
  layout.fragment_offset = static_cast<std::uint16_t>(network.fragment_offset);
  return accepted;
}

}  // namespace

ParseResult parse_tcp(const std::uint8_t* frame, const Network& network, PacketRecord& record) {
  const std::uint32_t available = network.end - network.transport;
  if (available < tcp_size) return header_missing(network);
  const std::uint8_t* tcp = frame + network.transport;
  const std::uint32_t header = (tcp[12] >> 4) * 4u;
  if (header < tcp_size) return refused(Drop::malformed);
  if (available < header) return header_missing(network);
  record.tcp_flags = tcp[13];
  if (!(valid_flags >> (tcp[13] & (fin | syn | rst | ack | urg)) & 1)) return refused(Drop::malformed);
  record.source_port = load16(tcp);
  record.destination_port = load16(tcp + 2);
  record.sequence = load32(tcp + 4);
  record.acknowledgement = record.sack = load32(tcp + 8);
  record.window = load16(tcp + 14);
  record.payload_length = available - header;
  if (header > tcp_size) read_options(tcp + tcp_size, tcp + header, record);
  return accepted;
}

namespace {

ParseResult parse_transport(const std::uint8_t* frame, const Network& network, PacketRecord& record, Layout& layout) {
  if (record.protocol == protocol::tcp) return parse_tcp(frame, network, record);
  if (record.protocol == protocol::udp) return parse_udp(frame, network, record);
  if (record.protocol == (record.version == 4 ? protocol::icmp : protocol::icmpv6))
    return parse_icmp(frame, network, record, layout);
  record.payload_length = network.end - network.transport;
  return accepted;
}

}  // namespace

ParseResult parse_payload(const std::uint8_t* frame, const Network& network, PacketRecord& record, Layout& layout) {
  layout.fragment_id = network.fragment_id;
  if (network.more_fragments && (network.end - network.transport) % 8 != 0)
    return refused(Drop::malformed);  // RFC 791 section 3.2: fragments but the last are multiples of 8 bytes
  if (network.fragment_offset != 0) return parse_later_fragment(network, record, layout);
  layout.first_fragment = network.more_fragments;
  layout.transport = static_cast<std::uint16_t>(network.transport);
  const ParseResult result = parse_transport(frame, network, record, layout);
  layout.header_end = static_cast<std::uint16_t>(network.end - record.payload_length - network.fragment_start);
  return result;
}

}  // namespace snf
