// Any traffic, for a function that rewrites: once a packet from inside has left, what comes from outside is to and from
// where that one went (RFC 2663: a NAT's outer addresses; ICMP errors quote the packet as it left). Flows that nobody
// inside has sent a packet of stay as they are. Costs a look at each packet, so TCP flows have a way of their own.
#pragma once
#include <memory>
#include <unordered_map>

#include "rewrite.hpp"
#include "traffic.hpp"

namespace snf {

class MirroredFlows final : public FlowSource {
 public:
  explicit MirroredFlows(std::unique_ptr<FlowSource> source) : source_(std::move(source)) {}
  void make(FlowSlot* const* slots, Frame* frames, unsigned count) override;
  std::uint32_t longest() const override { return source_->longest(); }
  std::uint64_t opened() const override { return source_->opened(); }

 private:
  struct Flow {
    bool asked = false, known = false;  // the latest packet is from inside; `sent` became `left`
    std::uint32_t length = 0;           // of the latest packet
    Tuple sent{}, left{};
  };
  static void learn(FlowSlot& slot, Flow& flow);
  static void follow(const Frame& frame, Flow& flow);

  const std::unique_ptr<FlowSource> source_;
  std::unordered_map<const FlowSlot*, Flow> flows_;
};

}  // namespace snf
