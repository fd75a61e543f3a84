// A pipe with neighbours on a memory port, without a store: frames of hosts in, all that leaves out. Nothing is
// announced unless the test says so.
#pragma once
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "memory_port.hpp"
#include "neighbour_rig.hpp"
#include "pipe.hpp"
#include "tally.hpp"

namespace snf::frames {

// As neighbour_options; inside it has 10.0.0.0/8 on-link and is 10.0.0.254 itself; outside 192.0.2.1 is the gateway.
inline NeighbourOptions gateway_options() {
  NeighbourOptions options = neighbour_options();
  options.announced = 0;
  options.sides[0].on_link = {{ipv4_address(0x0a000000), ipv4_address(0x0affffff)}};
  options.sides[0].owned = {{ipv4_address(0x0a0000fe), ipv4_address(0x0a0000fe)}};
  return options;
}

inline Octets macs(Octets frame, const Mac& to, const Mac& from) {
  std::copy(to.begin(), to.end(), frame.begin());
  std::copy(from.begin(), from.end(), frame.begin() + 6);
  return frame;
}

// A memory port of which a side can lose its link.
struct LinkedPort final : Port {
  explicit LinkedPort(MemoryPort& memory) : port(memory) {}
  unsigned receive(Frame* frames, unsigned room) override { return port.receive(frames, room); }
  unsigned transmit(Side to, const Frame* frames, unsigned count) override { return port.transmit(to, frames, count); }
  void release(const Frame* frames, unsigned count) override { port.release(frames, count); }
  Frame allocate() override { return port.allocate(); }
  std::uint64_t token(const Frame& frame) const override { return port.token(frame); }
  bool link_up(Side side) const override { return up[static_cast<unsigned>(side)]; }

  MemoryPort& port;
  std::array<bool, 2> up{true, true};
};

struct GatewayRig {
  explicit GatewayRig(const std::optional<NeighbourOptions>& neighbours = gateway_options()) {
    PipeOptions options;
    options.mode = Mode::baseline;
    options.limits.packets = options.limits.flows = options.limits.flights = 64;
    options.captured = 64;
    options.neighbours = neighbours;
    pipe = std::make_unique<Pipe>(options, linked, keys, nullptr,
                                  std::make_shared<Program>(tally::record_size, &tally::burst),
                                  std::make_shared<TableSet>(), stats);
  }
  // One step, in which these frames come in.
  std::vector<MemoryPort::Sent> step(std::initializer_list<Octets> frames = {}, Side side = Side::inside) {
    for (const Octets& frame : frames) REQUIRE(port.inject(frame, side, next++));
    pipe->step(now_ms * 1'000'000);
    return port.collect();
  }
  // "2:neighbour_unknown 3:stopped": what has been dropped since the last call.
  std::string dropped() {
    std::string text;
    for (const auto& drop : pipe->outlet().take_dropped()) {
      text += (text.empty() ? "" : " ") + std::to_string(drop.token) + ":" + std::string(name_of(drop.reason));
    }
    return text;
  }

  Keys keys{1, 2};
  MemoryPort port{128, 256};
  LinkedPort linked{port};
  Stats stats;
  std::unique_ptr<Pipe> pipe;
  std::uint64_t now_ms = 1'000'000, next = 1;
};

// A packet from 10.0.0.1 to 192.0.2.9 as a host sends it that takes the deployment for its router.
inline Octets routed(std::uint8_t flow = 0) { return macs(tally::frame(tally::pass, 1, flow), our_mac, host_mac); }

inline bool has_macs(const Octets& frame, const Mac& to, const Mac& from) { return frame == macs(frame, to, from); }

}  // namespace snf::frames
