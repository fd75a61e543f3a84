// Where a packet's way through the pipe ends: forwarded, dropped under a name, passed, or answered.
// Carries out effects, counts everything once, and keeps bounded copies of events and (if asked) of dropped frames.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "function.hpp"
#include "handover.hpp"
#include "packets.hpp"
#include "port.hpp"
#include "rate_limit.hpp"
#include "record.hpp"
#include "reject.hpp"
#include "stats.hpp"

namespace snf {

// What a function reported of a packet (an effect `event`), with the header that it was about, as rewritten, and the
// flow's record, of functions that rewrite.
struct Event {
  PacketRecord packet;
  std::uint8_t code;
  std::uint16_t value;
  std::vector<std::uint8_t> record;
};

struct DroppedFrame {
  std::uint64_t token;  // the frame's handle
  std::uint64_t now;    // ms, store clock
  Drop reason;
  std::uint8_t function_reason;  // index + 1 where reason == denied and the function named it, else 0
  Side side;
  std::vector<std::uint8_t> bytes;
};

class Gateway;

class Outlet {
 public:
  // captured: how many dropped frames are kept until somebody takes them, 0: none.
  Outlet(Port& port, PacketPool& pool, Stats& stats, std::size_t events, std::size_t captured);
  // Through which every packet to be forwarded goes from now on: it knows who has to get the frame.
  void lead_by(Gateway& gateway) { gateway_ = &gateway; }
  bool is_led() const { return gateway_ != nullptr; }
  void forward(std::uint32_t packet);
  void pass(const Frame& frame);  // not for the function: out of the other side as it is
  void say(const Frame& frame);   // made by the pipe itself: out of the side opposite to its own
  void drop(std::uint32_t packet, Drop reason, std::uint8_t function_reason = 0);
  void drop_frame(const Frame& frame, Drop reason, std::uint64_t now, std::uint8_t function_reason = 0);
  // Ends a packet as its verdict says, with its effects. `record`: of its flow, for events.
  void finish(std::uint32_t packet, Bytes record = {});
  // Carries out the effects of a packet that does not end yet.
  void tell(const Packet& packet, Bytes record) {
    if (packet.header.effect_count > 0) carry_out(packet, record);
  }
  void flush(std::uint64_t now_ns);
  void drop_all(PacketQueue& queue, Drop reason);

  std::vector<Event> take_events() { return events_.take(); }
  std::vector<DroppedFrame> take_dropped() { return dropped_.take(); }

 private:
  static constexpr unsigned batch = 64;
  struct Buffer {
    std::array<Frame, batch> frames;
    std::array<std::uint64_t, batch> received;
    unsigned count = 0;
  };
  void send(Side to, const Frame& frame, std::uint64_t received);
  void transmit(Side to);
  void measure(const Buffer& buffer);
  void carry_out(const Packet& packet, Bytes record);
  void answer(const Packet& packet, Refusal kind);
  bool lead(std::uint32_t packet);

  Port& port_;
  PacketPool& pool_;
  Stats& stats_;
  Gateway* gateway_ = nullptr;  // null: frames leave as they were addressed
  std::size_t captured_;
  std::array<Buffer, 2> buffers_;
  std::uint64_t now_ns_ = 0;
  RateLimit answers_;  // by the packets' clock
  Handover<Event> events_;
  Handover<DroppedFrame> dropped_;
};

inline void Outlet::send(Side to, const Frame& frame, std::uint64_t received) {
  Buffer& buffer = buffers_[static_cast<unsigned>(to)];
  const unsigned count = buffer.count;
  buffer.frames[count] = frame;
  buffer.received[count] = received;
  buffer.count = count + 1;
  if (count + 1 == batch) transmit(to);
}

inline void Outlet::forward(std::uint32_t index) {
  if (gateway_ != nullptr && !lead(index)) return;
  Packet& packet = pool_[index];
  send(opposite(packet.frame.side), packet.frame, packet.received);
  pool_.release(index);
}

inline void Outlet::finish(std::uint32_t index, Bytes record) {
  Packet& packet = pool_[index];
  if (packet.fault) return drop(index, packet.fault == fault_park ? Drop::not_parked : Drop::function_error);
  if (packet.header.effect_count > 0) carry_out(packet, record);
  if ((packet.verdict & 0xff) == verdict_forward) return forward(index);
  drop(index, Drop::denied, static_cast<std::uint8_t>(packet.verdict >> 8));
}

}  // namespace snf
