// Later fragments that overtook the first one: within this pipe, or because the first one's record is being written by
// another instance. They are looked up again for a few milliseconds, each time after twice as long, and dropped then
// (fragment_without_first). So few may wait that a flood of them takes nothing from anybody.
#include <algorithm>

#include "flights.hpp"
#include "fragment.hpp"

namespace snf {

namespace {

constexpr std::uint64_t patience_us = 8000, shortest_rest_us = 250;
constexpr std::size_t most_resting = 256;

}  // namespace

bool Flights::may_rest(const Lane& lane, std::uint32_t job) const {
  const Packet& packet = pool_[batch_.packet(job)];
  if (packet.stage != Stage::fragment || store_ == nullptr || !batch_.absent(lane) || forwards(job)) return false;
  if (packet.verdict >> 8 != without_first || resting_.size() >= most_resting || !store_->available()) return false;
  return moment_.us < packet.received / 1000 + patience_us;
}

// The packets are the lane's last. If the first fragment is among them, it goes before the others, at once.
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
    (pool_[packet].layout.first_fragment ? first : later).push(pool_, packet);
  }
  const bool overtaken = !first.empty();
  flight.waiting.prepend(pool_, later);
  flight.waiting.prepend(pool_, first);
  flight.based = false;
  if (overtaken) return close(entry);
  flight.phase = Flight::Phase::resting;
  resting_.push_back({index, moment_.us + std::max(moment_.us - arrived, shortest_rest_us)});
}

// The first fragment goes before those that overtook it.
bool Flights::wakes(const Flight& flight, std::uint32_t packet) const {
  return flight.phase == Flight::Phase::resting && pool_[packet].layout.first_fragment;
}

void Flights::wake(Flight& flight, std::uint32_t first) {
  PacketQueue alone;
  alone.push(pool_, first);
  flight.waiting.prepend(pool_, alone);
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
