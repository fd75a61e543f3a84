// Addresses that a deployment owns, and the neighbours that its packets go to: ARP (RFC 826, RFC 5227) and neighbour
// discovery (RFC 4861, RFC 4862) for a bump in the wire. Sans-I/O: frames in, frames out, time is given.
//
// All instances of a deployment have one MAC address and answer for the same addresses, so it does not matter which of
// them a question reaches. An answer to a question of an instance must reach that instance, so whoever spreads frames
// over instances copies to all of them what ARP and neighbour discovery send to that MAC. All of this is state that
// any instance makes anew. Messages that are not about an owned address pass through, as they do without one.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "arp.hpp"
#include "discovery.hpp"
#include "neighbour_board.hpp"
#include "packet.hpp"
#include "resolver.hpp"

namespace snf {

struct NeighbourSide {
  std::vector<AddressRange> owned;    // answered for; IPv4 and IPv6
  std::vector<AddressRange> on_link;  // neighbours themselves; everything else is behind a gateway
  std::optional<Address> gateway4, gateway6;
  // Questions and announcements carry this tag, and everything else must; 0: none, and questions with any tags are
  // answered, with the same.
  std::uint16_t vlan = 0;
};

struct NeighbourOptions {
  Mac mac{};  // of the deployment: one interface's
  std::array<NeighbourSide, 2> sides;
  std::uint64_t secret = 0;
  NeighbourLimits limits;
  std::uint32_t announced = 64;           // owned addresses a side that are announced at the start, at most
  std::shared_ptr<NeighbourBoard> board;  // of an instance with several pipes, else null
  unsigned pipe = 0;                      // which of them this is
};

struct Hearing {
  enum class What : std::uint8_t {
    other,     // passes to the other side
    taken,     // was for this deployment: goes no further
    answered,  // as taken, and the answer is to be sent
    refused,   // about an owned address, and wrong: to be dropped under `reason`
  } what;
  Drop reason = Drop::malformed;
};

class Neighbours {
 public:
  // Throws std::bad_alloc. The gateways are asked for at once.
  Neighbours(const NeighbourOptions& options, NeighbourStats& stats);

  // A frame that parse passed. `answer` is a frame that a port lends, written if and only if What::answered comes
  // back: its length, and its side as if it had come in opposite, so it leaves as every frame does (as build_reject).
  Hearing hear(const Frame& frame, const PacketRecord& packet, const Layout& layout, std::uint64_t now, Frame& answer);
  // What tells everybody on the link that an owned address is here (RFC 5227 section 2.3, RFC 4861 section 7.2.6). How
  // often is the caller's to decide. False: not owned there, or no room.
  bool announce(Side side, const Address& address, Frame& frame) const;

  // What the instance's other pipes have heard.
  void listen(std::uint64_t now);

  // Where a frame that leaves on `side` for an address goes: to itself where it is on-link, else to the gateway.
  Resolution resolve(Side side, const Address& destination, std::uint64_t now);
  // Packets that wait: see resolver.hpp.
  std::uint32_t hold(const Resolution& pending, std::uint32_t packet) {
    return resolver_.hold(pending.neighbour, packet);
  }
  std::uint32_t take_ready() { return resolver_.take_ready(); }
  std::uint32_t take_failed() { return resolver_.take_failed(); }
  // Nobody waits any more: all of them can be taken as failed.
  void abandon() { resolver_.abandon(); }
  // Is asked for at once and kept: for servers, which scans may not push out.
  void keep(Side side, const Address& address) { resolver_.pin(side, address); }

  // Time passes: what has waited too long fails. True: there is a question, so lend a frame to `ask`.
  bool step(std::uint64_t now) { return resolver_.question(now) != nullptr; }
  // Writes the next question, as `hear` writes an answer. False: there is none, or no room; nothing has happened.
  bool ask(std::uint64_t now, Frame& frame);

  bool owns(Side side, const Address& address) const;
  // What is answered for on a side, beside the link-local address.
  const AddressSet& owned(Side side) const { return place(side).owned; }
  void own(Side side, const std::vector<AddressRange>& ranges);

 private:
  struct Place {
    AddressSet owned, on_link;
    std::optional<Address> gateway4, gateway6;
    std::uint16_t vlan;
    bool has_ipv6() const;
    bool ipv6;  // so that the MAC's link-local address is owned, too
  };
  struct Message {  // heard on `side`
    const Frame& frame;
    Side side;
    Tags tags;
    Mac to, from;
    std::uint64_t now;
    bool our_vlan;  // else it is nobody's who could be a neighbour
    bool to_group() const { return to[0] & 1; }
  };
  static Place place_of(const NeighbourSide& side);
  const Place& place(Side side) const { return places_[static_cast<unsigned>(side)]; }
  const Address* next_hop(Side side, const Address& destination) const;
  Address arp_source(Side side, const Address& target) const;

  void tell(const Message& message, const Address& address, const Mac* mac, bool solicited);
  Hearing hear_arp(const Message& message, const Arp& arp, Frame& answer);
  Hearing hear_reply(const Message& message, const Arp& arp);
  Hearing hear_discovery(const Message& message, const PacketRecord& packet, const Layout& layout, Frame& answer);
  Hearing hear_solicitation(const Message& message, const Discovery& asked, Frame& answer);
  Hearing hear_advertisement(const Message& message, const Discovery& told, Frame& answer);
  Hearing defend(const Message& message, const Address& address, Frame& answer);
  Hearing answered(const Message& message, Frame& answer, bool written);
  bool may_defend(const Address& address, std::uint64_t now);
  bool announce(Side side, const Tags& tags, const Address& address, Frame& frame) const;
  bool ask_arp(const Neighbour& neighbour, bool unicast, Frame& frame) const;
  bool ask_discovery(const Neighbour& neighbour, bool unicast, Frame& frame) const;

  Mac mac_;
  Address link_local_;
  std::array<Place, 2> places_;
  NeighbourStats& stats_;
  RateLimit answers_;
  std::array<std::uint64_t, 64> defended_{};  // ms: when one may be defended again, by a hash of the address
  std::shared_ptr<NeighbourBoard> board_;
  unsigned pipe_;
  Resolver resolver_;
};

}  // namespace snf
