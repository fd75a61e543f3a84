#include "addresses.hpp"

#include <algorithm>
#include <utility>

namespace snf {

AddressSet::AddressSet(std::vector<AddressRange> ranges) {
  std::erase_if(ranges, [](const AddressRange& range) { return range.last < range.first; });
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const AddressRange& range : ranges) {
    if (!ranges_.empty() && range.first <= ranges_.back().last) {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    } else {
      ranges_.push_back(range);
    }
  }
}

// The first range that does not end before the address.
std::vector<AddressRange>::const_iterator AddressSet::first_ending_at(const Address& address) const {
  return std::lower_bound(ranges_.begin(), ranges_.end(), address,
                          [](const AddressRange& range, const Address& wanted) { return range.last < wanted; });
}

const AddressRange* AddressSet::range_of(const Address& address) const {
  const auto range = first_ending_at(address);
  return range != ranges_.end() && range->first <= address ? &*range : nullptr;
}

std::optional<Address> AddressSet::first_within(const AddressRange& wanted) const {
  const auto range = first_ending_at(wanted.first);
  if (range == ranges_.end() || wanted.last < range->first) return std::nullopt;
  return std::max(range->first, wanted.first);
}

bool AddressSet::has_ipv6() const {
  return std::any_of(ranges_.begin(), ranges_.end(), [](const auto& range) { return !is_ipv4(range.last); });
}

}  // namespace snf
