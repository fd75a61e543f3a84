// Packets as they were received. A function that rewrites writes into the packet record, and may run again: each run
// starts from what was parsed (protocol.md, rule 4), and what it wrote is compared with that when the packet leaves.
#pragma once
#include <vector>

#include "packet.hpp"
#include "rewrite.hpp"

namespace snf {

class Originals {
 public:
  explicit Originals(std::size_t packets) : kept_(packets) {}
  void keep(std::uint32_t packet, const PacketRecord& header) { kept_[packet] = {tuple_of(header), header.mss}; }
  void restore(std::uint32_t packet, PacketRecord& header) const {
    const auto& [tuple, mss] = kept_[packet];
    header.source_high = tuple.source_high;
    header.source_low = tuple.source_low;
    header.destination_high = tuple.destination_high;
    header.destination_low = tuple.destination_low;
    header.source_port = tuple.source_port;
    header.destination_port = tuple.destination_port;
    header.mss = mss;
    header.direct = 0;
  }
  const Tuple& tuple(std::uint32_t packet) const { return kept_[packet].tuple; }
  std::uint16_t mss(std::uint32_t packet) const { return kept_[packet].mss; }

 private:
  struct Original {
    Tuple tuple;
    std::uint16_t mss;
  };
  std::vector<Original> kept_;  // by the packet's place in the pool
};

}  // namespace snf
