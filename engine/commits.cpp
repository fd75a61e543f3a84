// The requests that flights make of the store: look-ups, commits, refreshes (protocol.md, rules 1, 4, 6).
#include <array>
#include <cstring>

#include "flights.hpp"

namespace snf {

std::uint32_t Flights::flight_of(std::uint32_t index) {
  Entry& entry = table_[index];
  if (entry.flight != none || free_.empty()) return entry.flight;
  entry.flight = free_.back();
  free_.pop_back();
  flights_[entry.flight] = Flight{};
  flights_[entry.flight].entry = index;
  return entry.flight;
}

std::uint64_t Flights::write_record(std::uint8_t* to, std::uint32_t job) {
  const std::uint64_t deadline = pool_[batch_.packet(job)].header.now + batch_.lifetime(job);
  write_envelope(to, {++nonce_, deadline});
  std::memcpy(to + envelope_size, batch_.after(job), batch_.size_of(job));
  return deadline;
}

bool Flights::take_token() {
  if (limits_.new_flows_per_s == 0) return true;
  const auto rate = static_cast<double>(limits_.new_flows_per_s);
  tokens_ += static_cast<double>(moment_.us - tokens_us_) * rate / 1e6;
  tokens_us_ = moment_.us;
  if (tokens_ > rate) tokens_ = rate;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

// Admission before commit: what the store cannot take is dropped under a name before it costs the store anything.
bool Flights::refused(bool creates, Drop& reason) {
  if (store_ != nullptr && !store_->available()) {
    reason = Drop::store_unavailable;
  } else if (creates && !admitting_) {
    reason = Drop::store_full;
  } else if (creates && !take_token()) {
    reason = Drop::new_flow_limit;
  } else {
    return false;
  }
  return true;
}

void Flights::commit(const Lane& lane, std::uint32_t job, PacketQueue& held, PacketQueue& rest) {
  const bool creates = batch_.absent(lane);
  Drop reason = Drop::flights_full;
  const bool possible = !refused(creates, reason);
  if (possible && mode_ == Mode::baseline) return commit_here(lane, job, held, rest);
  const std::uint32_t index = possible ? flight_of(lane.entry) : none;
  if (index == none) {
    outlet_.drop_all(held, reason);
    outlet_.drop_all(rest, reason);
    return close(lane.entry);
  }
  Flight& flight = flights_[index];
  flight.held = held;
  flight.waiting.prepend(pool_, rest);
  request_commit(index, lane, job, creates);
}

// The baseline's record is its own.
void Flights::commit_here(const Lane& lane, std::uint32_t job, PacketQueue& held, PacketQueue& rest) {
  Entry& entry = table_[lane.entry];
  if (is_pair(entry)) return commit_pair_here(lane, job, held, rest);
  write_record(entry.value(), job);
  entry.size = static_cast<std::uint16_t>(envelope_size + batch_.size_of(job));
  written_here(lane, held, rest);
}

void Flights::written_here(const Lane& lane, PacketQueue& held, PacketQueue& rest) {
  Entry& entry = table_[lane.entry];
  entry.quiet_until = Entry::ticks(moment_.ms);
  stats_.commits.add();
  if (batch_.absent(lane)) stats_.new_flows.add();
  release_all(held, entry.stored());
  if (!rest.empty()) rerun_.push_back({lane.entry, lane.fresh_before, rest});
}

void Flights::request_commit(std::uint32_t index, const Lane& lane, std::uint32_t job, bool creates) {
  Flight& flight = flights_[index];
  Entry& entry = table_[flight.entry];
  std::array<std::uint8_t, envelope_size + max_record_size> plain;
  std::uint8_t* const to = originals_ ? committed_[index].data() : plain.data();
  const Bytes fresh{to, value_size(entry)};
  const std::uint64_t deadline = write_record(to, job);
  const std::uint64_t left = deadline > moment_.ms ? deadline - moment_.ms : 1;
  const std::uint64_t expire_at = moment_.store_ms + left + limits_.linger_ms;
  flight.nonce = nonce_;
  flight.replaced = stored_nonce(entry);
  flight.order = order_;
  flight.phase = Flight::Phase::committing;
  flight.creates = creates;
  flight.based = flight.swapped = false;
  entry.usable = entry.found = false;  // rule 12: an own write ends tracking
  stats_.commits.add();
  requested_ = true;
  if (!is_pair(entry)) return store_->commit(index, entry.key, entry.stored(), fresh, expire_at);
  const Pair pair = write_pair(entry, lane, job, to + envelope_size + program_.record_size());
  request_pair(index, lane, pair, fresh, pool_[batch_.packet(job)].header.now, expire_at);
}

void Flights::refresh(const Lane& lane, std::uint32_t job) {
  stats_.refreshes.add();
  PacketQueue nobody, nothing;
  if (mode_ == Mode::baseline) return commit_here(lane, job, nobody, nothing);
  if (!store_->available()) return;  // the record is good for some time yet; a later packet asks again
  const std::uint32_t index = flight_of(lane.entry);
  if (index != none) request_commit(index, lane, job, false);
}

void Flights::request_read(std::uint32_t index) {
  Flight& flight = flights_[index];
  Entry& entry = table_[flight.entry];
  const bool tracked = mode_ == Mode::tracked && entry.found;  // rule 11: found, and hit again
  flight.order = order_;
  flight.phase = Flight::Phase::reading;
  flight.unfit = false;
  (tracked ? stats_.tracked_reads : stats_.reads).add();
  requested_ = true;
  store_->read(index, entry.key, tracked);
}

void Flights::read(std::uint32_t entry, PacketQueue& packets) {
  const bool possible = store_->available();
  const std::uint32_t index = possible ? flight_of(entry) : none;
  if (index == none) return outlet_.drop_all(packets, possible ? Drop::flights_full : Drop::store_unavailable);
  flights_[index].waiting.prepend(pool_, packets);
  request_read(index);
}

}  // namespace snf
