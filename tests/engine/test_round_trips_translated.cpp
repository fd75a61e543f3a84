// Round trips through a process that rewrites addresses, ports and MAC addresses, and that asks for its neighbours.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "arp.hpp"
#include "lending_port.hpp"
#include "round_trips.hpp"
#include "traffic_tcp.hpp"
#include "translating_device.hpp"

using namespace snf;
using namespace snf::translating;

namespace {

std::uint64_t time_ns = 0;
std::uint64_t ticking() { return time_ns += 1000; }

constexpr unsigned open_flows = 100, packets_per_flow = 20;
constexpr Mac process_mac{2, 9, 9, 9, 9, 9};

// The process: a device behind a port, whose frames have MAC addresses of its own.
class Process final : public LendingPort {
 public:
  Process(Side clients, Device::Choice choice) : device(clients, std::move(choice)) {}

  Device device;
  std::vector<Arp> heard;

  void ask(const Arp& arp) {
    Frame frame = allocate();
    REQUIRE(write_arp(frame, {broadcast, process_mac, {}}, arp));
    frame.side = Side::outside;
    waiting_.push_back(frame);
  }
  unsigned receive(Frame* frames, unsigned room) override {
    unsigned count = 0;
    for (; count < room && !waiting_.empty(); waiting_.pop_front()) frames[count++] = waiting_.front();
    return count;
  }
  unsigned transmit(Side to, const Frame* frames, unsigned count) override {
    for (Frame frame : std::span(frames, count)) {
      frame.side = to;
      take(frame);
    }
    return count;
  }
  ~Process() override {
    for (const Frame& frame : waiting_) delete[] frame.data;
  }

 private:
  void take(Frame& frame) {
    if (load16(frame.data + 12) == ethertype::arp) {
      REQUIRE(read_arp(frame.data + 14, heard.emplace_back()));
      CHECK(load_mac(frame.data) == process_mac);
      CHECK(frame.side == Side::outside);
      return release(&frame, 1);
    }
    REQUIRE(device.pass(frame));
    std::memset(frame.data, 0x42, 12);
    frame.side = opposite(frame.side);
    waiting_.push_back(frame);
  }
  std::deque<Frame> waiting_;
};

void run(Process& process, unsigned frame_bytes, Service service) {
  auto source = std::make_unique<TranslatedTcpFlows>(packets_per_flow, open_flows, frame_bytes, 7, service);
  RoundTrips trips(process, std::move(source), open_flows, &ticking, Marks::payload);
  trips.saturate(1'000'000, 40);
  trips.settle();
  CHECK(trips.counts().returned > 5'000);
  CHECK(trips.counts().returned == trips.counts().made);
  CHECK(trips.counts().strays + trips.counts().resent + trips.counts().given_up == 0);
  CHECK(process.device.observer.finished.size() > 200);
  CHECK(process.device.far.size() == trips.flows());
  CHECK(process.lent == 0);
}

}  // namespace

TEST_CASE("translated round trips: everything comes back, and flows are whole") {
  for (const unsigned frame_bytes : {64u, 65u, 512u}) {
    Process nat(Side::inside, as_outer);
    run(nat, frame_bytes, {});
    Process balancer(Side::outside, to_a_server);
    run(balancer, frame_bytes, {Side::outside, virtual_address, 8080});
  }
}

TEST_CASE("translated round trips: a question for a neighbour is answered, an announcement is not") {
  Process process(Side::outside, to_a_server);
  const Address own = ipv4_address(first_server + 100), asked = ipv4_address(first_server);
  process.ask({true, process_mac, own, {}, asked});
  process.ask({true, process_mac, ipv4_address(0), {}, asked});  // it has no address there
  process.ask({true, process_mac, own, {}, own});                // announces
  process.ask({false, process_mac, own, process_mac, asked});    // a reply
  auto source = std::make_unique<TranslatedTcpFlows>(packets_per_flow, open_flows, 64, 7,
                                                     Service{Side::outside, virtual_address, 8080});
  RoundTrips trips(process, std::move(source), open_flows, &ticking, Marks::payload);
  trips.saturate(1'000'000, 40);
  trips.settle();
  REQUIRE(process.heard.size() == 2);
  for (const Arp& answer : process.heard) {
    CHECK_FALSE(answer.request);
    CHECK(answer.sender == asked);
    CHECK(answer.target_mac == process_mac);
    CHECK(is_one_interface(answer.sender_mac));
  }
  CHECK(process.heard[0].target == own);
  CHECK(trips.counts().strays == 2);
  CHECK(process.lent == 0);
}
