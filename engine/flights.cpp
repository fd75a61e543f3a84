// From arrival to verdict: packets find the record of their flow, or wait for it; the function runs; verdicts are
// sorted into those that are final and those that hang on a commit or on a fresher record.
#include "flights.hpp"

#include <algorithm>

#include "fragment.hpp"

namespace snf {

namespace {

constexpr std::uint64_t poll_interval_us = 50;    // between looks for invalidations while nothing is outstanding
constexpr std::uint64_t answer_interval_us = 10;  // between looks for answers: none comes sooner
constexpr unsigned swept_a_step = 2;
constexpr std::int64_t longest_quiet = std::int64_t{1} << 34;  // ms: half of the circle of an entry's ticks

}  // namespace

Flights::Flights(Mode mode, const Limits& limits, const Program& program, const Keys& keys, Store* store,
                 PacketPool& pool, Outlet& outlet, Stats& stats, std::uint64_t nonce)
    : mode_(mode),
      limits_(limits),
      program_(program),
      keys_(keys),
      store_(store),
      pool_(pool),
      outlet_(outlet),
      stats_(stats),
      table_(limits.flows,
             envelope_size + std::max(program.record_size(), fragment_record_size) +
                 (program.traits().rewrites ? largest_tail : 0),
             mode == Mode::baseline, keys),
      read_(envelope_size + program.record_size()),
      originals_(program.traits().rewrites ? std::make_unique<Originals>(limits.packets) : nullptr),
      batch_(table_, pool, program.record_size(), originals_.get()),
      flights_(limits.flights),
      committed_(originals_ && mode != Mode::baseline ? limits.flights : 0),
      nonce_(nonce) {
  free_.reserve(limits.flights);
  for (std::uint32_t i = limits.flights; i > 0; --i) free_.push_back(i - 1);
}

void Flights::begin(const Moment& moment, const TableSet& tables) {
  moment_ = moment;
  tables_ = &tables;
  batch_.begin(moment.ms);
  table_.sweep(moment.ms, swept_a_step);
  if (store_ == nullptr) return;
  if (!resting_.empty()) mind_resting();
  const bool waiting = store_->outstanding() > 0 || !stranded_.empty();
  if (moment.us >= polled_us_ + (waiting ? answer_interval_us : poll_interval_us)) {
    polled_us_ = moment.us;
    store_->poll(moment.us, *this);
    if (!stranded_.empty()) mind_stranded();
  }
  trusting_ = moment.us <= store_->trusted_until();
}

void Flights::finish() {
  run_batch();
  while (!ready_.empty()) {
    for (std::size_t i = 0; i < ready_.size(); ++i) resume(ready_[i]);
    ready_.clear();
    run_batch();
  }
  if (!requested_) return;
  requested_ = false;
  store_->poll(moment_.us, *this);
}

inline bool Flights::usable(Entry& entry) const {
  if (mode_ != Mode::tracked || !table_.usable(entry) || entry.size == 0) return false;
  return trusting_ && read_envelope(entry.value()).deadline > moment_.ms + limits_.guard_ms;  // rule 14
}

bool Flights::wait_behind(std::uint32_t flight, std::uint32_t packet) {
  if (flights_[flight].waiting.size() >= limits_.queue) return false;
  flights_[flight].waiting.push(pool_, packet);
  return true;
}

void Flights::enter(std::uint32_t packet, const Key& key, std::uint64_t hash) {
  if (batch_.full()) run_batch();
  if (originals_) {
    originals_->keep(packet, pool_[packet].header);
    pool_[packet].ran = false;
  }
  std::uint32_t index = table_.find(key, hash);
  if (index == none) index = table_.insert(key, hash, moment_.ms);
  if (index == none) return outlet_.drop(packet, Drop::flow_table_full);
  Entry& entry = table_[index];
  if (entry.flight != none) {
    if (wakes(flights_[entry.flight], packet)) return wake(flights_[entry.flight], packet);
    if (!wait_behind(entry.flight, packet)) outlet_.drop(packet, Drop::queue_full);
  } else if (mode_ == Mode::baseline) {
    batch_.add(index, packet, always_fresh);
  } else if (entry.lane != Entry::no_lane || usable(entry)) {
    stats_.cache_hits.add();
    batch_.add(index, packet, 0);
  } else {
    PacketQueue alone;
    alone.push(pool_, packet);
    read(index, alone);
    close(index);
  }
}

void Flights::run_batch() {
  while (!batch_.empty() || !rerun_.empty()) {
    while (!rerun_.empty() && !batch_.full()) {
      Rerun& next = rerun_.back();
      const std::uint32_t packet = next.packets.pop(pool_);
      pool_[packet].header.attempt = next.attempt;
      batch_.add(next.entry, packet, next.fresh_before);
      if (next.packets.empty()) rerun_.pop_back();
    }
    batch_.run(program_, *tables_);
    const unsigned lanes = batch_.lanes();
    for (unsigned i = 0; i < lanes; ++i) {
      if (!passes(batch_.lane(i))) settle(batch_.lane(i));
    }
    batch_.clear();
  }
}

// Rule 2: only a fresh record justifies a DROP, or anything that rests on absence. Without a cache nothing may lag, and
// with one by no more than stale_limit: the answer may be one to a request of before a long silence (rule 14).
bool Flights::decided(const Lane& lane, std::uint32_t job) const {
  if (pool_[batch_.packet(job)].order < lane.fresh_before) return true;
  return mode_ == Mode::tracked && trusting_ && forwards(job) && !batch_.absent(lane);
}

bool Flights::forwards(std::uint32_t job) const {
  const Packet& packet = pool_[batch_.packet(job)];
  return (packet.verdict & 0xff) == verdict_forward && !packet.fault;
}

// A packet that its receiver will throw away must not change a record.
bool Flights::trustworthy(std::uint32_t job) const {
  const Packet& packet = pool_[batch_.packet(job)];
  return checksums_hold(packet.frame, packet.header, packet.layout);
}

PacketQueue Flights::rest_from(std::uint32_t job) {
  PacketQueue rest;
  for (; job != none; job = batch_.following(job)) rest.push(pool_, batch_.packet(job));
  return rest;
}

// A lane is settled: its flight goes on with what waits, or the entry stays as long as it is of use.
void Flights::close(std::uint32_t index) {
  Entry& entry = table_[index];
  if (entry.flight != none) {
    if (flights_[entry.flight].phase == Flight::Phase::idle) ready_.push_back(entry.flight);
    return;
  }
  const bool useful =
      mode_ == Mode::baseline ? entry.size > 0 : mode_ == Mode::tracked && (entry.usable || entry.found);
  if (!useful) table_.erase(index);
}

// `value`: the record that the packet was decided on, or the one that it made; none where there is none.
void Flights::release(std::uint32_t index, Bytes value) {
  Packet& packet = pool_[index];
  if (packet.stage == Stage::flow) {
    if (originals_) return release_rewritten(index, value);
    return outlet_.finish(index);
  }
  if ((packet.verdict & 0xff) == verdict_forward) return learned_.push(pool_, index);
  const bool overlap = packet.verdict >> 8 == overlaps;
  outlet_.drop(index, overlap ? Drop::fragment_overlap : Drop::fragment_without_first);
}

// Due an eighth of the lifetime after the last one, jittered by flow and writer, so that instances do not refresh in
// step; pressing with an eighth left (rule 6). For a packet that was forwarded unchanged.
inline Flights::Refresh Flights::refresh_due(const Lane& lane, std::uint32_t job) {
  Entry& entry = table_[lane.entry];
  const PacketRecord& packet = pool_[batch_.packet(job)].header;
  const auto eighth = static_cast<std::int64_t>(batch_.lifetime(job) / 8);
  if (eighth == 0 || batch_.absent(lane)) return Refresh::no;
  if (packet.kind == static_cast<std::uint8_t>(Kind::icmp_error)) return Refresh::no;  // RFC 5508, REQ-6
  // By the clock of now, not of the packet's arrival: what slept must not use a record that may be another's by now.
  const auto left = static_cast<std::int64_t>(read_envelope(entry.value()).deadline - moment_.ms);
  if (left <= 0) return Refresh::pressing;
  if (left < eighth) return store_ == nullptr || store_->available() ? Refresh::pressing : Refresh::no;
  const auto jitter = static_cast<std::int64_t>((packet.flow_hash ^ (nonce_ >> 32)) & 127);
  const std::int64_t early = left - (eighth * 8 - eighth * (192 + jitter) / 256);
  if (early <= 0) return Refresh::due;
  entry.quiet_until = Entry::ticks(moment_.ms + static_cast<std::uint64_t>(std::min(early, longest_quiet)));
  return Refresh::no;
}

// Nearly every lane is one packet of a known flow that passes and changes nothing: `settle` in short.
inline bool Flights::passes(const Lane& lane) {
  const std::uint32_t job = lane.first;
  const Entry& entry = table_[lane.entry];
  if (lane.overtaken || job != lane.last || entry.flight != none || entry.size == 0) return false;
  if (!batch_.plain(job)) return false;
  if (mode_ != Mode::baseline && !(mode_ == Mode::tracked && entry.usable)) return false;
  if (batch_.changed(job) || batch_.absent(lane) || refresh_due(lane, job) != Refresh::no) return false;
  const std::uint32_t packet = batch_.packet(job);
  if (originals_ && !depart(packet, table_[lane.entry].stored())) {
    outlet_.drop(packet, Drop::not_rewritable);
  } else if (originals_ && turns_back(pool_[packet])) {
    turn_back(packet);
  } else {
    outlet_.forward(packet);
  }
  return true;
}

void Flights::settle(const Lane& lane) {
  if (lane.overtaken) return rerun_.push_back({lane.entry, lane.fresh_before, rest_from(lane.first)});
  PacketQueue held, rest;
  std::uint32_t group = none, forwarded = none, stale = none;
  Refresh refresh_at = Refresh::no;
  for (std::uint32_t job = lane.first; job != none; job = batch_.following(job)) {
    const std::uint32_t packet = batch_.packet(job);
    const bool changed = batch_.changed(job);
    batch_.tell(job);
    if (changed && !trustworthy(job)) {
      rest = rest_from(batch_.following(job));  // they were processed behind a change that does not happen
      outlet_.drop(packet, Drop::bad_checksum);
      break;
    }
    if (group == none && !changed) {
      if (!decided(lane, job)) {
        stale = job;
        rest = rest_from(job);
        break;
      }
      if (may_rest(lane, job)) {
        PacketQueue early = rest_from(job);
        return let_rest(lane.entry, early);
      }
      const bool forward = forwards(job);
      if (forward) refresh_at = refresh_due(lane, job);
      if (!forward || refresh_at != Refresh::pressing) {
        if (forward) forwarded = job;
        release(packet, batch_.absent(lane) ? Bytes{} : table_[lane.entry].stored());
        continue;
      }
    }
    // Rule 3: from the first change on, all are held. The last that is not dropped, or faulty, says how long the flow
    // lives.
    held.push(pool_, packet);
    if (changed || forwards(job)) group = job;
  }
  if (group != none) return commit(lane, group, held, rest);
  if (stale != none) {
    read(lane.entry, rest);
  } else if (!rest.empty()) {
    rerun_.push_back({lane.entry, lane.fresh_before, rest});
    return;
  } else if (refresh_at == Refresh::due) {
    refresh(lane, forwarded);
  }
  close(lane.entry);
}

void Flights::release_all(PacketQueue& queue, Bytes value) {
  while (!queue.empty()) release(queue.pop(pool_), value);
}

void Flights::abandon() {
  for (std::uint32_t i = 0; i < flights_.size(); ++i) {
    if (flights_[i].entry != none) drop_flight(i, Drop::stopped);
  }
  outlet_.drop_all(learned_, Drop::stopped);
  ready_.clear();
  resting_.clear();
  stranded_.clear();
}

}  // namespace snf
