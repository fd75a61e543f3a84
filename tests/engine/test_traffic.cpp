// Made-up traffic: complete, causal, interleaved TCP flows with right checksums, and new flows without end.
#include <doctest/doctest.h>

#include <array>
#include <numeric>
#include <set>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include "traffic_observer.hpp"
#include "traffic_tcp.hpp"

using namespace snf;

namespace {

TrafficPort tcp_traffic(unsigned packets, unsigned open_flows, unsigned frame_bytes, std::uint64_t seed = 1) {
  return {std::make_unique<TcpFlows>(packets, open_flows, frame_bytes, seed), open_flows, seed};
}

void send_back(TrafficPort& port, const std::span<Frame> frames) {
  for (const Frame& frame : frames) port.transmit(opposite(frame.side), &frame, 1);
}

}  // namespace

TEST_CASE("traffic: TCP flows are complete, interleaved, right, and new ones keep coming") {
  for (const unsigned frame_bytes : {64u, 1500u}) {
    TrafficPort port = tcp_traffic(20, 100, frame_bytes);
    Observer observer;
    std::array<Frame, 32> frames;
    std::set<std::uint32_t> lengths;
    for (int burst = 0; burst < 2000; ++burst) {
      REQUIRE(port.receive(frames.data(), 32) == 32);
      for (const Frame& frame : frames) {
        observer.see(frame);
        lengths.insert(frame.length);
      }
      send_back(port, frames);
    }
    CHECK(observer.open.size() <= 100);
    CHECK(observer.finished.size() > 3000);
    CHECK(observer.finished.size() + 100 >= port.flows());
    CHECK(observer.repeats == 0);
    CHECK(port.forwarded() == 64000);
    CHECK(port.dropped() == 0);
    CHECK(lengths == std::set<std::uint32_t>{60, frame_bytes - 4});
    // Flows have the length that was asked for in the mean, and all lengths up to as much more.
    const std::set<unsigned> seen(observer.finished.begin(), observer.finished.end());
    CHECK(seen.size() == 27);
    CHECK(*seen.begin() == 7);
    CHECK(*seen.rbegin() == 33);
    const std::span later = std::span(observer.finished).last(2000);
    CHECK(std::accumulate(later.begin(), later.end(), 0u) / 2000.0 == doctest::Approx(20).epsilon(0.03));
  }
}

TEST_CASE("traffic: a flow waits for its packet to come back, sent or dropped") {
  TrafficPort port = tcp_traffic(20, 40, 64);
  std::array<Frame, 64> frames;
  REQUIRE(port.receive(frames.data(), 64) == 40);
  CHECK(port.receive(frames.data(), 64) == 0);
  std::set<void*> handles;
  for (unsigned i = 0; i < 40; ++i) handles.insert(frames[i].handle);
  CHECK(handles.size() == 40);
  void* sent = frames[3].handle;
  void* dropped = frames[7].handle;
  port.transmit(Side::outside, &frames[3], 1);
  port.release(&frames[7], 1);
  REQUIRE(port.receive(frames.data(), 64) == 2);
  CHECK(std::set<void*>{frames[0].handle, frames[1].handle} == std::set<void*>{sent, dropped});
  CHECK(port.forwarded() == 1);
  CHECK(port.dropped() == 1);
}

TEST_CASE("traffic: the same seed gives the same packets, another one others") {
  const auto bytes = [](std::uint64_t seed) {
    TrafficPort port = tcp_traffic(10, 50, 64, seed);
    std::vector<std::uint8_t> all;
    std::array<Frame, 32> frames;
    for (int burst = 0; burst < 50; ++burst) {
      const unsigned count = port.receive(frames.data(), 32);
      for (const Frame& frame : std::span(frames).first(count))
        all.insert(all.end(), frame.data, frame.data + frame.length);
      send_back(port, std::span(frames).first(count));
    }
    return all;
  };
  CHECK(bytes(5) == bytes(5));
  CHECK(bytes(5) != bytes(6));
}

TEST_CASE("traffic: the pipe's own packets come from spare frames and are counted apart") {
  TrafficPort port = tcp_traffic(10, 4, 64);
  std::vector<Frame> made;
  for (Frame frame = port.allocate(); frame.data != nullptr; frame = port.allocate()) made.push_back(frame);
  REQUIRE(made.size() == 1024);
  port.transmit(Side::inside, made.data(), 1000);
  port.release(made.data() + 1000, 24);
  CHECK(port.generated() == 1000);
  CHECK(port.forwarded() + port.dropped() == 0);
  CHECK(port.allocate().data != nullptr);
}

TEST_CASE("traffic: frames given back by two other threads") {
  TrafficPort port = tcp_traffic(20, 200, 64);
  std::array<std::atomic<Frame*>, 2> handed{};
  std::atomic<bool> over{false};
  const auto give_back = [&](std::size_t which) {
    while (!over) {
      if (Frame* frame = handed[which].exchange(nullptr)) {
        which == 0 ? static_cast<void>(port.transmit(Side::outside, frame, 1)) : port.release(frame, 1);
        delete frame;
      } else {
        std::this_thread::yield();
      }
    }
  };
  std::thread sender(give_back, 0), dropper(give_back, 1);
  Observer observer;
  for (unsigned received = 0; received < 6000;) {
    Frame frame;
    if (port.receive(&frame, 1) == 0) {
      std::this_thread::yield();
      continue;
    }
    observer.see(frame);
    auto& place = handed[received++ % 2];
    while (place.load() != nullptr) std::this_thread::yield();
    place = std::make_unique<Frame>(frame).release();
  }
  while (handed[0] != nullptr || handed[1] != nullptr) std::this_thread::yield();
  over = true;
  sender.join();
  dropper.join();
  CHECK(port.forwarded() == 3000);
  CHECK(port.dropped() == 3000);
}

TEST_CASE("traffic: impossible shapes are refused") {
  CHECK_THROWS_AS(tcp_traffic(6, 10, 64), std::invalid_argument);
  CHECK_THROWS_AS(tcp_traffic(2, 10, 64), std::invalid_argument);
  CHECK_THROWS_AS(tcp_traffic(0, 10, 64), std::invalid_argument);
  CHECK_THROWS_AS(tcp_traffic(7, 10, 63), std::invalid_argument);
  CHECK_THROWS_AS(tcp_traffic(7, 10, 1519), std::invalid_argument);
  CHECK_THROWS_AS(TcpFlows(7, 10, 64, 1, {Side::outside}), std::invalid_argument);
}
