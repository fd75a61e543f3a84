#include "discovery.hpp"

#include <cstring>

#include "checksum.hpp"
#include "parse.hpp"
#include "wire.hpp"

namespace snf {
namespace {

constexpr std::uint8_t solicitation_type = 135, advertisement_type = 136;
constexpr std::uint8_t source_mac_option = 1, target_mac_option = 2;
constexpr std::uint32_t ipv6_size = 40, fixed_size = 24, option_size = 8;
constexpr std::uint8_t router_flag = 0x80, solicited_flag = 0x40, override_flag = 0x20;

Address load_address(const std::uint8_t* from) { return {load64(from), load64(from + 8)}; }
void store_address(std::uint8_t* to, const Address& address) {
  store64(to, address.high);
  store64(to + 8, address.low);
}

// False for an option without length, or one that reaches past the end. Unknown ones are skipped (RFC 4861 4.6).
bool read_options(const std::uint8_t* at, const std::uint8_t* end, Discovery& discovery) {
  const std::uint8_t wanted = discovery.solicitation ? source_mac_option : target_mac_option;
  while (at != end) {
    if (end - at < 8 || at[1] == 0 || end - at < at[1] * 8) return false;
    if (at[0] == wanted && at[1] == 1 && !discovery.has_mac) {
      discovery.mac = load_mac(at + 2);
      discovery.has_mac = true;
    }
    at += at[1] * 8;
  }
  return !discovery.has_mac || is_one_interface(discovery.mac);
}

// RFC 4861 sections 7.1.1 and 7.1.2, what `parse` has not asked yet.
bool consistent(const Discovery& discovery) {
  const Address& target = discovery.target;  // a mapped one would pass for IPv4 (parse refuses those in the header)
  if (is_ipv4(target) || is_group(target) || is_unspecified(target) || is_group(discovery.source)) return false;
  if (!discovery.solicitation) {
    return !is_unspecified(discovery.source) && !(is_group(discovery.destination) && discovery.solicited);
  }
  if (!is_unspecified(discovery.source)) return true;
  return discovery.destination == solicited_node(discovery.target) && !discovery.has_mac;
}

void write_ipv6(std::uint8_t* ip, const Discovery& discovery, std::uint32_t payload) {
  ip[0] = 0x60;
  store16(ip + 4, static_cast<std::uint16_t>(payload));
  ip[6] = protocol::icmpv6;
  ip[7] = 255;
  store_address(ip + 8, discovery.source);
  store_address(ip + 24, discovery.destination);
}

void write_message(std::uint8_t* icmp, const Discovery& discovery) {
  icmp[0] = discovery.solicitation ? solicitation_type : advertisement_type;
  if (!discovery.solicitation) {
    icmp[4] = static_cast<std::uint8_t>(router_flag | (discovery.solicited ? solicited_flag : 0) |
                                        (discovery.overrides ? override_flag : 0));
  }
  store_address(icmp + 8, discovery.target);
  if (!discovery.has_mac) return;
  icmp[fixed_size] = discovery.solicitation ? source_mac_option : target_mac_option;
  icmp[fixed_size + 1] = 1;
  std::memcpy(icmp + fixed_size + 2, discovery.mac.data(), 6);
}

}  // namespace

Address link_local(const Mac& mac) {
  const std::uint64_t vendor = static_cast<std::uint64_t>(mac[0] ^ 2) << 16 | mac[1] << 8 | mac[2];
  const std::uint64_t serial = static_cast<std::uint64_t>(mac[3]) << 16 | mac[4] << 8 | mac[5];
  return {0xfe80'0000'0000'0000, vendor << 40 | std::uint64_t{0xfffe} << 24 | serial};
}

Mac group_mac(const Address& group) {
  Mac mac{0x33, 0x33};
  store32(mac.data() + 2, static_cast<std::uint32_t>(group.low));
  return mac;
}

bool is_solicitation_or_advertisement(const PacketRecord& packet) {
  return packet.version == 6 && (packet.icmp_type == solicitation_type || packet.icmp_type == advertisement_type);
}

ParseResult read_discovery(const Frame& frame, const PacketRecord& packet, const Layout& layout, Discovery& discovery) {
  const std::uint8_t* icmp = frame.data + layout.transport;
  discovery = Discovery{};
  discovery.solicitation = packet.icmp_type == solicitation_type;
  discovery.solicited = !discovery.solicitation && icmp[4] & solicited_flag;
  discovery.overrides = !discovery.solicitation && icmp[4] & override_flag;
  discovery.source = {packet.source_high, packet.source_low};
  discovery.destination = {packet.destination_high, packet.destination_low};
  discovery.target = load_address(icmp + 8);
  if (!checksums_hold(frame, packet, layout)) return refused(Drop::bad_checksum);
  const bool whole = read_options(icmp + fixed_size, frame.data + layout.end, discovery);
  return whole && consistent(discovery) ? accepted : refused(Drop::malformed);
}

bool write_discovery(Frame& frame, const LinkHeader& header, const Discovery& discovery) {
  const std::uint32_t size = fixed_size + (discovery.has_mac ? option_size : 0);
  std::uint8_t* ip = begin_frame(frame, header, ethertype::ipv6, ipv6_size + size);
  if (ip == nullptr) return false;
  std::uint8_t* icmp = ip + ipv6_size;
  write_ipv6(ip, discovery, size);
  write_message(icmp, discovery);
  const std::uint64_t sum = checksum_add(pseudo_header_sum(ip, protocol::icmpv6, size), icmp, size);
  const auto checksum = static_cast<std::uint16_t>(~checksum_fold(sum));
  std::memcpy(icmp + 2, &checksum, 2);
  return true;
}

}  // namespace snf
