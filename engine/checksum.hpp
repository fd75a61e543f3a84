// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
// Sums and checksums are kept in the byte order of memory (RFC 1071 section 2 B): load and store them with memcpy.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace snf {

// One's complement sum, 64 bits wide, to be continued. All pieces but the last have an even length.
std::uint64_t checksum_add(std::uint64_t sum, const std::uint8_t* data, std::size_t length);

// Folds a sum to 16 bits, not complemented: 0xffff over bytes that include a right checksum.
inline std::uint16_t checksum_fold(std::uint64_t sum) {
  const auto half = static_cast<std::uint32_t>((sum + std::rotl(sum, 32)) >> 32);  // with the carry from below
  return static_cast<std::uint16_t>((half + std::rotl(half, 16)) >> 16);
}

// The header checksum of an IPv4 header that is there as long as it says (RFC 791 section 3.1). Asked for every packet.
inline bool ipv4_checksum_holds(const std::uint8_t* ip) {
  std::uint64_t sum = 0;
  for (unsigned words = ip[0] & 15; words > 0; --words, ip += 4) {
    std::uint32_t word;
    std::memcpy(&word, ip, sizeof word);
    sum += word;
  }
  return checksum_fold(sum) == 0xffff;
}

// The pseudo header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section 8.1). `ip` is the IP header.
std::uint64_t pseudo_header_sum(const std::uint8_t* ip, std::uint8_t protocol, std::uint32_t length);

// What a changed word, at an even distance from the start, adds to a sum: ~m + m' of RFC 1624 equation 3. Words of 16,
// 32 or 64 bits; several differences may be added up. Never 0, which is left to say that nothing changed: 0xffff is a
// zero of such sums, too.
template <typename Word>
std::uint64_t checksum_difference(Word before, Word after) {
  const auto removed = static_cast<Word>(~before);
  if constexpr (sizeof(Word) == 8) {
    return (removed >> 32) + (removed & 0xffffffff) + (after >> 32) + (after & 0xffffffff) + 0xffff;
  } else {
    return std::uint64_t{removed} + after + 0xffff;
  }
}

// The checksum after the sum under it changed by `difference` (RFC 1624 equation 3). Equal to one made anew unless all
// that is summed has become zero. UDP: the caller keeps 0 ("none") as it is and writes 0xffff for a result of 0.
inline std::uint16_t checksum_adjusted(std::uint16_t checksum, std::uint64_t difference) {
  return static_cast<std::uint16_t>(~checksum_fold(static_cast<std::uint16_t>(~checksum) + difference));
}

// The same after `length` bytes (even, at an even distance from the start of what is summed) changed.
std::uint16_t checksum_update(std::uint16_t checksum, const std::uint8_t* before, const std::uint8_t* after,
                              std::size_t length);

}  // namespace snf
