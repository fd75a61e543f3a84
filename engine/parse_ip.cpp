// IPv4 and IPv6 headers, with all extension headers that can be skipped; the same code reads a quoted packet.
// Guarantees: transport <= end <= limit, whatever the headers say.
#include <algorithm>

#include "checksum.hpp"
#include "parse.hpp"
#include "wire.hpp"

namespace snf {
namespace {

constexpr std::uint32_t ipv4_size = 20, ipv6_size = 40;
constexpr unsigned max_extension_headers = 8;

enum Extension : std::uint8_t {
  hop_by_hop = 0,
  routing = 43,
  fragmentation = 44,
  authentication = 51,
  destination_options = 60,
  mobility = 135,
  host_identity = 139,
  shim6 = 140,
  experiment1 = 253,
  experiment2 = 254,
};

bool is_mapped(std::uint64_t high, std::uint64_t low) { return high == 0 && low >> 32 == mapped_prefix; }

void read_fragment_field(std::uint16_t field, Network& network) {
  network.more_fragments = field & 0x2000;
  network.fragment_offset = (field & 0x1fffu) * 8;
}

bool hides_transport(std::uint8_t header) {
  return header == mobility || header == host_identity || header == shim6 || header == experiment1 ||
         header == experiment2;
}

bool is_extension(std::uint8_t header) {
  return header == hop_by_hop || header == routing || header == fragmentation || header == authentication ||
         header == destination_options;
}

std::uint32_t extension_size(std::uint8_t header, std::uint8_t length) {
  if (header == fragmentation) return 8;
  return header == authentication ? (length + 2u) * 4 : (length + 1u) * 8;  // RFC 4302 2.2, RFC 8200 4.3
}

// network.transport is already behind it.
void read_fragment_header(const std::uint8_t* header, Network& network) {
  network.fragment_header = true;
  network.fragment_start = network.transport;
  network.fragment_offset = load16(header + 2) & 0xfff8u;
  network.more_fragments = header[3] & 1;
  network.fragment_id = load32(header + 4);
}

// One header of the chain; accepted: it may be skipped.
ParseResult check_extension(std::uint8_t kind, const std::uint8_t* header, bool first, const Network& network) {
  if (kind == hop_by_hop && !first) return refused(Drop::malformed);  // RFC 8200 section 4.1
  if (kind == fragmentation && network.fragment_header) return refused(Drop::malformed);
  // With segments left the header's destination is not where the packet goes: no rule could judge it (RFC 5095).
  if (kind == routing && header[3] != 0) return refused(Drop::unsupported_header);
  return accepted;
}

}  // namespace

ParseResult parse_ipv4(const Span& span, PacketRecord& record, Network& network) {
  const std::uint8_t* ip = span.frame + span.start;
  const std::uint32_t room = span.limit - span.start;
  if (room < ipv4_size) return refused(Drop::truncated);
  const std::uint32_t header = (ip[0] & 15) * 4u, total = load16(ip + 2);
  if (ip[0] >> 4 != 4 || header < ipv4_size || total < header) return refused(Drop::malformed);
  if (room < header || (room < total && !span.quoted)) return refused(Drop::truncated);
  if (!span.quoted && !ipv4_checksum_holds(ip)) return refused(Drop::bad_checksum);
  record.version = 4;
  record.protocol = ip[9];
  record.source_high = record.destination_high = 0;
  record.source_low = mapped_prefix << 32 | load32(ip + 12);
  record.destination_low = mapped_prefix << 32 | load32(ip + 16);
  network.transport = network.fragment_start = span.start + header;
  network.end = std::min(span.start + total, span.limit);
  network.fragment_id = load16(ip + 4);
  read_fragment_field(load16(ip + 6), network);
  return accepted;
}

ParseResult parse_ipv6(const Span& span, PacketRecord& record, Network& network) {
  const std::uint8_t* ip = span.frame + span.start;
  const std::uint32_t room = span.limit - span.start;
  if (room < ipv6_size) return refused(Drop::truncated);
  if (ip[0] >> 4 != 6) return refused(Drop::malformed);
  const std::uint32_t total = ipv6_size + load16(ip + 4);
  if (room < total && !span.quoted) return refused(Drop::truncated);
  record.version = 6;
  record.protocol = ip[6];
  record.source_high = load64(ip + 8), record.source_low = load64(ip + 16);
  record.destination_high = load64(ip + 24), record.destination_low = load64(ip + 32);
  // The record shows IPv4 addresses as mapped ones; on the wire they would pass for IPv4 in a rule.
  if (is_mapped(record.source_high, record.source_low) || is_mapped(record.destination_high, record.destination_low))
    return refused(Drop::malformed);
  network.transport = span.start + ipv6_size;
  network.end = std::min(span.start + total, span.limit);
  return parse_ipv6_chain(span, record, network);
}

ParseResult parse_ipv6_chain(const Span& span, PacketRecord& record, Network& network) {
  for (unsigned count = 0; is_extension(record.protocol); ++count) {
    if (count == max_extension_headers) return refused(Drop::unsupported_header);
    if (network.end - network.transport < 8) return header_missing(network);
    const std::uint8_t* header = span.frame + network.transport;
    const ParseResult result = check_extension(record.protocol, header, count == 0, network);
    if (result.what != Parsed::flow) return result;
    const std::uint32_t size = extension_size(record.protocol, header[1]);
    if (network.end - network.transport < size) return header_missing(network);
    network.transport += size;
    if (record.protocol == fragmentation) read_fragment_header(header, network);
    record.protocol = header[0];
    if (network.fragment_offset != 0) return accepted;  // what follows is data
  }
  return hides_transport(record.protocol) ? refused(Drop::unsupported_header) : accepted;
}

}  // namespace snf
