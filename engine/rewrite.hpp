// Editing frames in place: addresses and ports, the MSS of a SYN, MAC addresses. Nothing is added, removed or moved.
// Guarantees: touches only bytes of what parse accepted, and of these only what has to differ; a checksum that held
// still holds, one that did not still does not (updates are incremental, RFC 1624); no allocation.
// In all functions `packet` and `layout` are as parse left them, but that addresses and ports of the record no longer
// matter: the frame is what is compared with. Edits do not change the layout.
#pragma once
#include <cstdint>
#include <cstring>

#include "packet.hpp"

namespace snf {

// Addresses and ports as in PacketRecord: host order, IPv4 as ::ffff:a.b.c.d, an ICMP identifier in both ports.
struct Tuple {
  std::uint64_t source_high, source_low;
  std::uint64_t destination_high, destination_low;
  std::uint16_t source_port, destination_port;
  bool operator==(const Tuple&) const = default;
};

inline Tuple tuple_of(const PacketRecord& packet) {
  return {packet.source_high,     packet.source_low,  packet.destination_high,
          packet.destination_low, packet.source_port, packet.destination_port};
}

// Gives the packet the tuple `wanted`: IPv4 and IPv6, TCP, UDP, ICMP queries; of other protocols and of later fragments
// the addresses alone (`wanted` may name a fragment's ports: they are in its first one). With a checksum of its own
// over addresses that is not TCP's, UDP's or ICMPv6's, another protocol cannot be translated (RFC 3828, RFC 4340).
// An ICMP error: `wanted` is the tuple of the packet that it quotes, as that one's sender knows it (RFC 5508 section
// 4). Its quote gets the tuple, as far as it is there; the error goes to the quote's new source; it comes from the
// quote's new destination if that is another one now, whoever sent it: a router there is hidden with what it routes for
// (RFC 5508 REQ-5); else its source stays, so that routers on the way keep their address.
// False, and nothing is changed, where the packet cannot say what is wanted: an address of the other IP version, ports
// where there are none, two different identifiers.
bool rewrite(const Frame& frame, const PacketRecord& packet, const Layout& layout, const Tuple& wanted);

// Lowers the MSS option of a SYN to `limit`, the path's MTU less 40 (IPv4) or 60 (IPv6): RFC 6691, and RFC 2923 section
// 2.1 for why. Never raises, never adds the option. True if the frame has changed.
bool clamp_mss(const Frame& frame, const PacketRecord& packet, const Layout& layout, std::uint16_t limit);

// They stand before any VLAN tag. `mac` is six bytes.
inline void set_destination_mac(const Frame& frame, const std::uint8_t mac[6]) { std::memcpy(frame.data, mac, 6); }
inline void set_source_mac(const Frame& frame, const std::uint8_t mac[6]) { std::memcpy(frame.data + 6, mac, 6); }

}  // namespace snf
