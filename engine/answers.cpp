// What the store said, and what flights do about it (protocol.md, rules 2, 4, 7, 11 to 14).
#include <algorithm>
#include <cstring>

#include "flights.hpp"
#include "fragment.hpp"

namespace snf {

namespace {

constexpr std::uint64_t several = ~std::uint64_t{0};  // more than one commit in doubt; nobody's nonce

}  // namespace

std::size_t Flights::record_size(const Entry& entry) const {
  const bool fragment = entry.key.bytes[Key::kind_offset] == static_cast<std::uint8_t>(KeyKind::fragment);
  return fragment ? fragment_record_size : program_.record_size();
}

// Stored bytes are checked here, once. False: they are not a record of this function and schema.
bool Flights::note(Flight& flight, Answer answer, Bytes value) {
  Entry& entry = table_[flight.entry];
  flight.answer = answer;
  flight.valid = true;
  ready_.push_back(static_cast<std::uint32_t>(&flight - flights_.data()));
  if (answer == Answer::absent || answer == Answer::vanished) entry.size = 0;
  if (answer != Answer::found && answer != Answer::conflict) return true;
  flight.valid = valid_record(value, value_size(entry) - envelope_size);
  if (!flight.valid) return false;
  std::memcpy(entry.value(), value.data(), value.size());
  entry.size = static_cast<std::uint16_t>(value.size());
  entry.quiet_until = Entry::ticks(moment_.ms);
  return true;
}

void Flights::on_read(Ticket ticket, Answer answer, Bytes value, bool tracked) {
  Flight& flight = flights_[ticket];
  Entry& entry = table_[flight.entry];
  entry.usable = false;
  if (!note(flight, answer, value) || answer != Answer::found) return;
  entry.found = true;
  if (tracked && !flight.unfit) table_.set_usable(entry);  // rule 12: nothing else fills the cache
}

void Flights::on_commit(Ticket ticket, Answer answer, Bytes value) { note(flights_[ticket], answer, value); }

void Flights::on_invalidate(Bytes bytes) {
  Key key;
  if (bytes.size() > Key::capacity) return;
  std::memcpy(key.bytes, bytes.data(), bytes.size());
  key.size = static_cast<std::uint8_t>(bytes.size());
  const std::uint32_t index = table_.find(key, keys_.hash(key));
  stats_.invalidations.add();
  if (index != none) table_[index].usable = false;
}

void Flights::resume(std::uint32_t index) {
  Flight& flight = flights_[index];
  const Flight::Phase phase = flight.phase;
  flight.phase = Flight::Phase::idle;
  if (phase != Flight::Phase::idle) {
    if (flight.answer == Answer::unknown) {
      flight.unresolved |= phase == Flight::Phase::committing;
      stats_.unknown_outcomes.add();
      return stranded_.push_back(index);
    }
    if (!flight.valid) return drop_flight(index, Drop::record_invalid);
    phase == Flight::Phase::reading ? after_read(index) : after_commit(index);
    if (flight.entry == none) return;
  }
  run_waiting(index);
}

void Flights::after_read(std::uint32_t index) {
  Flight& flight = flights_[index];
  if (flight.answer == Answer::error) return drop_flight(index, Drop::store_error);
  Entry& entry = table_[flight.entry];
  flight.based = true;
  if (flight.refused) return after_refusal(flight);
  if (!flight.unresolved) return;
  flight.unresolved = false;  // rule 7: the nonce tells whether the commit happened
  const std::uint64_t stored = stored_nonce(entry);
  if (stored != 0 && stored == flight.nonce) {
    flight.doubted = flight.doubted_before = 0;
    if (flight.creates) stats_.new_flows.add();
    return release_all(flight.held, entry.stored());
  }
  // Neither ours nor what we replaced: ours may have been written and replaced in turn. Running again could count a
  // packet twice, so its sender has to (docs/decisions/unknown-outcome.md).
  if (stored == flight.replaced) return doubt(flight);
  PacketQueue first;
  settle_doubt(flight, first);
  outlet_.drop_all(flight.held, Drop::unknown_outcome);
  flight.waiting.prepend(pool_, first);
}

// A pair was not created. If its own key is free, the other one is not: the next candidate (rule 5).
void Flights::after_refusal(Flight& flight) {
  flight.refused = false;
  if (table_[flight.entry].size == 0) return next_attempt(flight);
  PacketQueue first;
  settle_doubt(flight, first);
  again(flight);
  flight.waiting.prepend(pool_, first);
}

std::uint64_t Flights::stored_nonce(Entry& entry) const {
  return entry.size > 0 ? read_envelope(entry.value()).nonce : 0;
}

// Ours has not been written, but may yet be, before the one that is tried next.
void Flights::doubt(Flight& flight) {
  if (!flight.held.empty()) {
    flight.doubted = flight.doubted == 0 ? flight.nonce : several;
    flight.doubted_before = std::max(flight.doubted_before, pool_[flight.held.back()].order + 1);
  }
  again(flight);
}

// What the commits in doubt held, out of the queues. Packets of a flight are in the order of their arrival.
PacketQueue Flights::take_doubted(Flight& flight) {
  PacketQueue taken;
  for (PacketQueue* queue : {&flight.held, &flight.waiting}) {
    while (!queue->empty() && pool_[queue->front()].order < flight.doubted_before) taken.push(pool_, queue->pop(pool_));
  }
  return taken;
}

// The record is no longer what our commit in doubt was to replace. If ours stands there, what it held has happened;
// if somebody else's does, ours may lie below it (docs/decisions/unknown-outcome.md).
// `again_first`: packets that have to run again, before all others of the flight.
bool Flights::settle_doubt(Flight& flight, PacketQueue& again_first) {
  if (flight.doubted == 0) return false;
  PacketQueue doubted = take_doubted(flight);
  Entry& entry = table_[flight.entry];
  if (stored_nonce(entry) != flight.doubted) {
    outlet_.drop_all(doubted, Drop::unknown_outcome);
  } else if (originals_) {
    again_first = doubted;  // other candidates may have been tried since: what stands says it again
  } else {
    release_all(doubted, entry.stored());
  }
  flight.doubted = flight.doubted_before = 0;
  return true;
}

void Flights::after_commit(std::uint32_t index) {
  Flight& flight = flights_[index];
  switch (flight.answer) {
    case Answer::written:
      if (flight.creates) stats_.new_flows.add();
      flight.conflicts = 0;
      flight.doubted = flight.doubted_before = 0;
      flight.attempt = 0;
      return release_all(flight.held, committed(index));
    case Answer::refused:
      flight.refused = true;
      return stats_.conflicts.add();
    case Answer::taken:
      flight.based = true;  // the key holds what it held
      return next_attempt(flight);
    case Answer::broken:
      return outlet_.drop_all(flight.held, Drop::pair_broken);
    case Answer::conflict:
    case Answer::vanished:
      stats_.conflicts.add();
      flight.based = !flight.swapped;  // on what the reply brought
      if (PacketQueue first; settle_doubt(flight, first)) {
        again(flight);
        return flight.waiting.prepend(pool_, first);
      }
      if (++flight.conflicts > limits_.conflicts) {
        flight.conflicts = 0;
        return outlet_.drop_all(flight.held, Drop::conflict_limit);
      }
      flight.limit = (flight.held.size() + 1) / 2;
      return again(flight);
    case Answer::full:
      return outlet_.drop_all(flight.held, Drop::store_full);
    default:
      return outlet_.drop_all(flight.held, Drop::store_error);
  }
}

// The held packets are processed once more, from their unmodified headers, before those that came later.
void Flights::again(Flight& flight) {
  stats_.reruns.add(flight.held.size());
  flight.waiting.prepend(pool_, flight.held);
}

void Flights::run_waiting(std::uint32_t index) {
  Flight& flight = flights_[index];
  if (flight.waiting.empty() && !flight.refused) return end(index);
  if (!flight.based) {
    if (!store_->available()) return drop_flight(index, Drop::store_unavailable);
    return request_read(index);
  }
  std::uint32_t count = flight.limit > 0 ? flight.limit : flight.waiting.size();
  flight.limit = 0;
  for (; count > 0 && !flight.waiting.empty() && !batch_.full(); --count) {
    const std::uint32_t packet = flight.waiting.pop(pool_);
    pool_[packet].header.attempt = flight.attempt;
    batch_.add(flight.entry, packet, flight.order);
  }
  if (batch_.full()) run_batch();
}

void Flights::end(std::uint32_t index) {
  const std::uint32_t entry = flights_[index].entry;
  flights_[index].entry = none;
  free_.push_back(index);
  table_[entry].flight = none;
  close(entry);
}

void Flights::drop_flight(std::uint32_t index, Drop reason) {
  outlet_.drop_all(flights_[index].held, reason);
  outlet_.drop_all(flights_[index].waiting, reason);
  end(index);
}

// Packets of unknown fate wait for the store to come back, as long as cached records would be used.
void Flights::mind_stranded() {
  std::vector<std::uint32_t> still;
  for (const std::uint32_t index : stranded_) {
    Flight& flight = flights_[index];
    const PacketQueue& first = flight.held.empty() ? flight.waiting : flight.held;
    if (store_->available()) {
      request_read(index);
    } else if (first.empty() || pool_[first.front()].received / 1000 + limits_.stale_us < moment_.us) {
      drop_flight(index, Drop::store_unavailable);
    } else {
      still.push_back(index);
    }
  }
  stranded_.swap(still);
}

}  // namespace snf
