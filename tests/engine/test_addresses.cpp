// Sets of addresses against the plain look at each range.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "addresses.hpp"

namespace snf {
namespace {

TEST_CASE("addresses: ranges in any order, overlapping and touching") {
  const AddressSet set({{{5, 10}, {5, 20}}, {{0, 7}, {0, 7}}, {{5, 15}, {5, 30}}, {{9, 9}, {9, 1}}});
  for (std::uint64_t low : {10, 19, 21, 30}) CHECK(set.contains({5, low}));
  for (std::uint64_t low : {9, 31}) CHECK(!set.contains({5, low}));
  CHECK(set.contains({0, 7}));
  CHECK(!set.contains({0, 6}));
  CHECK(!set.contains({9, 5}));
  CHECK(!AddressSet().contains({0, 0}));
  CHECK(AddressSet({AddressRange{{0, 0}, {~0ull, ~0ull}}}).contains({~0ull, ~0ull}));
}

TEST_CASE("addresses: the lowest member within a range") {
  const AddressSet set({{{0, 10}, {0, 20}}, {{0, 40}, {0, 50}}});
  CHECK(set.first_within({{0, 0}, {0, 99}}) == Address{0, 10});
  CHECK(set.first_within({{0, 15}, {0, 99}}) == Address{0, 15});
  CHECK(set.first_within({{0, 21}, {0, 99}}) == Address{0, 40});
  CHECK(!set.first_within({{0, 21}, {0, 39}}));
  CHECK(!set.first_within({{0, 51}, {0, 99}}));
}

TEST_CASE("addresses: random ranges against the plain look at each") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<AddressRange> ranges(random() % 8);
    for (AddressRange& range : ranges) {
      range.first = {random() % 2, random() % 32};
      range.last = {random() % 2, random() % 32};
    }
    const AddressSet set(ranges);
    for (std::uint64_t i = 0; i < 64; ++i) {
      const Address address{i / 32, i % 32};
      const bool plain = std::any_of(ranges.begin(), ranges.end(), [&](const AddressRange& range) {
        return range.first <= address && address <= range.last;
      });
      REQUIRE(set.contains(address) == plain);
    }
  }
}

TEST_CASE("addresses: what is no host") {
  CHECK(is_group(ipv4_address(0xe0000001)));
  CHECK(is_group(ipv4_address(0xffffffff)));
  CHECK(!is_group(ipv4_address(0xdfffffff)));
  CHECK(is_group({0xff02'0000'0000'0000, 1}));
  CHECK(!is_group({0xfe80'0000'0000'0000, 1}));
  CHECK(is_unspecified({0, 0}));
  CHECK(is_unspecified(ipv4_address(0)));
  CHECK(!is_unspecified({0, 1}));
  CHECK(!AddressSet({AddressRange{ipv4_address(1), ipv4_address(2)}}).has_ipv6());
  CHECK(AddressSet({AddressRange{{1, 1}, {1, 1}}}).has_ipv6());
}

}  // namespace
}  // namespace snf
