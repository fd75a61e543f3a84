// ICMP errors: the quoted packet, and the headers that carry it (RFC 5508 section 4).
#include <algorithm>

#include "rewrite_place.hpp"

namespace snf {
namespace {

// What follows the quoted packet in the frame is not its own (RFC 4884).
template <bool four>
Place<four> quoted_place(const Frame& frame, const PacketRecord& packet, const Layout& layout) {
  std::uint8_t* ip = frame.data + layout.quoted_network;
  const std::uint32_t length = four ? load16(ip + 2) : 40u + load16(ip + 4);
  const std::uint8_t* end = frame.data + std::min(layout.quoted_network + length, layout.end);
  return {ip, frame.data + layout.quoted_transport, end, packet.protocol};
}

template <bool four>
bool has_other_address(const std::uint8_t* at, std::uint64_t high, std::uint64_t low) {
  if constexpr (four) return load32(at) != static_cast<std::uint32_t>(low);
  return load64(at) != high || load64(at + 8) != low;
}

// The error's destination is the quote's source: parse accepts no other.
template <bool four>
bool rewrite_as(const Frame& frame, const PacketRecord& packet, const Layout& layout, const Tuple& wanted) {
  const Place<four> error = own_place<four>(frame, packet, layout), quote = quoted_place<four>(frame, packet, layout);
  const Ports ports = quote.ports();
  if (!can_say<four>(ports, wanted)) return false;
  std::uint64_t addresses = replace_address<four>(error.destination(), wanted.source_high, wanted.source_low);
  if (has_other_address<four>(quote.destination(), wanted.destination_high, wanted.destination_low)) {
    addresses += replace_address<four>(error.source(), wanted.destination_high, wanted.destination_low);
  }
  if (four) adjust(error.ip + 10, addresses);
  adjust(error.transport + 2, edit(quote, ports, wanted) + (four ? 0 : addresses));
  return true;
}

}  // namespace

bool rewrite_error(const Frame& frame, const PacketRecord& packet, const Layout& layout, const Tuple& wanted) {
  return (packet.version == 4 ? rewrite_as<true> : rewrite_as<false>)(frame, packet, layout, wanted);
}

}  // namespace snf
