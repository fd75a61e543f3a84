#include "round_trips.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>
#include <utility>

#include "arp.hpp"
#include "checksum.hpp"
#include "wire.hpp"

namespace snf {
namespace {

struct MarkPlaces {
  unsigned number, place;  // offsets of 2 and 4 bytes
  unsigned end;            // frames are at least so long
};
// In the low bytes of MAC addresses, so that the first bytes keep saying "local, unicast".
constexpr MarkPlaces in_macs{4, 8, 12};
// Six bytes behind the headers, which even the shortest frame has.
constexpr MarkPlaces in_payload{54, 56, 60};

constexpr MarkPlaces places_of(Marks marks) { return marks == Marks::macs ? in_macs : in_payload; }

// Offsets in a frame of Ethernet, IPv4 and TCP without options.
constexpr unsigned total_length_at = 16, ends_at = 26, ends_size = 12, tcp_checksum_at = 50;
constexpr unsigned headers_alone = 40;  // bytes of IPv4 and TCP
constexpr unsigned network_at = 14, arp_end = 42;

constexpr Mac our_mac{2, 0, 0, 0, 0, 3};

}  // namespace

RoundTrips::RoundTrips(Port& port, std::unique_ptr<FlowSource> source, unsigned open_flows, std::uint64_t (*clock)(),
                       Marks marks)
    : port_(port),
      source_(std::move(source)),
      clock_(clock),
      marks_(marks),
      memory_(std::make_unique<std::uint8_t[]>(static_cast<std::size_t>(open_flows) * source_->longest())),
      slots_(open_flows),
      trips_(open_flows),
      ready_(std::bit_ceil(std::uint64_t{open_flows})),
      mask_(ready_.size() - 1) {
  for (std::uint32_t i = 0; i < open_flows; ++i) {
    slots_[i].frame = memory_.get() + static_cast<std::size_t>(i) * source_->longest();
    ready_[end_ready_++] = i;
  }
}

void RoundTrips::come_back(std::uint32_t place) {
  trips_[place].attempts = 0;
  ready_[end_ready_++ & mask_] = place;
  --in_flight_;
}

// The source sums a payload of zeros.
void RoundTrips::mark(std::uint8_t* frame, std::uint32_t place, std::uint16_t number) const {
  const MarkPlaces at = places_of(marks_);
  store16(frame + at.number, number);
  store32(frame + at.place, place);
  if (marks_ == Marks::macs || load16(frame + total_length_at) == headers_alone) return;
  constexpr std::uint8_t zeros[6] = {};
  std::uint16_t checksum;
  std::memcpy(&checksum, frame + tcp_checksum_at, sizeof checksum);
  checksum = checksum_update(checksum, zeros, frame + at.number, sizeof zeros);
  std::memcpy(frame + tcp_checksum_at, &checksum, sizeof checksum);
}

bool RoundTrips::is_awaited(const Frame& frame, std::uint32_t place, std::uint16_t number) const {
  if (place >= trips_.size()) return false;
  const Trip& trip = trips_[place];
  return trip.attempts > 0 && number == trip.number && frame.side == opposite(trip.side) && frame.length == trip.length;
}

// True if somebody asks for a neighbour: we are everybody, but whoever announces an address as its own (RFC 5227). An
// instance without an address on that side asks as nobody, 0.0.0.0.
bool RoundTrips::answer(const Frame& frame) {
  Arp asked;
  if (marks_ == Marks::macs || frame.length < arp_end || load16(frame.data + 12) != ethertype::arp) return false;
  if (!read_arp(frame.data + network_at, asked) || !asked.request) return false;
  if (asked.sender == asked.target) return false;
  Frame reply = port_.allocate();
  if (reply.data == nullptr) return true;
  if (write_arp(reply, {asked.sender_mac, our_mac, {}},
                {false, our_mac, asked.target, asked.sender_mac, asked.sender})) {
    port_.transmit(frame.side, &reply, 1);
  } else {
    port_.release(&reply, 1);
  }
  return true;
}

// Returns how many frames were received.
unsigned RoundTrips::take_back(std::uint64_t now, std::vector<std::uint32_t>* taken) {
  const MarkPlaces at = places_of(marks_);
  std::array<Frame, burst> frames;
  const unsigned count = port_.receive(frames.data(), burst);
  for (const Frame& frame : std::span(frames.data(), count)) {
    const std::uint32_t place = frame.length >= at.end ? load32(frame.data + at.place) : ~0u;
    if (place == ~0u || !is_awaited(frame, place, load16(frame.data + at.number))) {
      if (!answer(frame)) ++counts_.strays;
      continue;
    }
    if (marks_ == Marks::payload) std::memcpy(slots_[place].frame + ends_at, frame.data + ends_at, ends_size);
    if (taken != nullptr && trips_[place].attempts == 1) {
      taken->push_back(static_cast<std::uint32_t>(std::min<std::uint64_t>(now - trips_[place].sent_at, ~0u)));
    }
    ++counts_.returned;
    come_back(place);
  }
  if (count > 0) port_.release(frames.data(), count);
  return count;
}

// Makes and sends the next packets of up to `count` flows whose turn it is. Returns how many.
unsigned RoundTrips::send(std::uint64_t now, unsigned count) {
  count = static_cast<unsigned>(std::min<std::uint64_t>({count, burst, end_ready_ - first_ready_}));
  if (count == 0) return 0;
  std::array<std::uint32_t, burst> places;
  std::array<FlowSlot*, burst> slots;
  std::array<Frame, burst> frames;
  for (unsigned i = 0; i < count; ++i) {
    places[i] = ready_[first_ready_++ & mask_];
    slots[i] = &slots_[places[i]];
    __builtin_prefetch(slots[i]);
    __builtin_prefetch(slots[i]->frame, 1);
    frames[i] = {slots[i]->frame, 0, source_->longest(), slots[i], Side::inside};
  }
  source_->make(slots.data(), frames.data(), count);
  for (unsigned i = 0; i < count; ++i) {
    Trip& trip = trips_[places[i]];
    trip.length = frames[i].length;
    trip.side = frames[i].side;
    mark(frames[i].data, places[i], ++trip.number);
  }
  counts_.made += count;
  in_flight_ += count;
  send_out(now, places.data(), count);
  return count;
}

// Copies of the slots' packets leave; where the port has no buffer they count as sent and lost.
void RoundTrips::send_out(std::uint64_t now, const std::uint32_t* places, unsigned count) {
  std::array<std::array<Frame, burst>, 2> out;
  std::array<unsigned, 2> sending{};
  for (const std::uint32_t place : std::span(places, count)) {
    Trip& trip = trips_[place];
    trip.sent_at = now;
    ++trip.attempts;
    Frame frame = port_.allocate();
    if (frame.data == nullptr || frame.capacity < trip.length) continue;
    std::memcpy(frame.data, slots_[place].frame, trip.length);
    frame.length = trip.length;
    const auto side = static_cast<unsigned>(trip.side);
    out[side][sending[side]++] = frame;
  }
  for (const unsigned side : {0u, 1u}) {
    if (sending[side] > 0) port_.transmit(static_cast<Side>(side), out[side].data(), sending[side]);
  }
  port_.flush();
}

void RoundTrips::look_for_lost(std::uint64_t now) {
  if (now < next_look_) return;
  next_look_ = now + look_ns;
  for (std::uint32_t place = 0; place < trips_.size(); ++place) {
    Trip& trip = trips_[place];
    if (trip.attempts == 0 || now < trip.sent_at + patience_ns) continue;
    if (trip.attempts < most_attempts) {
      ++counts_.resent;
      send_out(now, &place, 1);
    } else {
      ++counts_.given_up;
      slots_[place].step = slots_[place].length;
      come_back(place);
    }
  }
}

std::uint64_t RoundTrips::saturate(std::uint64_t ns, unsigned window) {
  const std::uint64_t start = clock_(), until = start + ns;
  std::uint64_t now = start;
  for (; now < until; now = clock_()) {
    const unsigned received = take_back(now, nullptr);
    const unsigned sent = send(now, window - std::min(window, in_flight_));
    look_for_lost(now);
    if (received + sent > 0) continue;
    port_.flush();
    sched_yield();  // at once: pausing first took a third of the rate where cores are shared
  }
  return now - start;
}

std::uint64_t RoundTrips::pace(std::uint64_t ns, std::uint64_t interval_ns, std::vector<std::uint32_t>& taken) {
  const std::uint64_t start = clock_(), until = start + ns;
  std::uint64_t now = start, due = start;
  for (; now < until; now = clock_()) {
    if (take_back(now, &taken) > 0) continue;
    if (now >= due) {
      const std::uint64_t missed = (now - due) / interval_ns;
      counts_.late += missed + (send(now, 1) == 0);
      due += (missed + 1) * interval_ns;
    } else {
      look_for_lost(now);
      port_.flush();
      sched_yield();
    }
  }
  return now - start;
}

void RoundTrips::settle(std::vector<std::uint32_t>* taken) {
  std::uint64_t last = clock_();
  for (std::uint64_t now = last; in_flight_ > 0 && now < last + patience_ns; now = clock_()) {
    if (take_back(now, taken) > 0) {
      last = now;
    } else {
      port_.flush();
      sched_yield();
    }
  }
}

}  // namespace snf
