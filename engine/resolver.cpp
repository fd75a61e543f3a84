#include "resolver.hpp"

#include <algorithm>

#include "flow.hpp"

namespace snf {

using State = NeighbourState;
using Timer = NeighbourTimer;
using What = Resolution::What;

Resolver::Resolver(const NeighbourLimits& limits, std::uint64_t secret, NeighbourStats& stats)
    : limits_(limits), stats_(stats), table_(limits.entries, secret), questions_(limits.questions_per_second) {
  ready_.ring.resize(limits.held);
  failed_.ring.resize(limits.held);
}

void Resolver::put(Handles& handles, std::uint32_t packet) {
  handles.ring[(handles.head + handles.count++) % handles.ring.size()] = packet;
}

std::uint32_t Resolver::take(Handles& handles) {
  if (handles.count == 0) return none;
  const std::uint32_t packet = handles.ring[handles.head];
  handles.head = (handles.head + 1) % handles.ring.size();
  --handles.count;
  --held_;
  return packet;
}

std::uint32_t Resolver::hold(std::uint32_t neighbour, std::uint32_t packet) {
  Neighbour& entry = table_[neighbour];
  if (entry.state != State::incomplete) return packet;
  if (entry.held_count < Neighbour::max_held) {
    if (held_ == limits_.held) return packet;
    ++held_;
    entry.held[entry.held_count++] = packet;
    return none;
  }
  const std::uint32_t oldest = entry.held[0];
  std::copy(entry.held + 1, entry.held + Neighbour::max_held, entry.held);
  entry.held[Neighbour::max_held - 1] = packet;
  return oldest;
}

void Resolver::release_held(std::uint32_t index, Handles& to) {
  Neighbour& entry = table_[index];
  for (unsigned i = 0; i < entry.held_count; ++i) put(to, entry.held[i]);
  entry.held_count = 0;
}

void Resolver::move(std::uint32_t index, Timer timer) {
  Neighbour& entry = table_[index];
  if (entry.timer == Timer::asking) asking_.remove(table_, index);
  if (entry.timer == Timer::waiting) waiting_.remove(table_, index);
  entry.timer = timer;
  if (timer == Timer::asking) asking_.push(table_, index);
  if (timer == Timer::waiting) waiting_.push(table_, index);
}

void Resolver::mark_unresolved(std::uint32_t index, bool unresolved) {
  Neighbour& entry = table_[index];
  unresolved = unresolved && !entry.pinned;
  if (entry.unresolved == unresolved) return;
  entry.unresolved = unresolved;
  unresolved ? unresolved_.push(table_, index) : unresolved_.remove(table_, index);
}

void Resolver::abandon() {
  for (std::uint32_t i = 0; i < table_.capacity(); ++i) {
    if (table_[i].live) release_held(i, failed_);
  }
}

void Resolver::evict(std::uint32_t index) {
  release_held(index, failed_);
  move(index, Timer::idle);
  mark_unresolved(index, false);
  table_.erase(index);
  stats_.evictions.add();
}

// Those without a MAC go first, so that scans cannot push out neighbours that answer.
bool Resolver::make_room() {
  if (!table_.full()) return true;
  const std::uint32_t victim = unresolved_.empty() ? table_.least_used() : unresolved_.front();
  if (victim == none) return false;
  evict(victim);
  return true;
}

std::uint32_t Resolver::enter(Side side, const Address& address) {
  const std::uint32_t index = make_room() ? table_.insert(side, address) : none;
  if (index != none) look_for(index);
  stats_.known.set(table_.size());
  return index;
}

// INCOMPLETE: everybody is asked.
void Resolver::look_for(std::uint32_t index) {
  mark_unresolved(index, false);  // it becomes the youngest
  if (!table_[index].pinned && unresolved_.size() >= limits_.unresolved) evict(unresolved_.front());
  mark_unresolved(index, true);
  Neighbour& entry = table_[index];
  entry.state = State::incomplete;
  entry.reachable_until = 0;
  entry.tries = 0;
  entry.doubted = entry.rival_known = false;
  move(index, Timer::asking);
}

// PROBE: the neighbour is asked where it was, or everybody is if it is doubted, while its MAC serves on.
void Resolver::verify(std::uint32_t index) {
  Neighbour& entry = table_[index];
  entry.state = State::probing;
  entry.reachable_until = 0;
  entry.tries = 0;
  entry.doubted = entry.rival_known = false;
  move(index, Timer::asking);
}

// REACHABLE if confirmed, else STALE.
void Resolver::learn(std::uint32_t index, const Mac& mac, bool confirmed, std::uint64_t now) {
  Neighbour& entry = table_[index];
  entry.mac = mac;
  entry.state = State::known;
  entry.reachable_until = confirmed ? now + reachable_time(index, now) : 0;
  move(index, Timer::idle);
  mark_unresolved(index, false);
  release_held(index, ready_);
}

// RFC 4861 section 6.3.2: spread, so that instances do not ask in step.
std::uint64_t Resolver::reachable_time(std::uint32_t index, std::uint64_t now) const {
  const std::uint64_t random = fold(table_.hash(table_[index].side, table_[index].address) ^ now, 0x9e3779b97f4a7c15);
  return reachable_ms / 2 + random % reachable_ms;
}

void Resolver::fail(std::uint32_t index, std::uint64_t now) {
  Neighbour& entry = table_[index];
  entry.state = State::failed;
  entry.due = now + failed_ms;
  move(index, Timer::idle);
  release_held(index, failed_);
  stats_.failures.add();
}

Resolution Resolver::resolve(Side side, const Address& address, std::uint64_t now) {
  std::uint32_t index = table_.find(side, address);
  if (index == none) index = enter(side, address);
  if (index == none) return {What::failed};
  Neighbour& entry = table_[index];
  entry.recent = true;
  if (entry.state == State::known && now >= entry.reachable_until) verify(index);
  if (entry.state == State::known || entry.state == State::probing) return {What::resolved, entry.mac};
  if (entry.state == State::failed && now < entry.due) return {What::failed};
  if (entry.state == State::failed) look_for(index);
  return {What::pending, {}, index};
}

void Resolver::pin(Side side, const Address& address) {
  std::uint32_t index = table_.find(side, address);
  if (index == none) index = enter(side, address);
  if (index == none) return;
  mark_unresolved(index, false);
  table_[index].pinned = true;
}

void Resolver::told(Side side, const Address& address, const Mac* mac, bool solicited, std::uint64_t now) {
  const std::uint32_t index = table_.find(side, address);
  if (index == none) return solicited ? stats_.unasked.add() : void();
  const Neighbour& entry = table_[index];
  if (entry.state == State::incomplete || entry.state == State::failed) {
    if (mac != nullptr) learn(index, *mac, solicited, now);
  } else if (mac != nullptr && *mac != entry.mac) {
    told_another(index, *mac, solicited, now);
  } else if (solicited) {
    learn(index, entry.mac, true, now);
  }
}

void Resolver::told_another(std::uint32_t index, const Mac& mac, bool solicited, std::uint64_t now) {
  Neighbour& entry = table_[index];
  stats_.doubts.add();
  const bool outstanding = entry.state == State::probing && entry.tries > 0;
  if (outstanding && solicited && !entry.rival_known) {
    entry.rival = mac;
    entry.rival_known = true;
  }
  if (entry.state == State::known && now >= entry.due) verify(index);
  if (entry.state == State::probing) entry.doubted = true;
}

void Resolver::expire(std::uint32_t index, std::uint64_t now) {
  Neighbour& entry = table_[index];
  if (entry.state == State::probing && entry.rival_known) {
    stats_.moves.add();
    learn(index, entry.rival, true, now);
  } else if (entry.tries < max_tries) {
    move(index, Timer::asking);
  } else if (entry.state == State::probing) {
    look_for(index);
  } else {
    fail(index, now);
  }
}

const Neighbour* Resolver::question(std::uint64_t now) {
  while (!waiting_.empty() && table_[waiting_.front()].due <= now) expire(waiting_.front(), now);
  return asking_.empty() || !questions_.open(now) ? nullptr : &table_[asking_.front()];
}

void Resolver::asked(std::uint64_t now) {
  const std::uint32_t index = asking_.front();
  Neighbour& entry = table_[index];
  ++entry.tries;
  entry.due = now + retry_ms;
  move(index, Timer::waiting);
  questions_.take(now);
  stats_.questions.add();
}

}  // namespace snf
