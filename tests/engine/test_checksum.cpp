// The fast sum against the plain one of RFC 1071 section 4.1, and updates (RFC 1624) against summing anew.
#include <doctest/doctest.h>

#include <memory>
#include <random>
#include <vector>

#include "checksum.hpp"
#include "craft.hpp"
#include "frames.hpp"
#include "wire.hpp"

namespace snf {
namespace {

using craft::plain_sum;

std::uint16_t fast_sum(const std::vector<std::uint8_t>& data) {
  const auto exact = std::make_unique<std::uint8_t[]>(data.size());  // so that a read behind it is seen
  std::copy(data.begin(), data.end(), exact.get());
  return __builtin_bswap16(checksum_fold(checksum_add(0, exact.get(), data.size())));
}

std::vector<std::uint8_t> random_bytes(std::mt19937& random, std::size_t size) {
  std::vector<std::uint8_t> data(size);
  for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
  return data;
}

TEST_CASE("the example of RFC 1071 section 3") {
  CHECK(fast_sum({0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}) == 0xddf2);
}

TEST_CASE("every length, and the carries of all ones") {
  std::mt19937 random(1);
  for (std::size_t size = 0; size < 200; ++size) {
    CAPTURE(size);
    const auto data = random_bytes(random, size);
    CHECK(fast_sum(data) == plain_sum(data));
    const std::vector<std::uint8_t> ones(size, 0xff);
    CHECK(fast_sum(ones) == plain_sum(ones));
  }
  const std::vector<std::uint8_t> jumbo(9000, 0xff);
  CHECK(fast_sum(jumbo) == plain_sum(jumbo));
}

TEST_CASE("sums continue over pieces of even length") {
  std::mt19937 random(2);
  const auto data = random_bytes(random, 101);
  for (std::size_t cut = 0; cut <= 100; cut += 2) {
    const std::uint64_t first = checksum_add(~std::uint64_t{0}, data.data(), cut);  // 2^64 - 1 is zero here
    const std::uint64_t whole = checksum_add(first, data.data() + cut, data.size() - cut);
    CHECK(__builtin_bswap16(checksum_fold(whole)) == plain_sum(data));
  }
}

TEST_CASE("an update gives what summing anew gives") {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    auto data = random_bytes(random, 40);
    const auto checksum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, data.data(), data.size())));
    const std::size_t at = random() % 10 * 2, length = (1 + random() % 8) * 2;
    const auto fresh = random_bytes(random, length);
    const std::uint16_t updated = checksum_update(checksum, &data[at], fresh.data(), length);
    std::copy(fresh.begin(), fresh.end(), data.begin() + static_cast<std::ptrdiff_t>(at));
    CHECK(updated == static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, data.data(), data.size()))));
  }
}

TEST_CASE("the corner case of RFC 1624 section 4") {
  const std::uint8_t before[] = {0x55, 0x55}, after[] = {0x32, 0x85};
  CHECK(checksum_update(__builtin_bswap16(0xdd2f), before, after, 2) == 0x0000);
}

TEST_CASE("the pseudo header of IPv4 and IPv6, on real datagrams") {
  for (auto [hex, at] : {std::pair{frames::ipv4_udp, frames::v4_at}, std::pair{frames::ipv6_udp, frames::v6_at}}) {
    auto data = frames::bytes(hex);
    const auto length = static_cast<std::uint32_t>(data.size() - at);
    const auto sum = [&](std::uint8_t protocol) {
      const std::uint64_t pseudo = pseudo_header_sum(&data[frames::ip_at], protocol, length);
      return checksum_fold(checksum_add(pseudo, &data[at], length));
    };
    CHECK(sum(protocol::udp) == 0xffff);
    CHECK(sum(protocol::tcp) != 0xffff);
    data[frames::ip_at + 19] ^= 1;  // a bit of an address
    CHECK(sum(protocol::udp) != 0xffff);
  }
}

}  // namespace
}  // namespace snf
