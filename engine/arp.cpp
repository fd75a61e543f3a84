#include "arp.hpp"

#include <cstring>

#include "wire.hpp"

namespace snf {
namespace {
constexpr std::uint64_t ethernet_ipv4 = 0x0001'0800'06'04;  // hardware type, protocol type, sizes of both addresses
constexpr std::uint32_t arp_size = 28;

std::uint32_t ipv4_of(const Address& address) { return static_cast<std::uint32_t>(address.low); }
}  // namespace

bool read_arp(const std::uint8_t* from, Arp& arp) {
  const std::uint16_t operation = load16(from + 6);
  if (load64(from) >> 16 != ethernet_ipv4 || (operation != 1 && operation != 2)) return false;
  arp.request = operation == 1;
  arp.sender_mac = load_mac(from + 8);
  arp.sender = ipv4_address(load32(from + 14));
  arp.target_mac = load_mac(from + 18);
  arp.target = ipv4_address(load32(from + 24));
  return is_one_interface(arp.sender_mac) && !is_group(arp.sender);
}

bool write_arp(Frame& frame, const LinkHeader& header, const Arp& arp) {
  std::uint8_t* to = begin_frame(frame, header, ethertype::arp, arp_size);
  if (to == nullptr) return false;
  store64(to, ethernet_ipv4 << 16 | (arp.request ? 1 : 2));
  std::memcpy(to + 8, arp.sender_mac.data(), 6);
  store32(to + 14, ipv4_of(arp.sender));
  std::memcpy(to + 18, arp.target_mac.data(), 6);
  store32(to + 24, ipv4_of(arp.target));
  return true;
}

}  // namespace snf
