// Complete TCP flows, made up: handshake, data both ways with right sequence numbers and acknowledgements, both FINs.
// Clients in 10/8 are inside, servers in 198.18/15 (RFC 2544) outside, port 443 or 80; a tuple comes again only after
// more than 10^12 flows. Control packets are as short as Ethernet allows, data packets as long as asked for.
#pragma once
#include "traffic.hpp"

namespace snf {

class TcpFlows final : public FlowSource {
 public:
  static constexpr std::uint32_t fewest_packets = 7;  // SYN, SYN/ACK, ACK, one of data, FIN, FIN, ACK

  // `packets` of a flow; the first `open_flows` flows are shorter by chance, so that flows do not all end at once.
  // `frame_bytes`: as networks are measured, 64 to 1518 with the FCS of 4 bytes, which is in no buffer.
  // Throws std::invalid_argument where these cannot be.
  TcpFlows(std::uint32_t packets, unsigned open_flows, std::uint32_t frame_bytes, std::uint64_t seed);
  void make(FlowSlot* const* slots, Frame* frames, unsigned count) override;
  std::uint32_t longest() const override { return data_length_; }

 private:
  void open(FlowSlot& slot);
  void make_one(FlowSlot& slot, Frame& frame);
  std::uint64_t random();

  const std::uint32_t packets_, data_length_;
  unsigned shorter_;  // how many flows are still to be shorter
  std::uint64_t next_flow_, random_;
};

}  // namespace snf
