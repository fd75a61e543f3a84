// ICMP and ICMPv6: queries with their identifier, errors with the flow that they quote, neighbour discovery.
#include "parse.hpp"
#include "wire.hpp"

namespace snf {
namespace {

constexpr std::uint32_t icmp_size = 8, quoted_transport_size = 8;
constexpr std::uint8_t first_discovery = 133, last_discovery = 137;

bool is_discovery(const PacketRecord& record) {
  return record.version == 6 && record.icmp_type >= first_discovery && record.icmp_type <= last_discovery;
}

// RFC 4861 sections 6.1 and 7.1; hop limit 255 says that the sender is on this link. Fragmented: RFC 6980.
ParseResult check_discovery(const Network& network, const PacketRecord& record) {
  constexpr std::uint32_t sizes[] = {8, 16, 24, 24, 40};
  const bool long_enough = network.end - network.transport >= sizes[record.icmp_type - first_discovery];
  const bool right = record.ttl == 255 && record.icmp_code == 0 && !network.fragment_header && long_enough;
  return right ? passed : refused(Drop::malformed);
}

void set_identifier(const std::uint8_t* icmp, PacketRecord& record) {
  record.source_port = record.destination_port = load16(icmp + 4);
}

// Ports from the eight bytes that every quote holds (RFC 792). An error about an error is none (RFC 1122 3.2.2).
ParseResult read_quoted_transport(const std::uint8_t* transport, PacketRecord& record) {
  if (record.protocol == protocol::tcp) record.sequence = load32(transport + 4);
  if (record.protocol == protocol::tcp || record.protocol == protocol::udp) {
    record.source_port = load16(transport);
    record.destination_port = load16(transport + 2);
    return accepted;
  }
  if (is_icmp_error(record.version, transport[0])) return refused(Drop::malformed);
  if (is_icmp_query(record.version, transport[0])) set_identifier(transport, record);
  return accepted;
}

}  // namespace

bool is_icmp_error(std::uint8_t version, std::uint8_t type) {
  if (version == 6) return type >= 1 && type <= 4;  // RFC 4443 section 2.1
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

bool is_icmp_query(std::uint8_t version, std::uint8_t type) {
  if (version == 6) return type == 128 || type == 129;
  return type == 0 || type == 8 || (type >= 13 && type <= 18);
}

ParseResult parse_icmp(const std::uint8_t* frame, const Network& network, PacketRecord& record, Layout& layout) {
  if (network.end - network.transport < icmp_size) return header_missing(network);
  const std::uint8_t* icmp = frame + network.transport;
  record.icmp_type = icmp[0];
  record.icmp_code = icmp[1];
  record.payload_length = network.end - network.transport - icmp_size;
  if (is_icmp_error(record.version, icmp[0])) return parse_quote(frame, network, record, layout);
  if (is_discovery(record)) return check_discovery(network, record);
  if (is_icmp_query(record.version, icmp[0])) set_identifier(icmp, record);
  return accepted;
}

ParseResult parse_quote(const std::uint8_t* frame, const Network& network, PacketRecord& record, Layout& layout) {
  if (network.more_fragments) return refused(Drop::malformed);  // errors are small: RFC 1812 4.3.2.3, RFC 4443 2.4
  const std::uint64_t high = record.destination_high, low = record.destination_low;
  const Span span{frame, network.transport + icmp_size, network.end, true};
  Network quoted{};
  const ParseResult result = record.version == 4 ? parse_ipv4(span, record, quoted) : parse_ipv6(span, record, quoted);
  if (result.what != Parsed::flow || quoted.fragment_offset != 0) return refused(Drop::malformed);
  // An error goes to whom it quotes; conntrack checks the same (nf_conntrack_inet_error).
  if (record.source_high != high || record.source_low != low) return refused(Drop::malformed);
  record.kind = static_cast<std::uint8_t>(Kind::icmp_error);
  layout.quoted_network = static_cast<std::uint16_t>(span.start);
  layout.quoted_transport = static_cast<std::uint16_t>(quoted.transport);
  const bool has_identity = record.protocol == protocol::tcp || record.protocol == protocol::udp ||
                            record.protocol == (record.version == 4 ? protocol::icmp : protocol::icmpv6);
  if (!has_identity) return accepted;
  if (quoted.end - quoted.transport < quoted_transport_size) return refused(Drop::malformed);
  return read_quoted_transport(frame + quoted.transport, record);
}

}  // namespace snf
