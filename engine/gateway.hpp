// What a pipe does with its neighbours (neighbours.hpp): hears what parse passed, asks and announces in frames that the
// port lends, and gives each packet that leaves the MAC addresses of its next hop.
//
// A packet whose next hop is not known yet waits, as one that is in flight, and then leaves or is dropped under
// `neighbour_unknown`: within three seconds, or when others need its place. Nobody waits for it: the pipe goes on.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "neighbours.hpp"
#include "outlet.hpp"
#include "packets.hpp"
#include "port.hpp"

namespace snf {

class Gateway {
 public:
  // Everything outlives the gateway. Throws std::bad_alloc.
  Gateway(const NeighbourOptions& options, Port& port, PacketPool& pool, Outlet& outlet, NeighbourStats& stats);
  Gateway(const Gateway&) = delete;

  // From now on this is what is owned on a side. What is new is announced.
  void own(Side side, const std::vector<AddressRange>& ranges);
  // First in a step. now: ms, monotonic; clock: that of the packets.
  void begin(std::uint64_t now, std::uint64_t clock);
  // A frame that parse passed: it leaves on the other side, or is answered, or goes no further.
  void hear(const Frame& frame, const PacketRecord& packet, const Layout& layout);
  // True: the packet may leave, to whom its frame says now. False: it waits here, or has been dropped.
  bool lead(std::uint32_t packet);
  // Last in a step: packets that have waited go, questions are asked.
  void step();
  // Drops all that waits, under `stopped`.
  void abandon();

 private:
  bool resolve(std::uint32_t packet, const Address& destination);
  bool ask();
  void announce(Side side);

  const Mac mac_;
  Port& port_;
  PacketPool& pool_;
  Outlet& outlet_;
  NeighbourStats& stats_;
  Neighbours neighbours_;
  std::array<std::vector<Address>, 2> announcements_;  // by side; still to be made, the first one last
  const std::uint32_t announced_;
  RateLimit pace_;
  std::uint64_t now_ = 0, clock_ = 0;
};

}  // namespace snf
