// Packets through somebody else's process and back: causal, all taken back, lost ones sent again, strays told apart.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "lending_port.hpp"
#include "round_trips.hpp"
#include "traffic_tcp.hpp"
#include "wire.hpp"

using namespace snf;

namespace {

std::uint64_t time_ns = 0;
template <std::uint64_t tick>
std::uint64_t ticking() {
  return time_ns += tick;
}

constexpr unsigned open_flows = 100, packets_per_flow = 20, frame_bytes = 128;

// A process that sends everything out of the other side, `delay` later, but loses what `loses` says.
class Echo final : public LendingPort {
 public:
  std::uint64_t delay = 0, received = 0;
  bool (*loses)(std::uint64_t number) = [](std::uint64_t) { return false; };
  std::uint64_t repeats_after = 0;  // ns; 0: nothing comes twice
  bool returns_to_sender = false, garbles = false;
  unsigned most_waiting = 0;
  bool overtaken = false;  // a packet came while one of its flow was on its way back

  unsigned receive(Frame* frames, unsigned room) override {
    unsigned count = 0;
    while (count < room && !waiting_.empty() && waiting_.begin()->first <= time_ns) {
      const Waiting& first = waiting_.begin()->second;
      if (!first.copy) --under_way_[place_of(first.frame)];
      frames[count++] = first.frame;
      waiting_.erase(waiting_.begin());
    }
    return count;
  }
  unsigned transmit(Side to, const Frame* frames, unsigned count) override {
    for (Frame frame : std::span(frames, count)) {
      frame.side = returns_to_sender ? to : opposite(to);
      if (loses(received++)) {
        release(&frame, 1);
        continue;
      }
      if (garbles) std::memset(frame.data, 0xff, 12);
      overtaken |= ++under_way_[place_of(frame)] > 1;
      if (repeats_after > 0) waiting_.emplace(time_ns + delay + repeats_after, Waiting{copy_of(frame), true});
      waiting_.emplace(time_ns + delay, Waiting{frame, false});
      most_waiting = std::max(most_waiting, static_cast<unsigned>(waiting_.size()));
    }
    return count;
  }
  ~Echo() override {
    for (const auto& [due, waiting] : waiting_) delete[] waiting.frame.data;
  }

 private:
  struct Waiting {
    Frame frame;
    bool copy;
  };
  static std::uint32_t place_of(const Frame& frame) { return load32(frame.data + 8); }
  Frame copy_of(const Frame& frame) {
    Frame copy = allocate();
    std::memcpy(copy.data, frame.data, frame.length);
    copy.length = frame.length;
    copy.side = frame.side;
    return copy;
  }
  std::multimap<std::uint64_t, Waiting> waiting_;  // by when they are due
  std::map<std::uint32_t, unsigned> under_way_;    // frames by their place
};

// A look at the clock takes `tick` ns.
template <std::uint64_t tick = 1000>
std::unique_ptr<RoundTrips> trips_over(Port& port) {
  auto flows = std::make_unique<TcpFlows>(packets_per_flow, open_flows, frame_bytes, 7);
  return std::make_unique<RoundTrips>(port, std::move(flows), open_flows, &ticking<tick>);
}

}  // namespace

TEST_CASE("round trips: everything comes back, one packet of a flow at a time, within the window") {
  Echo echo;
  echo.delay = 20'000;
  const auto trips = trips_over(echo);
  const std::uint64_t elapsed = trips->saturate(50'000'000, 40);
  CHECK(elapsed >= 50'000'000);
  CHECK(echo.most_waiting == 40);
  CHECK_FALSE(echo.overtaken);
  trips->settle();
  CHECK(trips->in_flight() == 0);
  CHECK(trips->counts().returned > 10'000);
  CHECK(trips->counts().returned == trips->counts().made);
  CHECK(trips->counts().made == echo.received);
  CHECK(trips->counts().resent + trips->counts().strays + trips->counts().given_up == 0);
  CHECK(trips->flows() >= trips->counts().made / packets_per_flow);
  CHECK(echo.lent == 0);
}

TEST_CASE("round trips: a lost packet is sent again, and its flow goes on") {
  Echo echo;
  echo.loses = [](std::uint64_t number) { return number % 10 == 3; };
  const auto trips = trips_over<20'000>(echo);
  trips->saturate(20 * RoundTrips::patience_ns, 40);
  CHECK(trips->counts().resent > 50);
  CHECK(trips->counts().given_up == 0);
  CHECK(trips->counts().returned + trips->in_flight() == trips->counts().made);
  CHECK(trips->counts().strays == 0);
  CHECK(echo.lent == 0);
}

TEST_CASE("round trips: a flow whose packets never come back makes room for another") {
  Echo echo;
  echo.loses = [](std::uint64_t) { return true; };
  const auto trips = trips_over<20'000>(echo);
  trips->saturate(70 * RoundTrips::patience_ns, 40);
  CHECK(trips->counts().returned == 0);
  CHECK(trips->counts().given_up >= 120);
  CHECK(trips->flows() == trips->counts().made);  // a packet each
  CHECK(trips->in_flight() <= 40);
}

TEST_CASE("round trips: what we do not wait for is a stray") {
  Echo echo;
  const auto trips = trips_over(echo);
  SUBCASE("a frame that comes again, while the next one of its flow is on its way") {
    echo.delay = 30'000;
    echo.repeats_after = 40'000;
    trips->saturate(5'000'000, 100);
    CHECK_FALSE(echo.overtaken);
    trips->settle();
    CHECK(trips->counts().returned == trips->counts().made);
    CHECK(trips->counts().strays + 200 >= trips->counts().returned);
  }
  SUBCASE("a frame that comes back where it was sent") { echo.returns_to_sender = true; }
  SUBCASE("a frame of nobody's") { echo.garbles = true; }
  if (echo.repeats_after == 0) {
    trips->saturate(5'000'000, 40);
    CHECK(trips->counts().returned == 0);
    CHECK(trips->counts().strays == 40);
  }
}

TEST_CASE("round trips: paced packets leave at their rate, and their time on the way is measured") {
  Echo echo;
  echo.delay = 30'000;
  const auto trips = trips_over(echo);
  std::vector<std::uint32_t> taken;
  trips->pace(100'000'000, 50'000, taken);
  trips->settle(&taken);
  CHECK(taken.size() == trips->counts().made);
  CHECK(trips->counts().made >= 1995);
  CHECK(trips->counts().made <= 2001);
  CHECK(trips->counts().late == 0);
  for (const std::uint32_t one : taken) {
    REQUIRE(one >= 30'000);
    REQUIRE(one <= 36'000);
  }
}

TEST_CASE("round trips: packets that were sent again do not count in the times") {
  Echo echo;
  echo.loses = [](std::uint64_t number) { return number % 50 == 7; };
  const auto trips = trips_over(echo);
  std::vector<std::uint32_t> taken;
  trips->pace(200'000'000, 50'000, taken);
  CHECK(trips->counts().resent > 10);
  CHECK(taken.size() < trips->counts().returned);
  CHECK(taken.size() + trips->counts().resent >= trips->counts().returned);
}

TEST_CASE("round trips: times to send that were missed are counted and not made up for") {
  Echo echo;
  std::vector<std::uint32_t> taken;
  SUBCASE("because we were not running") {
    echo.loses = [](std::uint64_t number) {
      if (number == 100) time_ns += 50'000'000;
      return false;
    };
    const auto trips = trips_over(echo);
    trips->pace(100'000'000, 50'000, taken);
    CHECK(trips->counts().late >= 998);
    CHECK(trips->counts().made <= 1003);
    CHECK(trips->counts().made + trips->counts().late >= 1998);
  }
  SUBCASE("because every flow waits for its packet") {
    echo.delay = 40'000'000;
    const auto trips = trips_over(echo);
    trips->pace(200'000'000, 50'000, taken);  // 100 flows every 40 ms: no more than 500 of 4,000 can be sent
    CHECK(trips->counts().made <= 600);
    CHECK(trips->counts().made + trips->counts().late >= 3990);
  }
}
