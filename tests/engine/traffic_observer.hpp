// Looks at made-up traffic as its clients see it, and requires that it is whole flows of right TCP packets in order.
#pragma once
#include <doctest/doctest.h>

#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "packet.hpp"

namespace snf {

using FlowName = std::tuple<std::uint64_t, std::uint64_t, std::uint16_t, std::uint16_t>;  // of the client's packets

// What a flow's packets said so far; `packets` of a finished flow only.
struct Flow {
  unsigned packets = 0, fins = 0;
  std::uint32_t next[2] = {0, 0};
};

class Observer {
 public:
  // `clients`: the side on which they are.
  explicit Observer(Side clients = Side::inside) : clients_(clients) {}

  std::map<FlowName, Flow> open;
  std::vector<unsigned> finished;
  std::set<FlowName> seen;
  unsigned repeats = 0;  // packets right behind one of the same flow

  void see(const Frame& frame) {
    PacketRecord record{};
    Layout layout;
    REQUIRE(parse(frame, record, layout).what == Parsed::flow);
    REQUIRE(checksums_hold(frame, record, layout));
    const bool inbound = frame.side != clients_;
    const FlowName tuple =
        inbound ? FlowName{record.destination_low, record.source_low, record.destination_port, record.source_port}
                : FlowName{record.source_low, record.destination_low, record.source_port, record.destination_port};
    repeats += tuple == last_;
    last_ = tuple;
    if (record.tcp_flags == syn) REQUIRE(seen.insert(tuple).second);
    follow(tuple, record, inbound);
  }

 private:
  void follow(const FlowName& tuple, const PacketRecord& record, bool inbound) {
    Flow& flow = open[tuple];
    const unsigned number = flow.packets++;
    const std::uint8_t expected[] = {syn, syn | ack, ack};
    if (number < 3) REQUIRE(record.tcp_flags == expected[number]);
    if (number < 3) REQUIRE(inbound == (number == 1));
    if (number > 1) REQUIRE(record.sequence == flow.next[inbound]);
    if (number > 0) REQUIRE(record.acknowledgement == flow.next[!inbound]);
    flow.next[inbound] = record.sequence + record.payload_length + ((record.tcp_flags & (syn | fin)) != 0);
    if (flow.fins == 2) {
      REQUIRE(record.tcp_flags == ack);
      finished.push_back(flow.packets);
      open.erase(tuple);
      return;
    }
    flow.fins += (record.tcp_flags & fin) != 0;
  }
  const Side clients_;
  FlowName last_{};
};

}  // namespace snf
