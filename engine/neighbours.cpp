// Owned addresses and next hops; what is heard is in neighbours_heard.cpp.
#include "neighbours.hpp"

namespace snf {

namespace {
constexpr std::uint32_t answers_per_second = 10'000;  // as for rejects (outlet.cpp)
}

Neighbours::Neighbours(const NeighbourOptions& options, NeighbourStats& stats)
    : mac_(options.mac),
      link_local_(link_local(options.mac)),
      places_{place_of(options.sides[0]), place_of(options.sides[1])},
      stats_(stats),
      answers_(answers_per_second),
      board_(options.board),
      pipe_(options.pipe),
      resolver_(options.limits, options.secret, stats) {
  for (const Side side : {Side::inside, Side::outside}) {
    if (place(side).gateway4) resolver_.pin(side, *place(side).gateway4);
    if (place(side).gateway6) resolver_.pin(side, *place(side).gateway6);
  }
}

Neighbours::Place Neighbours::place_of(const NeighbourSide& side) {
  Place place{AddressSet(side.owned), AddressSet(side.on_link), side.gateway4, side.gateway6, side.vlan, false};
  place.ipv6 = place.has_ipv6();
  return place;
}

bool Neighbours::Place::has_ipv6() const { return owned.has_ipv6() || on_link.has_ipv6() || gateway6.has_value(); }

void Neighbours::own(Side side, const std::vector<AddressRange>& ranges) {
  Place& changed = places_[static_cast<unsigned>(side)];
  changed.owned = AddressSet(ranges);
  changed.ipv6 = changed.has_ipv6();
}

bool Neighbours::owns(Side side, const Address& address) const {
  return place(side).owned.contains(address) || (place(side).ipv6 && address == link_local_);
}

const Address* Neighbours::next_hop(Side side, const Address& destination) const {
  const Place& from = place(side);
  if (is_group(destination) || is_unspecified(destination)) return nullptr;
  if (from.on_link.contains(destination)) return &destination;
  const std::optional<Address>& gateway = is_ipv4(destination) ? from.gateway4 : from.gateway6;
  return gateway ? &*gateway : nullptr;
}

Resolution Neighbours::resolve(Side side, const Address& destination, std::uint64_t now) {
  Resolution resolution{Resolution::What::resolved};
  const Address* next = next_hop(side, destination);
  if (next != nullptr && resolver_.reachable(side, *next, now, resolution.mac)) return resolution;
  if (next == nullptr || owns(side, *next)) return {Resolution::What::unroutable};
  return resolver_.resolve(side, *next, now);
}

// An owned address of the target's subnet; else none, as a probe has it: some hosts (Linux with strict reverse-path
// filtering) answer no question in the name of an address that they would not reach over this link.
Address Neighbours::arp_source(Side side, const Address& target) const {
  const AddressRange* subnet = place(side).on_link.range_of(target);
  const auto source = subnet != nullptr ? place(side).owned.first_within(*subnet) : std::nullopt;
  return source.value_or(ipv4_address(0));
}

bool Neighbours::ask_arp(const Neighbour& neighbour, bool unicast, Frame& frame) const {
  const LinkHeader header{unicast ? neighbour.mac : broadcast, mac_, tags_of(place(neighbour.side).vlan)};
  return write_arp(frame, header, {true, mac_, arp_source(neighbour.side, neighbour.address), {}, neighbour.address});
}

// Always in the name of the link-local address: `::` would ask whether the address is free (RFC 4862 section 5.4.2).
bool Neighbours::ask_discovery(const Neighbour& neighbour, bool unicast, Frame& frame) const {
  Discovery question;
  question.has_mac = true;
  question.mac = mac_;
  question.source = link_local_;
  question.target = neighbour.address;
  question.destination = unicast ? neighbour.address : solicited_node(neighbour.address);
  const Mac to = unicast ? neighbour.mac : group_mac(question.destination);
  return write_discovery(frame, {to, mac_, tags_of(place(neighbour.side).vlan)}, question);
}

bool Neighbours::ask(std::uint64_t now, Frame& frame) {
  const Neighbour* neighbour = resolver_.question(now);
  if (neighbour == nullptr) return false;
  const bool unicast = neighbour->state == NeighbourState::probing && !neighbour->doubted;
  const bool arp = is_ipv4(neighbour->address);
  if (!(arp ? ask_arp(*neighbour, unicast, frame) : ask_discovery(*neighbour, unicast, frame))) return false;
  frame.side = opposite(neighbour->side);
  resolver_.asked(now);
  return true;
}

bool Neighbours::announce(Side side, const Address& address, Frame& frame) const {
  return owns(side, address) && announce(side, tags_of(place(side).vlan), address, frame);
}

bool Neighbours::announce(Side side, const Tags& tags, const Address& address, Frame& frame) const {
  bool written = false;
  if (is_ipv4(address)) {
    written = write_arp(frame, {broadcast, mac_, tags}, {true, mac_, address, {}, address});
  } else {
    const Discovery news{false, false, true, true, mac_, address, all_nodes, address};
    written = write_discovery(frame, {group_mac(all_nodes), mac_, tags}, news);
  }
  frame.side = opposite(side);
  return written;
}

}  // namespace snf
