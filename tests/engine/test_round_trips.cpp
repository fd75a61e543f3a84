// Packets through somebody else's process and back: causal, all taken back, lost ones sent again, strays told apart.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "packet.hpp"
#include "round_trips.hpp"
#include "traffic_tcp.hpp"

using namespace snf;

namespace {

std::uint64_t time_ns = 0;  // a look at the clock takes a microsecond
std::uint64_t ticking() { return time_ns += 1000; }

constexpr unsigned open_flows = 100, packets_per_flow = 20, frame_bytes = 128;

// A process that sends everything out of the other side, `delay` later, but loses what `loses` says.
class Echo final : public Port {
 public:
  std::uint64_t delay = 0, received = 0;
  bool (*loses)(std::uint64_t number) = [](std::uint64_t) { return false; };
  bool repeats = false, returns_to_sender = false;
  unsigned lent = 0, most_waiting = 0;
  std::map<std::array<std::uint8_t, 4>, unsigned> under_way;  // frames by their place
  bool overtaken = false;

  unsigned receive(Frame* frames, unsigned room) override {
    unsigned count = 0;
    while (count < room && !waiting_.empty() && waiting_.front().due <= time_ns) {
      --under_way[place_of(waiting_.front().frame)];
      frames[count++] = waiting_.front().frame;
      waiting_.pop_front();
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
      queue(frame);
      if (repeats) queue(copy_of(frame));
      most_waiting = std::max<unsigned>(most_waiting, static_cast<unsigned>(waiting_.size()));
    }
    return count;
  }
  void release(const Frame* frames, unsigned count) override {
    for (const Frame& frame : std::span(frames, count)) delete[] frame.data;
    lent -= count;
  }
  Frame allocate() override {
    ++lent;
    return {new std::uint8_t[2048], 0, 2048, nullptr, Side::inside};
  }
  ~Echo() override {
    for (const Waiting& waiting : waiting_) delete[] waiting.frame.data;
  }

 private:
  struct Waiting {
    std::uint64_t due;
    Frame frame;
  };
  static std::array<std::uint8_t, 4> place_of(const Frame& frame) {
    std::array<std::uint8_t, 4> place;
    std::memcpy(place.data(), frame.data + 8, 4);
    return place;
  }
  void queue(const Frame& frame) {
    overtaken |= ++under_way[place_of(frame)] > 1;
    waiting_.push_back({time_ns + delay, frame});
  }
  Frame copy_of(const Frame& frame) {
    Frame copy = allocate();
    std::memcpy(copy.data, frame.data, frame.length);
    copy.length = frame.length;
    copy.side = frame.side;
    return copy;
  }
  std::deque<Waiting> waiting_;
};

std::unique_ptr<RoundTrips> trips_over(Port& port) {
  auto flows = std::make_unique<TcpFlows>(packets_per_flow, open_flows, frame_bytes, 7);
  return std::make_unique<RoundTrips>(port, std::move(flows), open_flows, &ticking);
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
  const auto trips = trips_over(echo);
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
  const auto trips = trips_over(echo);
  trips->saturate(25 * RoundTrips::patience_ns, 40);
  CHECK(trips->counts().returned == 0);
  CHECK(trips->counts().given_up >= 40);
  CHECK(trips->flows() > 40);
  CHECK(trips->in_flight() <= 40);
}

TEST_CASE("round trips: what we do not wait for is a stray") {
  Echo echo;
  SUBCASE("a frame that comes twice") {
    echo.repeats = true;
    const auto trips = trips_over(echo);
    trips->saturate(5'000'000, 40);
    trips->settle();
    CHECK(trips->counts().returned == trips->counts().made);
    CHECK(trips->counts().strays + 40 >= trips->counts().returned);
  }
  SUBCASE("a frame that comes back where it was sent") {
    echo.returns_to_sender = true;
    const auto trips = trips_over(echo);
    trips->saturate(5'000'000, 40);
    CHECK(trips->counts().returned == 0);
    CHECK(trips->counts().strays == 40);
  }
  CHECK(echo.lent <= 40);
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

TEST_CASE("round trips: packets that were sent again do not count in the times, and missed times are counted") {
  Echo echo;
  echo.loses = [](std::uint64_t number) { return number % 50 == 7; };
  const auto trips = trips_over(echo);
  std::vector<std::uint32_t> taken;
  trips->pace(200'000'000, 50'000, taken);
  CHECK(trips->counts().resent > 0);
  for (const std::uint32_t one : taken) REQUIRE(one < RoundTrips::patience_ns);

  Echo slow;
  slow.delay = 40'000'000;
  const auto late = trips_over(slow);
  taken.clear();
  late->pace(200'000'000, 50'000, taken);  // 100 flows every 40 ms: no more than 500 of 4,000 can be sent
  CHECK(late->counts().made <= 600);
  CHECK(late->counts().late + late->counts().made >= 3990);
}
