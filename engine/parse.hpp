// The inside of `parse`, split by layer; nobody but the parse_*.cpp files and packet.cpp includes it.
// Each function reads below the limit it is given only, and says accepted, passed or the reason to drop.
#pragma once
#include "packet.hpp"

namespace snf {

inline constexpr ParseResult accepted{Parsed::flow, Drop::malformed};  // the reason means nothing here
inline constexpr ParseResult passed{Parsed::pass, Drop::malformed};
constexpr ParseResult refused(Drop reason) { return {Parsed::drop, reason}; }

// Bytes of a frame that hold an IP packet, whole, or cut off as an ICMP error quotes it.
struct Span {
  const std::uint8_t* frame;
  std::uint32_t start;  // offset of the IP header
  std::uint32_t limit;  // offset behind the last byte that may be read
  bool quoted;  // lengths may reach past `limit`, and the header checksum is not ours to judge (RFC 1812 4.3.2.3)
};

// What the IP headers say beyond the fields of the record.
struct Network {
  std::uint32_t transport;  // offset; for a later fragment that of its first data byte
  std::uint32_t end;        // offset behind the IP packet's last byte in this frame
  std::uint32_t fragment_id;
  std::uint32_t fragment_offset;  // bytes
  std::uint32_t fragment_start;   // offset of what offsets of fragments count from
  bool more_fragments;
  bool fragment_header;  // IPv6: there is one, even if it is atomic (RFC 6946)
};

// Reads the IP header and extension headers; sets addresses, version and protocol of the record.
ParseResult parse_ipv4(const Span& span, PacketRecord& record, Network& network);
ParseResult parse_ipv6(const Span& span, PacketRecord& record, Network& network);
ParseResult parse_ipv6_chain(const Span& span, PacketRecord& record, Network& network);

// Fragment rules that hold for both versions; then the transport header, where there is one in this frame.
ParseResult parse_payload(const std::uint8_t* frame, const Network& network, PacketRecord& record, Layout& layout);
ParseResult parse_tcp(const std::uint8_t* frame, const Network& network, PacketRecord& record);
ParseResult parse_icmp(const std::uint8_t* frame, const Network& network, PacketRecord& record, Layout& layout);

// The packet that an ICMP error quotes; network.transport is the ICMP header.
ParseResult parse_quote(const std::uint8_t* frame, const Network& network, PacketRecord& record, Layout& layout);

bool is_icmp_error(std::uint8_t version, std::uint8_t type);
bool is_icmp_query(std::uint8_t version, std::uint8_t type);  // has an identifier (RFC 792, RFC 950, RFC 4443)

// A header that does not fit in the IP packet: in a first fragment that is an attempt to hide it (RFC 1858).
constexpr ParseResult header_missing(const Network& network) {
  return refused(network.more_fragments ? Drop::fragment_tiny : Drop::malformed);
}

}  // namespace snf
