// The neighbours of a pipe from a Python dictionary (statelessnf.neighbour_options makes it).
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "module.hpp"
#include "option_dict.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

constexpr std::uint16_t last_vlan = 4094;  // IEEE 802.1Q section 9.6

using Row =
    std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;  // first and last address, by halves

std::vector<AddressRange> ranges_of(const std::vector<Row>& rows) {
  std::vector<AddressRange> ranges;
  for (const auto& [first_high, first_low, last_high, last_low] : rows) {
    ranges.push_back({{first_high, first_low}, {last_high, last_low}});
  }
  return ranges;
}

void read_gateways(const std::vector<Row>& rows, const Options& options, NeighbourSide& side) {
  for (const AddressRange& range : ranges_of(rows)) {
    std::optional<Address>& gateway = is_ipv4(range.first) ? side.gateway4 : side.gateway6;
    if (gateway || range.first != range.last) options.fail("gateways: must be one address of each IP version");
    gateway = range.first;
  }
}

NeighbourSide read_side(const nb::object& part, const char* name) {
  NeighbourSide side;
  if (part.is_none()) return side;
  const auto dict = nb::cast<nb::dict>(part);
  Options options(dict, std::string("neighbours.") + name);
  std::vector<Row> owned, on_link, gateways;
  options.take("owned", owned);
  options.take("on_link", on_link);
  options.take("gateways", gateways);
  options.take("vlan", side.vlan);
  options.finish();
  if (side.vlan > last_vlan) options.fail("vlan: must be at most 4094");
  side.owned = ranges_of(owned);
  side.on_link = ranges_of(on_link);
  read_gateways(gateways, options, side);
  return side;
}

}  // namespace

NeighbourOptions read_neighbours(const nb::dict& dict, std::uint64_t secret) {
  NeighbourOptions neighbours;
  neighbours.secret = secret;
  Options options(dict, "neighbours");
  const nb::object mac = options.object("mac");
  neighbours.sides = {read_side(options.object("inside"), "inside"), read_side(options.object("outside"), "outside")};
  options.finish();
  nb::bytes bytes;
  if (!nb::try_cast(mac, bytes) || bytes.size() != neighbours.mac.size()) options.fail("mac: must be 6 bytes");
  std::copy_n(static_cast<const std::uint8_t*>(bytes.data()), neighbours.mac.size(), neighbours.mac.begin());
  if (!is_one_interface(neighbours.mac)) options.fail("mac: must be one interface's");
  return neighbours;
}

}  // namespace snf
