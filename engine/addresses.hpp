// Sets of addresses: what a deployment owns on a side, and what is on-link there.
// Merged ranges in order, so a look-up is a binary search however large the ranges are.
#pragma once
#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "wire.hpp"

namespace snf {

struct Address {
  std::uint64_t high = 0, low = 0;  // host order; IPv4 as ::ffff:a.b.c.d, as in the packet record
  constexpr auto operator<=>(const Address&) const = default;
};

constexpr Address ipv4_address(std::uint32_t address) { return {0, mapped_prefix << 32 | address}; }
constexpr bool is_ipv4(const Address& address) { return address.high == 0 && address.low >> 32 == mapped_prefix; }
constexpr bool is_unspecified(const Address& address) {
  return address == Address{} || address == ipv4_address(0);  // RFC 4291 section 2.5.2, RFC 1122 section 3.2.1.3
}
// Never one host: multicast, and IPv4's class E with the limited broadcast (RFC 1112 section 4, RFC 4291 section 2.7).
constexpr bool is_group(const Address& address) {
  return is_ipv4(address) ? static_cast<std::uint32_t>(address.low) >= 0xe0000000 : address.high >> 56 == 0xff;
}

struct AddressRange {
  Address first, last;  // both belong to it
};

class AddressSet {
 public:
  AddressSet() = default;
  // In any order, overlapping or touching as they like; a range the wrong way round is empty. May throw bad_alloc.
  explicit AddressSet(std::vector<AddressRange> ranges);

  bool contains(const Address& address) const { return range_of(address) != nullptr; }
  // The range that holds the address, or nullptr.
  const AddressRange* range_of(const Address& address) const;
  // The lowest member in the range.
  std::optional<Address> first_within(const AddressRange& range) const;
  bool has_ipv6() const;
  bool empty() const { return ranges_.empty(); }

 private:
  std::vector<AddressRange>::const_iterator first_ending_at(const Address& address) const;

  std::vector<AddressRange> ranges_;
};

}  // namespace snf
