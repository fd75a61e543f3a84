// The inside of `rewrite`: one IP packet, the frame's own or the one that an ICMP error quotes; nobody but the
// rewrite*.cpp files includes it. Each edit says by how much it changed a sum over the bytes edited, so that the
// checksums around it can follow without reading anything else.
#pragma once
#include "checksum.hpp"
#include "parse.hpp"
#include "rewrite.hpp"
#include "wire.hpp"

namespace snf {

enum class Ports : std::uint8_t { none, pair, identifier, elsewhere };

// An IP packet as it stands in the frame. `four`: IPv4; known when compiling, for the sake of speed.
template <bool four>
struct Place {
  std::uint8_t* ip;
  std::uint8_t* transport;  // nullptr: not here (a later fragment)
  const std::uint8_t* end;  // behind the last byte that is there
  std::uint8_t protocol;

  std::uint8_t* source() const { return ip + (four ? 12 : 8); }
  std::uint8_t* destination() const { return ip + (four ? 16 : 24); }
  bool is_icmp() const { return protocol == (four ? protocol::icmp : protocol::icmpv6); }
  bool has_pair() const { return protocol == protocol::tcp || protocol == protocol::udp; }
  Ports ports() const {
    if (transport == nullptr) return Ports::elsewhere;
    if (has_pair()) return Ports::pair;
    return is_icmp() && is_icmp_query(four ? 4 : 6, transport[0]) ? Ports::identifier : Ports::none;
  }
};

template <typename Word>
Word load_raw(const std::uint8_t* at) {
  Word word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

// Writes `value`, in the order of memory, where it differs. The difference that it makes to a sum.
template <typename Word>
std::uint64_t replace(std::uint8_t* at, Word value) {
  const Word before = load_raw<Word>(at);
  if (before == value) return 0;
  std::memcpy(at, &value, sizeof value);
  return checksum_difference(before, value);
}

inline bool is_mapped(std::uint64_t high, std::uint64_t low) { return high == 0 && low >> 32 == mapped_prefix; }

template <bool four>
[[gnu::always_inline]] inline bool can_say(Ports ports, const Tuple& wanted) {
  if (is_mapped(wanted.source_high, wanted.source_low) != four) return false;
  if (is_mapped(wanted.destination_high, wanted.destination_low) != four) return false;
  if (ports == Ports::none) return (wanted.source_port | wanted.destination_port) == 0;
  return ports != Ports::identifier || wanted.source_port == wanted.destination_port;
}

template <bool four>
[[gnu::always_inline]] inline std::uint64_t replace_address(std::uint8_t* at, std::uint64_t high, std::uint64_t low) {
  if constexpr (four) return replace(at, __builtin_bswap32(static_cast<std::uint32_t>(low)));
  return replace(at, __builtin_bswap64(high)) + replace(at + 8, __builtin_bswap64(low));
}

inline std::uint64_t replace_ports(std::uint8_t* transport, Ports ports, const Tuple& wanted) {
  const std::uint16_t source = __builtin_bswap16(wanted.source_port);
  const std::uint32_t destination = __builtin_bswap16(wanted.destination_port);
  if (ports == Ports::pair) return replace(transport, source | destination << 16);
  return ports == Ports::identifier ? replace(transport + 4, source) : 0;
}

// Follows a change of what the checksum covers; writes `zero` for a result of 0. The difference that this makes itself.
inline std::uint64_t adjust(std::uint8_t* checksum, std::uint64_t difference, std::uint16_t zero = 0) {
  if (difference == 0) return 0;
  const auto before = load_raw<std::uint16_t>(checksum);
  std::uint16_t after = checksum_adjusted(before, difference);
  if (after == 0) after = zero;
  std::memcpy(checksum, &after, sizeof after);
  return checksum_difference(before, after);
}

// 0 is "none" (RFC 768; over IPv6 RFC 6935).
inline std::uint64_t adjust_udp(std::uint8_t* checksum, std::uint64_t difference) {
  return load_raw<std::uint16_t>(checksum) == 0 ? 0 : adjust(checksum, difference, 0xffff);
}

// An echo reply can be zeros from end to end: then 0xffff is right and 0 is not. TCP and ICMPv6 have a pseudo header.
inline std::uint64_t adjust_icmp(std::uint8_t* icmp, std::uint64_t difference) {
  const bool zeros = load_raw<std::uint16_t>(icmp) == 0 && load_raw<std::uint32_t>(icmp + 4) == 0;
  return adjust(icmp + 2, difference, zeros ? 0xffff : 0);
}

// A quote of TCP may end before the checksum.
template <bool four>
[[gnu::always_inline]] inline std::uint64_t adjust_transport(const Place<four>& place, std::uint64_t addresses,
                                                             std::uint64_t ports) {
  if (place.protocol == protocol::tcp)
    return place.end - place.transport >= 18 ? adjust(place.transport + 16, addresses + ports) : 0;
  if (place.protocol == protocol::udp) return adjust_udp(place.transport + 6, addresses + ports);
  if (!place.is_icmp()) return 0;
  return four ? adjust_icmp(place.transport, ports) : adjust(place.transport + 2, addresses + ports);
}

// The difference that all of it makes to a sum over the packet.
template <bool four>
[[gnu::always_inline]] inline std::uint64_t edit(const Place<four>& place, Ports kind, const Tuple& wanted) {
  const std::uint64_t addresses =
      replace_address<four>(place.source(), wanted.source_high, wanted.source_low) +
      replace_address<four>(place.destination(), wanted.destination_high, wanted.destination_low);
  const std::uint64_t header = four ? adjust(place.ip + 10, addresses) : 0;
  if (kind == Ports::elsewhere) return addresses + header;
  const std::uint64_t ports = replace_ports(place.transport, kind, wanted);
  return addresses + header + ports + adjust_transport(place, addresses, ports);
}

template <bool four>
Place<four> own_place(const Frame& frame, const PacketRecord& packet, const Layout& layout) {
  std::uint8_t* transport = layout.transport == 0 ? nullptr : frame.data + layout.transport;
  return {frame.data + layout.network, transport, frame.data + layout.end, packet.protocol};
}

// `rewrite` of an ICMP error.
bool rewrite_error(const Frame& frame, const PacketRecord& packet, const Layout& layout, const Tuple& wanted);

}  // namespace snf
