// Complete TCP flows, made up: handshake, data both ways with right sequence numbers and acknowledgements, both FINs.
// Clients in 10/8 are inside, servers in 198.18/15 (RFC 2544) outside, port 443 or 80, unless a service is named; a
// tuple comes again only after more than 10^12 flows. Control packets are as short as Ethernet allows, data packets as
// long as asked for.
#pragma once
#include "traffic.hpp"

namespace snf {

// Where the clients are and whom they ask. Host order; address 0: many servers, port 0: 443 or 80.
struct Service {
  Side clients = Side::inside;
  std::uint32_t address = 0;
  std::uint16_t port = 0;
};

// `translated`: for a function that rewrites. What the server's packets are from and to is the mirror of what the
// client's latest packet had become when it left; a flow whose first packet is dropped ends there, as nobody knows then
// where its server is. Otherwise both ends know the same addresses and ports, clients are inside, and a flow goes on
// whatever is dropped.
template <bool translated>
class TcpFlowsOf final : public FlowSource {
 public:
  static constexpr std::uint32_t fewest_packets = 7;  // SYN, SYN/ACK, ACK, one of data, FIN, FIN, ACK

  // `packets` of a flow in the mean, all lengths from `fewest_packets` to as much above the mean; or 1: the SYN alone.
  // Flows of one length, which wait for each other where they open and end, fall into step: all in their middle, where
  // they need no store, and then all at an end, where nothing else happens. The first `open_flows` flows are shorter,
  // as if they had been under way. `frame_bytes`: as networks are measured, 64 to 1518 with the FCS of 4 bytes, which
  // is in no buffer. Throws std::invalid_argument where these cannot be, and for clients that are not inside without
  // `translated`.
  TcpFlowsOf(std::uint32_t packets, unsigned open_flows, std::uint32_t frame_bytes, std::uint64_t seed,
             Service service = {});
  void make(FlowSlot* const* slots, Frame* frames, unsigned count) override;
  std::uint32_t longest() const override { return data_length_; }

 private:
  void open(FlowSlot& slot);
  void make_one(FlowSlot& slot, Frame& frame);
  void learn(FlowSlot& slot, const Frame& frame);
  std::uint32_t chosen_length();
  std::uint64_t random();

  const std::uint32_t packets_, data_length_;
  const Service service_;
  unsigned shorter_;  // how many flows are still to be shorter
  std::uint64_t next_flow_, random_;
};

using TcpFlows = TcpFlowsOf<false>;
using TranslatedTcpFlows = TcpFlowsOf<true>;

}  // namespace snf
