// RFC 1071 sums eight bytes at a time: two wide accumulators, whose carries are folded in once at the end.
#include "checksum.hpp"

#include <cstring>

#include "wire.hpp"

namespace snf {
namespace {

__extension__ typedef unsigned __int128 Wide;  // ISO C++ has none; GCC and Clang do

template <typename Word>
std::uint64_t word_at(const std::uint8_t* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// Up to seven bytes; a last odd one counts as if a zero byte followed it.
std::uint64_t tail_sum(const std::uint8_t* data, std::size_t length) {
  std::uint64_t sum = 0;
  if (length & 4) sum += word_at<std::uint32_t>(data), data += 4;
  if (length & 2) sum += word_at<std::uint16_t>(data), data += 2;
  if (length & 1) sum += *data;
  return sum;
}

}  // namespace

std::uint64_t checksum_add(std::uint64_t sum, const std::uint8_t* data, std::size_t length) {
  Wide even = sum, odd = 0;
  for (; length >= 16; length -= 16, data += 16) {
    even += word_at<std::uint64_t>(data);
    odd += word_at<std::uint64_t>(data + 8);
  }
  if (length >= 8) even += word_at<std::uint64_t>(data), length -= 8, data += 8;
  even += odd + tail_sum(data, length);
  even = static_cast<std::uint64_t>(even) + (even >> 64);  // end-around carry, as 2^64 = 1 modulo 2^16 - 1
  return static_cast<std::uint64_t>(even) + static_cast<std::uint64_t>(even >> 64);
}

std::uint64_t pseudo_header_sum(const std::uint8_t* ip, std::uint8_t protocol, std::uint32_t length) {
  std::uint8_t rest[8] = {0, 0, 0, 0, 0, 0, 0, protocol};
  store32(rest, length);
  const bool four = ip[0] >> 4 == 4;
  const std::uint64_t addresses = four ? checksum_add(0, ip + 12, 8) : checksum_add(0, ip + 8, 32);
  return checksum_add(addresses, rest, sizeof rest);
}

std::uint16_t checksum_update(std::uint16_t checksum, const std::uint8_t* before, const std::uint8_t* after,
                              std::size_t length) {
  return checksum_adjusted(checksum, checksum_difference(checksum_fold(checksum_add(0, before, length)),
                                                         checksum_fold(checksum_add(0, after, length))));
}

}  // namespace snf
