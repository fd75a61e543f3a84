// Whole frames for the tests, made by Scapy 2.6 (checksums included), 02:..:01 to 02:..:02; and the frame as a port
// would lend it, at the very end of a heap block, so that AddressSanitizer sees any read behind it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <ostream>
#include <string_view>
#include <vector>

#include "checksum.hpp"
#include "packet.hpp"

namespace snf::frames {

// TCP SYN 10.0.0.1:40000 > 192.0.2.9:443, MSS 1460, window scale 7
inline constexpr std::string_view ipv4_syn =
    "02000000000202000000000108004500003c1234000040069c7e0a000001c00002099c4001bb0102030400000000a002faf0"
    "df020000020405b40402080a000000010000000001030307";

// TCP ACK 0xfffffff0, SACK 0x10-0x20 0x40-0x60, data abc
inline constexpr std::string_view ipv4_sack =
    "02000000000202000000000108004500003f1234000040069c7b0a000001c00002099c4001bb00000005fffffff0a0100064"
    "2a1800000101051200000010000000200000004000000060616263";

// TCP ACK 9 with time stamps alone, data abcde
inline constexpr std::string_view ipv4_ack =
    "0200000000020200000000010800450000391234000040069c810a000001c00002099c4001bb000000050000000980100064"
    "e27600000101080a00000001000000026162636465";

// UDP 10.0.0.1:5000 > 192.0.2.9:53, data hello
inline constexpr std::string_view ipv4_udp =
    "0200000000020200000000010800450000211234000040119c8e0a000001c000020913880035000ddc3a68656c6c6f";

// the same behind an IPv4 router alert option
inline constexpr std::string_view ipv4_options_udp =
    "02000000000202000000000108004600002500010000401119b90a000001c00002099404000013880035000ddc3a68656c6c"
    "6f";

// ICMP echo request, identifier 0xbeef
inline constexpr std::string_view ipv4_echo =
    "0200000000020200000000010800450000201234000040019c9f0a000001c000020908005a3ebeef000170696e67";

// ICMP host unreachable from 192.0.2.1 about ipv4_udp
inline constexpr std::string_view ipv4_unreachable =
    "02000000000202000000000108004500003d000100000901e5bdc00002010a0000010301c927000000004500002100010000"
    "4011aec10a000001c000020913880035000ddc3a68656c6c6f";

// ICMP time exceeded quoting 8 bytes of a TCP segment, sequence 0x0a0b0c0d
inline constexpr std::string_view ipv4_unreachable_tcp =
    "020000000002020000000001080045000038000100000901e5c2c00002010a0000010b0040ec00000000450005dc00010000"
    "4006a9110a000001c00002099c4001bb0a0b0c0d";

// first fragment of a UDP datagram of 40 bytes
inline constexpr std::string_view ipv4_first =
    "0200000000020200000000010800450000241234200040117c8b0a000001c000020913880035003000007878787878787878";

// its second and last fragment, at offset 16
inline constexpr std::string_view ipv4_later =
    "0200000000020200000000010800450000341234000240119c790a000001c000020979797979797979797979797979797979"
    "79797979797979797979797979797979";

// GRE, 4 bytes
inline constexpr std::string_view ipv4_gre =
    "02000000000202000000000108004500001800010000402faeac0a000001c000020900000800";

// TCP SYN behind 802.1ad tag 100 and 802.1Q tag 7
inline constexpr std::string_view qinq_syn =
    "02000000000202000000000188a80064810000070800450000281234000040069c920a000001c00002099c4001bb00000001"
    "000000005002200025dc0000";

// UDP [fd00::1]:5000 > [2001:db8::9]:53, data hello
inline constexpr std::string_view ipv6_udp =
    "02000000000202000000000186dd60000000000d1140fd00000000000000000000000000000120010db80000000000000000"
    "0000000913880035000d7d8168656c6c6f";

// TCP SYN [fd00::1]:40000 > [2001:db8::9]:443
inline constexpr std::string_view ipv6_syn =
    "02000000000202000000000186dd6000000000140640fd00000000000000000000000000000120010db80000000000000000"
    "000000099c4001bb000000070000000050022000c71c0000";

// hop-by-hop, routing (0 left), destination options, atomic fragment, AH, TCP ACK, data abc
inline constexpr std::string_view ipv6_chain =
    "02000000000202000000000186dd60000000004f0040fd00000000000000000000000000000120010db80000000000000000"
    "000000092b000104000000003c000000000000002c0001040000000033000000556677880604000000000001000000010000"
    "000000000000000000009c4001bb00000007000000085010200002a10000616263";

// first fragment of a UDP datagram
inline constexpr std::string_view ipv6_first =
    "02000000000202000000000186dd6000000000282c40fd00000000000000000000000000000120010db80000000000000000"
    "0000000911000001556677881388003500400000787878787878787878787878787878787878787878787878";

// its last fragment, at offset 32
inline constexpr std::string_view ipv6_later =
    "02000000000202000000000186dd6000000000282c40fd00000000000000000000000000000120010db80000000000000000"
    "0000000911000020556677887979797979797979797979797979797979797979797979797979797979797979";

// ICMPv6 echo request, identifier 0xbeef
inline constexpr std::string_view ipv6_echo =
    "02000000000202000000000186dd60000000000c3a40fd00000000000000000000000000000120010db80000000000000000"
    "000000098000b733beef000170696e67";

// neighbour solicitation
inline constexpr std::string_view ipv6_solicitation =
    "02000000000202000000000186dd6000000000183afffd000000000000000000000000000001fd0000000000000000000000"
    "00000002870081a500000000fd000000000000000000000000000002";

// packet too big from 2001:db8::1 quoting TCP of ipv6_syn's flow, sequence 0x0a0b0c0d
inline constexpr std::string_view ipv6_too_big =
    "02000000000202000000000186dd60000000006c3a4020010db8000000000000000000000001fd0000000000000000000000"
    "000000010200c1bd000005006000000000780640fd00000000000000000000000000000120010db800000000000000000000"
    "00099c4001bb0a0b0c0d0000000350102000c4aa00007a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a"
    "7a7a7a7a7a7a7a7a7a7a7a7a";

// ARP
inline constexpr std::string_view arp_request =
    "020000000002020000000001080600010800060400010200000000010a0000010000000000000a000002";
inline std::vector<std::uint8_t> bytes(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::vector<std::uint8_t> out;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
    out.push_back(static_cast<std::uint8_t>(digit(hex[at]) * 16 + digit(hex[at + 1])));
  return out;
}

inline constexpr std::size_t ip_at = 14;          // offset of the IP header in an untagged frame
inline constexpr std::size_t v4_at = ip_at + 20;  // of the transport header behind IPv4 without options
inline constexpr std::size_t v6_at = ip_at + 40;  // and behind IPv6 without extension headers

// An owned frame, and what parse says of it. Change `data`, then ask again.
struct Sample {
  explicit Sample(std::string_view hex) : data(bytes(hex)) {}

  Sample& set(std::size_t at, std::vector<std::uint8_t> values) {
    std::copy(values.begin(), values.end(), data.begin() + static_cast<std::ptrdiff_t>(at));
    return *this;
  }
  Sample& insert(std::size_t at, std::vector<std::uint8_t> values) {
    data.insert(data.begin() + static_cast<std::ptrdiff_t>(at), values.begin(), values.end());
    return *this;
  }
  // Makes the IPv4 header's checksum right again after a change.
  Sample& fix_ipv4(std::size_t ip = ip_at) {
    set(ip + 10, {0, 0});
    const auto sum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, &data[ip], (data[ip] & 15) * 4u)));
    std::memcpy(&data[ip + 10], &sum, 2);
    return *this;
  }
  Sample& cut(std::size_t length) {
    data.resize(length);
    return *this;
  }

  ParseResult parse(Side side = Side::inside) {
    block = std::make_unique<std::uint8_t[]>(data.size());
    if (!data.empty()) std::memcpy(block.get(), data.data(), data.size());
    const auto length = static_cast<std::uint32_t>(data.size());
    frame = Frame{block.get(), length, length, nullptr, side};
    std::memset(static_cast<void*>(&record), 0xa5, sizeof record);  // what an earlier packet left
    return snf::parse(frame, record, layout);
  }
  bool is_flow() { return parse().what == Parsed::flow; }
  bool is_passed() { return parse().what == Parsed::pass; }
  // The reason for which it is dropped; Drop::count_ where it is not.
  Drop reason() {
    const ParseResult result = parse();
    return result.what == Parsed::drop ? result.reason : Drop::count_;
  }
  bool sums_hold() { return checksums_hold(frame, record, layout); }

  std::vector<std::uint8_t> data;
  std::unique_ptr<std::uint8_t[]> block;
  Frame frame;
  PacketRecord record;
  Layout layout;
};

}  // namespace snf::frames

// So that a failed CHECK names the reason.
namespace snf {
inline std::ostream& operator<<(std::ostream& out, Drop drop) {
  return out << (drop == Drop::count_ ? std::string_view("not dropped") : name_of(drop));
}
}  // namespace snf
