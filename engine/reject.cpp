// Builds answers from the original's own headers: addresses swapped, VLAN tags kept, fresh IP header without options.
#include "reject.hpp"

#include <algorithm>
#include <cstring>

#include "checksum.hpp"
#include "parse.hpp"
#include "wire.hpp"

namespace snf {
namespace {

constexpr std::uint32_t tcp_size = 20, icmp_size = 8;
constexpr std::uint32_t ipv4_error_size = 576, ipv6_error_size = 1280;  // RFC 1812 4.3.2.3, RFC 4443 2.4 (c)
constexpr std::uint8_t hop_limit = 64;

constexpr std::uint32_t ip_size(std::uint8_t version) { return version == 4 ? 20 : 40; }
constexpr std::uint8_t icmp_of(std::uint8_t version) { return version == 4 ? protocol::icmp : protocol::icmpv6; }

bool unicast(std::uint8_t version, std::uint64_t high, std::uint64_t low) {
  if (version == 6) return high >> 56 != 0xff;
  return static_cast<std::uint32_t>(low) < 0xe0000000;  // multicast, class E and 255.255.255.255 lie above
}

// RFC 1122 section 3.2.2 and RFC 4443 section 2.4 (e): the sender must name one host.
bool single_host(std::uint8_t version, std::uint64_t high, std::uint64_t low) {
  const bool loopback_or_none =
      version == 6 ? high == 0 && low <= 1 : (low >> 24 & 0xff) == 127 || (low >> 24 & 0xff) == 0;
  return unicast(version, high, low) && !loopback_or_none;
}

bool group_address(const std::uint8_t* mac) { return mac[0] & 1; }

bool error_or_unknown(const PacketRecord& packet) {
  return packet.protocol == icmp_of(packet.version) && !is_icmp_query(packet.version, packet.icmp_type);
}

bool may_answer(const Frame& original, const PacketRecord& packet, const Layout& layout) {
  if (static_cast<Kind>(packet.kind) != Kind::ordinary) return false;
  if (packet.protocol == protocol::tcp && packet.tcp_flags & rst) return false;
  if (error_or_unknown(packet)) return false;
  if (group_address(original.data) || group_address(original.data + 6)) return false;
  if (!unicast(packet.version, packet.destination_high, packet.destination_low)) return false;
  if (!single_host(packet.version, packet.source_high, packet.source_low)) return false;
  return checksums_hold(original, packet, layout);
}

void write_ipv4(std::uint8_t* ip, const std::uint8_t* original, std::uint8_t protocol, std::uint32_t payload) {
  std::memset(ip, 0, 20);
  ip[0] = 0x45;
  store16(ip + 2, static_cast<std::uint16_t>(20 + payload));
  store16(ip + 6, 0x4000);  // never fragmented, so the identification may be 0 (RFC 6864)
  ip[8] = hop_limit;
  ip[9] = protocol;
  std::memcpy(ip + 12, original + 16, 4);
  std::memcpy(ip + 16, original + 12, 4);
  const auto checksum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, ip, 20)));
  std::memcpy(ip + 10, &checksum, 2);
}

void write_ipv6(std::uint8_t* ip, const std::uint8_t* original, std::uint8_t protocol, std::uint32_t payload) {
  std::memset(ip, 0, 8);
  ip[0] = 0x60;
  store16(ip + 4, static_cast<std::uint16_t>(payload));
  ip[6] = protocol;
  ip[7] = hop_limit;
  std::memcpy(ip + 8, original + 24, 16);
  std::memcpy(ip + 24, original + 8, 16);
}

// Ethernet, tags and IP header for `payload` bytes of transport; where those go, or nullptr if there is no room.
std::uint8_t* begin_answer(const Frame& original, std::uint8_t version, const Layout& layout, std::uint8_t protocol,
                           std::uint32_t payload, Frame& answer) {
  const std::uint32_t length = layout.network + ip_size(version) + payload;
  if (answer.capacity < length) return nullptr;
  std::memcpy(answer.data, original.data + 6, 6);
  std::memcpy(answer.data + 6, original.data, 6);
  std::memcpy(answer.data + 12, original.data + 12, layout.network - 12u);
  std::uint8_t* ip = answer.data + layout.network;
  (version == 4 ? write_ipv4 : write_ipv6)(ip, original.data + layout.network, protocol, payload);
  answer.length = length;
  answer.side = opposite(original.side);
  return ip + ip_size(version);
}

void write_checksum(const Frame& answer, const Layout& layout, std::uint8_t* transport, std::uint8_t protocol,
                    std::size_t at) {
  const auto length = static_cast<std::uint32_t>(answer.data + answer.length - transport);
  const std::uint64_t start =
      protocol == protocol::icmp ? 0 : pseudo_header_sum(answer.data + layout.network, protocol, length);
  const auto checksum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(start, transport, length)));
  std::memcpy(transport + at, &checksum, 2);
}

bool build_reset(const Frame& original, const PacketRecord& packet, const Layout& layout, Frame& answer) {
  std::uint8_t* tcp = begin_answer(original, packet.version, layout, protocol::tcp, tcp_size, answer);
  if (tcp == nullptr) return false;
  std::memset(tcp, 0, tcp_size);
  store16(tcp, packet.destination_port);
  store16(tcp + 2, packet.source_port);
  tcp[12] = tcp_size / 4 << 4;
  if (packet.tcp_flags & ack) {
    store32(tcp + 4, packet.acknowledgement);
    tcp[13] = rst;
  } else {
    const std::uint32_t controls = ((packet.tcp_flags & syn) != 0) + ((packet.tcp_flags & fin) != 0);
    store32(tcp + 8, packet.sequence + packet.payload_length + controls);
    tcp[13] = rst | ack;
  }
  write_checksum(answer, layout, tcp, protocol::tcp, 16);
  return true;
}

// Port unreachable for rejected UDP, else administratively prohibited (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1).
void write_unreachable(std::uint8_t* icmp, const PacketRecord& packet, Refusal kind) {
  const bool port = packet.protocol == protocol::udp && kind == Refusal::rejected;
  std::memset(icmp, 0, icmp_size);
  icmp[0] = packet.version == 4 ? 3 : 1;
  icmp[1] = packet.version == 4 ? (port ? 3 : 13) : (port ? 4 : 1);
}

bool build_unreachable(const Frame& original, const PacketRecord& packet, const Layout& layout, Refusal kind,
                       Frame& answer) {
  const std::uint32_t most =
      (packet.version == 4 ? ipv4_error_size : ipv6_error_size) - ip_size(packet.version) - icmp_size;
  const std::uint32_t quote = std::min(layout.end - layout.network, most);
  if (layout.transport + 8u > layout.network + quote) return false;  // nobody could tell which flow is meant
  const std::uint8_t protocol = icmp_of(packet.version);
  std::uint8_t* icmp = begin_answer(original, packet.version, layout, protocol, icmp_size + quote, answer);
  if (icmp == nullptr) return false;
  write_unreachable(icmp, packet, kind);
  std::memcpy(icmp + icmp_size, original.data + layout.network, quote);
  write_checksum(answer, layout, icmp, protocol, 2);
  return true;
}

}  // namespace

bool build_reject(const Frame& original, const PacketRecord& packet, const Layout& layout, Refusal kind,
                  Frame& answer) {
  if (!may_answer(original, packet, layout)) return false;
  const bool reset = packet.protocol == protocol::tcp && kind == Refusal::rejected;
  return reset ? build_reset(original, packet, layout, answer)
               : build_unreachable(original, packet, layout, kind, answer);
}

}  // namespace snf
