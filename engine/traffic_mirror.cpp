#include "traffic_mirror.hpp"

#include <utility>

#include "packet.hpp"

namespace snf {
namespace {

Tuple mirrored(const Tuple& tuple) {
  return {tuple.destination_high, tuple.destination_low,  tuple.source_high,
          tuple.source_low,       tuple.destination_port, tuple.source_port};
}

bool same_addresses(const Tuple& one, const Tuple& other) {
  return one.source_high == other.source_high && one.source_low == other.source_low &&
         one.destination_high == other.destination_high && one.destination_low == other.destination_low;
}

bool is_ordinary(const PacketRecord& packet) { return static_cast<Kind>(packet.kind) == Kind::ordinary; }

}  // namespace

void MirroredFlows::make(FlowSlot* const* slots, Frame* frames, unsigned count) {
  for (unsigned i = 0; i < count; ++i) learn(*slots[i], flows_[slots[i]]);
  source_->make(slots, frames, count);
  for (unsigned i = 0; i < count; ++i) follow(frames[i], flows_[slots[i]]);
}

// What has become of the latest packet.
void MirroredFlows::learn(FlowSlot& slot, Flow& flow) {
  const bool dropped = std::exchange(slot.dropped, false), asked = std::exchange(flow.asked, false);
  if (slot.step == slot.length) flow.known = false;
  if (dropped || !asked || slot.step == slot.length) return;
  PacketRecord packet;
  Layout layout;
  if (parse({slot.frame, flow.length, flow.length, nullptr, Side::inside}, packet, layout).what != Parsed::flow) return;
  flow.left = tuple_of(packet);
  flow.known = true;
}

void MirroredFlows::follow(const Frame& frame, Flow& flow) {
  PacketRecord packet;
  Layout layout;
  if (parse(frame, packet, layout).what != Parsed::flow) return;
  const Tuple tuple = tuple_of(packet);
  if (frame.side == Side::inside) {
    if (!is_ordinary(packet)) return;
    flow.asked = true;
    flow.length = frame.length;
    flow.sent = tuple;
  } else if (flow.known && same_addresses(tuple, mirrored(flow.sent))) {
    rewrite(frame, packet, layout, mirrored(flow.left));
  } else if (flow.known && same_addresses(tuple, flow.sent) && !is_ordinary(packet)) {  // quotes what left
    rewrite(frame, packet, layout, flow.left);
  }
}

}  // namespace snf
