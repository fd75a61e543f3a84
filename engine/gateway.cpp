#include "gateway.hpp"

#include <algorithm>
#include <cstring>

#include "wire.hpp"

namespace snf {

namespace {

constexpr std::uint32_t announcements_per_second = 32;

// Where the frame's IP header says, after it was rewritten.
Address destination_of(const Packet& packet) {
  const std::uint8_t* network = packet.frame.data + packet.layout.network;
  if (packet.header.version == 4) return ipv4_address(load32(network + 16));
  return {load64(network + 24), load64(network + 32)};
}

Address following(Address address) {
  if (++address.low == 0) ++address.high;
  return address;
}

// The first addresses of the ranges that are not `known`, in the order in which they are to be taken from the end.
std::vector<Address> to_announce(const std::vector<AddressRange>& ranges, std::uint32_t most, const AddressSet& known) {
  std::vector<Address> list;
  for (const AddressRange& range : ranges) {
    for (Address next = range.first; list.size() < most && next <= range.last;) {
      const AddressRange* skipped = known.range_of(next);
      if (skipped == nullptr) list.push_back(next);
      next = following(skipped == nullptr ? next : skipped->last);
    }
  }
  std::reverse(list.begin(), list.end());
  return list;
}

}  // namespace

Gateway::Gateway(const NeighbourOptions& options, Port& port, PacketPool& pool, Outlet& outlet, NeighbourStats& stats)
    : mac_(options.mac),
      port_(port),
      pool_(pool),
      outlet_(outlet),
      stats_(stats),
      neighbours_(options, stats),
      announcements_{to_announce(options.sides[0].owned, options.announced, {}),
                     to_announce(options.sides[1].owned, options.announced, {})},
      announced_(options.announced),
      pace_(announcements_per_second) {}

// What is still to be announced and not owned any more is passed over (announce, below).
void Gateway::own(Side side, const std::vector<AddressRange>& ranges) {
  std::vector<Address>& left = announcements_[static_cast<unsigned>(side)];
  const std::vector<Address> added = to_announce(ranges, announced_, neighbours_.owned(side));
  left.insert(left.begin(), added.begin(), added.end());
  neighbours_.own(side, ranges);
}

void Gateway::begin(std::uint64_t now, std::uint64_t clock) {
  now_ = now;
  clock_ = clock;
  neighbours_.listen(now);
}

void Gateway::hear(const Frame& frame, const PacketRecord& packet, const Layout& layout) {
  Frame answer = port_.allocate();
  const Hearing hearing = neighbours_.hear(frame, packet, layout, now_, answer);
  if (hearing.what == Hearing::What::answered) {
    outlet_.say(answer);
  } else if (answer.data != nullptr) {
    port_.release(&answer, 1);
  }
  if (hearing.what == Hearing::What::other) return outlet_.pass(frame);
  if (hearing.what == Hearing::What::refused) return outlet_.drop_frame(frame, hearing.reason, clock_);
  stats_.taken.add();
  port_.release(&frame, 1);
}

bool Gateway::lead(std::uint32_t index) {
  Packet& packet = pool_[index];
  std::uint8_t* macs = packet.frame.data;
  if (packet.hop == Hop::as_received) {
    if (load_mac(macs) != mac_) return true;
    packet.hop = is_one_interface(packet.mac) ? Hop::known : Hop::destination;
  }
  // Whoever opened the flow wrote the MAC in its record: it may be nobody's, or ours.
  if (packet.hop == Hop::known && is_one_interface(packet.mac) && packet.mac != mac_) {
    std::memcpy(macs, packet.mac.data(), 6);
    std::memcpy(macs + 6, mac_.data(), 6);
    return true;
  }
  const bool named = packet.hop == Hop::record;
  return resolve(
      index, named ? Address{packet.header.destination_high, packet.header.destination_low} : destination_of(packet));
}

bool Gateway::resolve(std::uint32_t index, const Address& destination) {
  const Frame& frame = pool_[index].frame;
  Resolution resolution{Resolution::What::unroutable};  // what the deployment owns on either side is nobody else's
  if (!neighbours_.owns(frame.side, destination)) {
    resolution = neighbours_.resolve(opposite(frame.side), destination, now_);
  }
  switch (resolution.what) {
    case Resolution::What::resolved:
      std::memcpy(frame.data, resolution.mac.data(), 6);
      std::memcpy(frame.data + 6, mac_.data(), 6);
      return true;
    case Resolution::What::pending:
      index = neighbours_.hold(resolution, index);
      if (index != none) outlet_.drop(index, Drop::neighbour_unknown);
      return false;
    case Resolution::What::failed:
      outlet_.drop(index, Drop::neighbour_unknown);
      return false;
    case Resolution::What::unroutable:
      break;
  }
  outlet_.drop(index, Drop::no_route);
  return false;
}

bool Gateway::ask() {
  Frame question = port_.allocate();
  if (question.data == nullptr) return false;
  if (neighbours_.ask(now_, question)) return outlet_.say(question), true;
  port_.release(&question, 1);
  return false;
}

// RFC 5227 section 2.3, RFC 4861 section 7.2.6: switches and neighbours that knew another MAC learn this one.
void Gateway::announce(Side side) {
  std::vector<Address>& left = announcements_[static_cast<unsigned>(side)];
  if (left.empty() || !pace_.take(now_) || !port_.link_up(side)) return;
  Frame frame = port_.allocate();
  if (frame.data == nullptr) return;
  const bool written = neighbours_.announce(side, left.back(), frame);
  left.pop_back();
  written ? outlet_.say(frame) : port_.release(&frame, 1);
}

void Gateway::step() {
  for (std::uint32_t packet; (packet = neighbours_.take_ready()) != none;) outlet_.forward(packet);
  while (neighbours_.step(now_) && ask()) {
  }
  for (std::uint32_t packet; (packet = neighbours_.take_failed()) != none;) {
    outlet_.drop(packet, Drop::neighbour_unknown);
  }
  announce(Side::inside);
  announce(Side::outside);
}

void Gateway::abandon() {
  neighbours_.abandon();
  for (std::uint32_t packet; (packet = neighbours_.take_ready()) != none;) outlet_.drop(packet, Drop::stopped);
  for (std::uint32_t packet; (packet = neighbours_.take_failed()) != none;) outlet_.drop(packet, Drop::stopped);
}

}  // namespace snf
