// Later fragments that are here before what they depend on: before the first one, which this pipe or another instance
// is to see yet, or before the record of their flow, which the first one is opening. They are looked up again, each
// time after twice as long, for as long as a datagram's fragments may be apart (RFC 6146 section 3.4); then what was
// said of them counts. So few may wait that a flood of them takes nothing from anybody (RFC 4787 REQ-14a), and half of
// the places are for those that have not waited long.
#include <algorithm>

#include "flights.hpp"
#include "fragment.hpp"

namespace snf {

namespace {

constexpr std::uint64_t longest_us = 2'000'000;  // FRAGMENT_MIN, RFC 6146 section 4
constexpr std::uint64_t long_us = 8000, shortest_rest_us = 250;
constexpr std::uint32_t share = 16;  // of the packets that may be in flight

bool is_later(const Packet& packet) { return packet.header.kind == static_cast<std::uint8_t>(Kind::fragment); }

}  // namespace

bool Flights::may_rest(const Lane& lane, std::uint32_t job) const {
  const Packet& packet = pool_[batch_.packet(job)];
  if (!is_later(packet) || store_ == nullptr || !batch_.absent(lane) || forwards(job) || packet.fault) return false;
  const std::uint64_t waited = moment_.us - packet.received / 1000;
  const std::size_t places = limits_.packets / (waited < long_us ? share : 2 * share);
  return waited < longest_us && resting_.size() < places && store_->available();
}

// The packets are the lane's last. What is no later fragment among them goes before the others, at once.
void Flights::let_rest(std::uint32_t entry, PacketQueue& packets) {
  const std::uint64_t arrived = pool_[packets.front()].received / 1000;
  const std::uint32_t index = flight_of(entry);
  if (index == none) {
    outlet_.drop_all(packets, Drop::flights_full);
    return close(entry);
  }
  Flight& flight = flights_[index];
  PacketQueue first, later;
  while (!packets.empty()) {
    const std::uint32_t packet = packets.pop(pool_);
    (is_later(pool_[packet]) ? later : first).push(pool_, packet);
  }
  const bool overtaken = !first.empty();
  flight.waiting.prepend(pool_, later);
  if (overtaken) go_before(flight, first);
  flight.based = false;
  if (overtaken) return close(entry);
  flight.phase = Flight::Phase::resting;
  resting_.push_back({index, moment_.us + std::max(moment_.us - arrived, shortest_rest_us)});
}

// Those that wait are younger from now on: packets of a flight are in the order of their numbers.
void Flights::go_before(Flight& flight, PacketQueue& first) {
  PacketQueue behind;
  while (!flight.waiting.empty()) {
    const std::uint32_t packet = flight.waiting.pop(pool_);
    pool_[packet].order = order_++;
    behind.push(pool_, packet);
  }
  flight.waiting = behind;
  flight.waiting.prepend(pool_, first);
}

// What may open the flow, or be the first fragment, goes before those that wait for that.
bool Flights::wakes(const Flight& flight, std::uint32_t packet) const {
  return flight.phase == Flight::Phase::resting && !is_later(pool_[packet]);
}

void Flights::wake(Flight& flight, std::uint32_t first) {
  PacketQueue alone;
  alone.push(pool_, first);
  go_before(flight, alone);
  const auto index = static_cast<std::uint32_t>(&flight - flights_.data());
  std::erase_if(resting_, [index](const Resting& one) { return one.flight == index; });
  flight.phase = Flight::Phase::idle;
  ready_.push_back(index);
}

void Flights::mind_resting() {
  const auto due = [this](const Resting& one) { return one.due <= moment_.us; };
  for (const Resting& one : resting_) {
    if (!due(one)) continue;
    flights_[one.flight].phase = Flight::Phase::idle;
    ready_.push_back(one.flight);
  }
  std::erase_if(resting_, due);
}

}  // namespace snf
