// The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
// Sums and checksums are kept in the byte order of memory (RFC 1071 section 2 B): load and store them with memcpy.
#pragma once
#include <cstddef>
#include <cstdint>

namespace snf {

// One's complement sum, 64 bits wide, to be continued. All pieces but the last have an even length.
std::uint64_t checksum_add(std::uint64_t sum, const std::uint8_t* data, std::size_t length);

// Folds a sum to 16 bits, not complemented: 0xffff over bytes that include a right checksum.
std::uint16_t checksum_fold(std::uint64_t sum);

// The pseudo header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section 8.1). `ip` is the IP header.
std::uint64_t pseudo_header_sum(const std::uint8_t* ip, std::uint8_t protocol, std::uint32_t length);

// The checksum after `length` bytes (even, at an even distance from the start of what is summed) changed.
// RFC 1624 equation 3. UDP: the caller keeps 0 ("none") as it is and writes 0xffff for a result of 0.
std::uint16_t checksum_update(std::uint16_t checksum, const std::uint8_t* before, const std::uint8_t* after,
                              std::size_t length);

}  // namespace snf
