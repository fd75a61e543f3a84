// Devices that rewrite made-up traffic: a NAT and a load balancer of a few lines. What a device gets has to be what a
// wire would bring it, answers to what it sent included; what clients send and get has to be whole flows.
#pragma once
#include <doctest/doctest.h>

#include <functional>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "rewrite.hpp"
#include "traffic_observer.hpp"
#include "wire.hpp"

namespace snf::translating {

constexpr std::uint64_t ipv4(std::uint32_t address) { return mapped_prefix << 32 | address; }
inline constexpr std::uint32_t pool = 203u << 24 | 113u << 8, virtual_address = 198u << 24 | 18u << 16 | 1;
inline constexpr std::uint32_t first_server = 172u << 24 | 16u << 16 | 11;
inline constexpr unsigned servers = 8;

inline Tuple mirrored(const Tuple& tuple) {
  return {tuple.destination_high, tuple.destination_low,  tuple.source_high,
          tuple.source_low,       tuple.destination_port, tuple.source_port};
}
using Name = std::tuple<std::uint64_t, std::uint64_t, std::uint16_t, std::uint16_t>;
inline Name name_of(const Tuple& tuple) {
  return {tuple.source_low, tuple.destination_low, tuple.source_port, tuple.destination_port};
}

// Keeps what each flow's packets from the client become; a server's packets become the mirror of what the client sent.
class Device {
 public:
  using Choice = std::function<Tuple(const Tuple& sent, unsigned flow)>;
  Device(Side clients, Choice choice) : observer(clients), clients_(clients), choice_(std::move(choice)) {}

  Observer observer;
  std::set<Name> far;  // what servers have seen, as clients' packets

  // False: a SYN that is dropped as it came.
  bool pass(const Frame& frame) {
    const bool to_server = frame.side == clients_;
    PacketRecord packet;
    Layout layout;
    REQUIRE(parse(frame, packet, layout).what == Parsed::flow);
    if (to_server && packet.tcp_flags == syn && refuses_next()) return false;
    if (to_server) observer.see(frame);
    const Tuple tuple = tuple_of(packet);
    if (to_server && packet.tcp_flags == syn) open(tuple);
    const auto& changes = to_server ? forth_ : back_;
    const auto change = changes.find(name_of(tuple));
    REQUIRE(change != changes.end());  // else it belongs to no flow
    REQUIRE(rewrite(frame, packet, layout, change->second));
    if (!to_server) observer.see(frame);
    return true;
  }
  // The flow of a client's packet goes on somewhere else.
  void move(const Tuple& sent) { open(sent); }
  unsigned refuse_each = 0;  // every n-th SYN is dropped

 private:
  bool refuses_next() { return refuse_each != 0 && ++syns_ % refuse_each == 0; }
  void open(const Tuple& sent) {
    const Tuple left = choice_(sent, flows_++);
    REQUIRE(far.insert(name_of(left)).second);
    if (const auto before = forth_.find(name_of(sent)); before != forth_.end())
      back_.erase(name_of(mirrored(before->second)));
    forth_[name_of(sent)] = left;
    back_[name_of(mirrored(left))] = mirrored(sent);
  }
  const Side clients_;
  const Choice choice_;
  unsigned flows_ = 0, syns_ = 0;
  std::map<Name, Tuple> forth_, back_;
};

inline Tuple as_outer(const Tuple& sent, unsigned flow) {
  Tuple left = sent;
  left.source_low = ipv4(pool + flow % 200);
  left.source_port = static_cast<std::uint16_t>(1024 + flow / 200);
  return left;
}
inline Tuple to_a_server(const Tuple& sent, unsigned flow) {
  REQUIRE(sent.destination_low == ipv4(virtual_address));
  REQUIRE(sent.destination_port == 8080);
  Tuple left = sent;
  left.destination_low = ipv4(first_server + flow % servers);
  left.destination_port = 80;
  return left;
}

}  // namespace snf::translating
