// Reading and writing numbers as they stand on the wire (big endian, any alignment), and the few protocol numbers
// that the engine itself knows. The caller has checked the bounds.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

namespace snf {

static_assert(std::endian::native == std::endian::little, "the byte swaps below assume it");

inline std::uint16_t load16(const std::uint8_t* from) {
  std::uint16_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap16(value);
}
inline std::uint32_t load32(const std::uint8_t* from) {
  std::uint32_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap32(value);
}
inline std::uint64_t load64(const std::uint8_t* from) {
  std::uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return __builtin_bswap64(value);
}
inline void store16(std::uint8_t* to, std::uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(to, &value, sizeof value);
}
inline void store32(std::uint8_t* to, std::uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(to, &value, sizeof value);
}
inline void store64(std::uint8_t* to, std::uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(to, &value, sizeof value);
}

// IANA "Assigned Internet Protocol Numbers".
namespace protocol {
inline constexpr std::uint8_t icmp = 1, tcp = 6, udp = 17, icmpv6 = 58;
}

// IANA "IEEE 802 Numbers".
namespace ethertype {
inline constexpr std::uint16_t ipv4 = 0x0800, arp = 0x0806, vlan = 0x8100, ipv6 = 0x86dd, qinq = 0x88a8;
}

// ::ffff:0:0/96, the high part of the low half of an IPv4-mapped address (RFC 4291 section 2.5.5.2).
inline constexpr std::uint64_t mapped_prefix = 0xffff;

}  // namespace snf
