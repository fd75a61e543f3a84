// Packets made on the fly, sent through somebody else's process and taken back, for benchmarks on real ports.
// A frame carries its flow's place and number where the process leaves them alone (Marks). A flow's next packet is made
// only when its previous one is back, as causality wants it on a wire; one that does not come back is sent again after
// `patience`, as its sender would, and a flow whose packet is lost again and again is given up for a new one. One
// thread uses it.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "traffic.hpp"

namespace snf {

struct TripCounts {
  std::uint64_t made = 0;      // packets
  std::uint64_t returned = 0;  // of these; all but those in flight and given up
  std::uint64_t resent = 0;
  std::uint64_t given_up = 0;  // and their flows with them
  std::uint64_t strays = 0;    // received, but not what we wait for
  std::uint64_t late = 0;      // paced only: times to send that were missed
};

// Where a frame carries its place and number. macs: in its MAC addresses, for a bump in the wire. payload: behind
// Ethernet, IPv4 and TCP headers without options, for a process that rewrites addresses; the source is then one for
// such functions (TranslatedTcpFlows), and whoever asks by ARP where the next hop is gets an answer, for any address.
enum class Marks : std::uint8_t { macs, payload };

class RoundTrips {
 public:
  static constexpr std::uint64_t patience_ns = 50'000'000;

  // `port` outlives this; `clock`: ns, monotonic.
  RoundTrips(Port& port, std::unique_ptr<FlowSource> source, unsigned open_flows, std::uint64_t (*clock)(),
             Marks marks = Marks::macs);

  // For `ns`, as fast as packets come back, at most `window` in flight. Returns the time taken, ns.
  std::uint64_t saturate(std::uint64_t ns, unsigned window);
  // For `ns`, one packet each `interval_ns`; a time that is missed by more than that is left out. Appends to `taken`
  // how long each packet was on its way (ns), from sending to receiving, those that were sent again left out.
  std::uint64_t pace(std::uint64_t ns, std::uint64_t interval_ns, std::vector<std::uint32_t>& taken);
  // Sends nothing and takes back until nothing is in flight, or nothing has come for `patience`. `taken`: as above.
  void settle(std::vector<std::uint32_t>* taken = nullptr);

  const TripCounts& counts() const { return counts_; }
  std::uint64_t flows() const { return source_->opened(); }
  unsigned in_flight() const { return in_flight_; }

 private:
  static constexpr unsigned burst = 32;
  static constexpr unsigned most_attempts = 20;
  static constexpr std::uint64_t look_ns = 5'000'000;  // between two looks for packets that are due again

  // The packet of a slot that was made last.
  struct Trip {
    std::uint64_t sent_at = 0;  // ns
    std::uint32_t length = 0;
    std::uint16_t number = 0;   // tells it from the flow's others
    std::uint8_t attempts = 0;  // 0: it is back
    Side side = Side::inside;   // on which the instance receives it
  };
  unsigned take_back(std::uint64_t now, std::vector<std::uint32_t>* taken);
  void mark(std::uint8_t* frame, std::uint32_t place, std::uint16_t number) const;
  bool is_awaited(const Frame& frame, std::uint32_t slot, std::uint16_t number) const;
  bool answer(const Frame& frame);
  unsigned send(std::uint64_t now, unsigned count);
  void send_out(std::uint64_t now, const std::uint32_t* places, unsigned count);
  void look_for_lost(std::uint64_t now);
  void come_back(std::uint32_t place);

  Port& port_;
  const std::unique_ptr<FlowSource> source_;
  std::uint64_t (*const clock_)();
  const Marks marks_;
  std::unique_ptr<std::uint8_t[]> memory_;
  std::vector<FlowSlot> slots_;
  std::vector<Trip> trips_;           // of each slot
  std::vector<std::uint32_t> ready_;  // slots whose turn it is, a ring
  std::uint64_t first_ready_ = 0, end_ready_ = 0, next_look_ = 0;
  const std::uint64_t mask_;
  unsigned in_flight_ = 0;
  TripCounts counts_;
};

}  // namespace snf
