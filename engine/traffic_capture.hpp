// The flows of a capture, over and over: each pass with other client addresses, so that its flows are new ones.
// A flow's packets keep their order, bytes and sizes; flows open in the capture's order, as many at a time as the port
// has places. Frames without a flow of IP (ARP and the like) are replayed as they are.
#pragma once
#include <array>
#include <vector>

#include "record.hpp"
#include "traffic.hpp"

namespace snf {

struct CapturedFrame {
  Side side;  // on which it arrives
  Bytes bytes;
  std::uint32_t flow;  // frames of one flow have the same number, any number
};

class CaptureFlows final : public FlowSource {
 public:
  // Copies the frames. Throws std::invalid_argument where there is none.
  explicit CaptureFlows(const std::vector<CapturedFrame>& frames);
  void make(FlowSlot* const* slots, Frame* frames, unsigned count) override;
  std::uint32_t longest() const override { return longest_; }

 private:
  // Where an address inside is changed, and which checksums notice: offsets in the frame, 0: none.
  struct Rewrite {
    std::uint16_t at = 0;  // of four bytes, the middle two of which change
    std::uint16_t ip_checksum = 0, transport_checksum = 0;
    bool udp = false;
  };
  struct Stored {
    std::size_t begin;
    std::uint32_t length;
    Side side;
    std::array<Rewrite, 2> rewrites;      // of the packet, and of the one that an ICMP error quotes
    std::uint16_t icmp = 0, network = 0;  // of an ICMP error: its header, whose checksum is made anew, and IP's
    std::uint32_t end = 0;                // behind the packet
  };

  static Stored plan(const CapturedFrame& frame, std::size_t begin);
  static void rewrite(std::uint8_t* frame, const Rewrite& where, std::uint32_t pass);
  static void sum_icmp(std::uint8_t* frame, const Stored& stored);
  void open(FlowSlot& slot);
  void make_one(FlowSlot& slot, Frame& frame);

  std::vector<std::uint8_t> bytes_;
  std::vector<Stored> frames_;        // by flow, in order
  std::vector<std::uint32_t> first_;  // of each flow in frames_, and one behind the last
  std::uint32_t longest_ = 0, next_ = 0, pass_ = 0;
};

}  // namespace snf
