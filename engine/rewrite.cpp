// One IP packet is edited at a time, the frame's own or the one that an ICMP error quotes; each edit says by how much
// it changed a sum over the bytes edited, so that the checksums around it can follow without reading anything else.
#include "rewrite.hpp"

#include <algorithm>

#include "checksum.hpp"
#include "parse.hpp"
#include "wire.hpp"

namespace snf {
namespace {

// An IP packet as it stands in the frame.
struct Place {
  std::uint8_t* ip;
  std::uint8_t* transport;  // nullptr: not here (a later fragment)
  const std::uint8_t* end;  // behind the last byte that is there
  bool four;                // IPv4
  std::uint8_t protocol;
};

enum class Ports : std::uint8_t { none, pair, identifier, elsewhere };

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

bool is_icmp(const Place& place) { return place.protocol == (place.four ? protocol::icmp : protocol::icmpv6); }

Ports ports_of(const Place& place) {
  if (place.transport == nullptr) return Ports::elsewhere;
  if (place.protocol == protocol::tcp || place.protocol == protocol::udp) return Ports::pair;
  return is_icmp(place) && is_icmp_query(place.four ? 4 : 6, place.transport[0]) ? Ports::identifier : Ports::none;
}

bool is_mapped(std::uint64_t high, std::uint64_t low) { return high == 0 && low >> 32 == mapped_prefix; }

bool can_say(const Place& place, const Tuple& wanted) {
  if (is_mapped(wanted.source_high, wanted.source_low) != place.four) return false;
  if (is_mapped(wanted.destination_high, wanted.destination_low) != place.four) return false;
  const Ports ports = ports_of(place);
  if (ports == Ports::none) return (wanted.source_port | wanted.destination_port) == 0;
  return ports != Ports::identifier || wanted.source_port == wanted.destination_port;
}

std::uint64_t replace_address(std::uint8_t* at, bool four, std::uint64_t high, std::uint64_t low) {
  if (four) return replace(at, __builtin_bswap32(static_cast<std::uint32_t>(low)));
  std::uint64_t sum = 0;
  for (const std::uint64_t half : {high, low}) {
    sum += replace(at, __builtin_bswap32(static_cast<std::uint32_t>(half >> 32)));
    sum += replace(at + 4, __builtin_bswap32(static_cast<std::uint32_t>(half)));
    at += 8;
  }
  return sum;
}

std::uint8_t* source_of(const Place& place) { return place.ip + (place.four ? 12 : 8); }
std::uint8_t* destination_of(const Place& place) { return place.ip + (place.four ? 16 : 24); }

std::uint64_t replace_ports(const Place& place, const Tuple& wanted) {
  const std::uint16_t source = __builtin_bswap16(wanted.source_port);
  const std::uint32_t destination = __builtin_bswap16(wanted.destination_port);
  switch (ports_of(place)) {
    case Ports::pair:
      return replace(place.transport, source | destination << 16);
    case Ports::identifier:
      return replace(place.transport + 4, source);
    default:
      return 0;
  }
}

// Follows a change of what the checksum covers; writes `zero` for a result of 0. The difference that this makes itself.
std::uint64_t adjust(std::uint8_t* checksum, std::uint64_t difference, std::uint16_t zero = 0) {
  if (difference == 0) return 0;
  const std::uint16_t after = checksum_adjusted(load_raw<std::uint16_t>(checksum), difference);
  return replace(checksum, after == 0 ? zero : after);
}

// 0 is "none" (RFC 768; over IPv6 RFC 6935).
std::uint64_t adjust_udp(std::uint8_t* checksum, std::uint64_t difference) {
  return load_raw<std::uint16_t>(checksum) == 0 ? 0 : adjust(checksum, difference, 0xffff);
}

// An echo reply can be zeros from end to end: then 0xffff is right and 0 is not. TCP and ICMPv6 have a pseudo header.
std::uint64_t adjust_icmp(std::uint8_t* icmp, std::uint64_t difference) {
  const bool zeros = load_raw<std::uint16_t>(icmp) == 0 && load_raw<std::uint32_t>(icmp + 4) == 0;
  return adjust(icmp + 2, difference, zeros ? 0xffff : 0);
}

// A quote of TCP may end before the checksum.
std::uint64_t adjust_transport(const Place& place, std::uint64_t addresses, std::uint64_t ports) {
  if (place.protocol == protocol::tcp)
    return place.end - place.transport >= 18 ? adjust(place.transport + 16, addresses + ports) : 0;
  if (place.protocol == protocol::udp) return adjust_udp(place.transport + 6, addresses + ports);
  if (!is_icmp(place)) return 0;
  return place.four ? adjust_icmp(place.transport, ports) : adjust(place.transport + 2, addresses + ports);
}

// The difference that all of it makes to a sum over the packet.
std::uint64_t edit(const Place& place, const Tuple& wanted) {
  const std::uint64_t addresses =
      replace_address(source_of(place), place.four, wanted.source_high, wanted.source_low) +
      replace_address(destination_of(place), place.four, wanted.destination_high, wanted.destination_low);
  const std::uint64_t header = place.four ? adjust(place.ip + 10, addresses) : 0;
  if (place.transport == nullptr) return addresses + header;
  const std::uint64_t ports = replace_ports(place, wanted);
  return addresses + header + ports + adjust_transport(place, addresses, ports);
}

Place own_place(const Frame& frame, const PacketRecord& packet, const Layout& layout) {
  std::uint8_t* transport = layout.transport == 0 ? nullptr : frame.data + layout.transport;
  return {frame.data + layout.network, transport, frame.data + layout.end, packet.version == 4, packet.protocol};
}

// What follows the quoted packet in the frame is not its own (RFC 4884).
Place quoted_place(const Frame& frame, const PacketRecord& packet, const Layout& layout) {
  std::uint8_t* ip = frame.data + layout.quoted_network;
  const std::uint32_t length = packet.version == 4 ? load16(ip + 2) : 40u + load16(ip + 4);
  const std::uint8_t* end = frame.data + std::min(layout.quoted_network + length, layout.end);
  return {ip, frame.data + layout.quoted_transport, end, packet.version == 4, packet.protocol};
}

// The error's destination is the quote's source: parse accepts no other.
void edit_error(const Place& error, const Place& quote, const Tuple& wanted) {
  const bool from_quoted = std::memcmp(source_of(error), destination_of(quote), error.four ? 4 : 16) == 0;
  std::uint64_t addresses = replace_address(destination_of(error), error.four, wanted.source_high, wanted.source_low);
  if (from_quoted)
    addresses += replace_address(source_of(error), error.four, wanted.destination_high, wanted.destination_low);
  if (error.four) adjust(error.ip + 10, addresses);
  adjust(error.transport + 2, edit(quote, wanted) + (error.four ? 0 : addresses));
}

}  // namespace

bool rewrite(const Frame& frame, const PacketRecord& packet, const Layout& layout, const Tuple& wanted) {
  const Place own = own_place(frame, packet, layout);
  if (layout.quoted_network == 0) {
    if (!can_say(own, wanted)) return false;
    edit(own, wanted);
    return true;
  }
  const Place quote = quoted_place(frame, packet, layout);
  if (!can_say(quote, wanted)) return false;
  edit_error(own, quote, wanted);
  return true;
}

}  // namespace snf
