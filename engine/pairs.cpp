// Flows under two keys, and packets that are rewritten (protocol.md, rules 3 and 5). Both keys of a flow hold the same
// value; they are created, changed and moved together. Each has an entry of its own here, and what makes one of the two
// unusable does so with the other.
#include <algorithm>
#include <cstring>

#include "flights.hpp"

namespace snf {

namespace {

constexpr std::uint8_t most_attempts = 255;

bool same_addresses(std::uint64_t high, std::uint64_t low, std::uint64_t other_high, std::uint64_t other_low) {
  return high == other_high && low == other_low;
}

// An ICMP error goes to the source of the packet that it quotes, whose tuple is the record's.
bool goes_elsewhere(const PacketRecord& packet, const Tuple& was) {
  if (packet.kind == static_cast<std::uint8_t>(Kind::icmp_error)) {
    return !same_addresses(packet.source_high, packet.source_low, was.source_high, was.source_low);
  }
  return !same_addresses(packet.destination_high, packet.destination_low, was.destination_high, was.destination_low);
}

}  // namespace

bool Flights::is_pair(const Entry& entry) const {
  return originals_ != nullptr && entry.key.bytes[Key::kind_offset] == static_cast<std::uint8_t>(KeyKind::flow);
}

std::size_t Flights::value_size(const Entry& entry) const {
  return envelope_size + record_size(entry) + (is_pair(entry) ? tail_size(entry.key) : 0);
}

// The flow key of the packet as rewritten. False: it is the key that it came by, or the packet does not leave.
bool Flights::find_partner(const Entry& entry, std::uint32_t job, Key& partner) const {
  PacketRecord rewritten = pool_[batch_.packet(job)].header;
  if (!forwards(job) || rewritten.direct != 0) return false;
  keys_.flow(rewritten, partner);
  return !(partner == entry.key);
}

// Writes the tail of the value that this job makes, and says which second key the flow has from now on.
Flights::Pair Flights::write_pair(Entry& entry, const Lane& lane, std::uint32_t job, std::uint8_t* to) {
  const Packet& packet = pool_[batch_.packet(job)];
  const bool stands = !batch_.absent(lane);
  Tail tail;
  if (stands) {
    tail = read_tail(entry.value() + envelope_size + program_.record_size(), entry.key);
  } else {
    tail.side = static_cast<Side>(packet.header.direction);
    tail.mac = load_mac(packet.frame.data + 6);
  }
  Pair pair;
  const bool had = stands && follow_link(keys_, entry.key, tail, pair.partner_until);
  pair.has_partner = find_partner(entry, job, pair.partner);
  if (!pair.has_partner && had) {
    pair.partner = pair.partner_until;
    pair.has_partner = true;
  }
  pair.moves = had && !(pair.partner == pair.partner_until);
  pair.anew = pair.has_partner ? !had || pair.moves : !stands;
  pair.opened = !had || has_opened(tail, entry.key, pair.partner_until);
  if (pair.has_partner) {
    link_keys(tail, entry.key, pair.partner);
    set_opened(tail, entry.key, pair.partner, pair.opened);
  }
  write_tail(to, entry.key, tail);
  return pair;
}

Bytes Flights::counter_of(Bytes value) const {
  const Traits& traits = program_.traits();
  if (traits.counter == Traits::no_field || value[envelope_size + traits.counted] != 1) return {};
  return value.subspan(envelope_size + traits.counter, 8);
}

// Does another counter count the flow from now on?
bool Flights::counts_anew(Entry& entry, Bytes fresh) const {
  const Bytes before = counter_of(entry.stored()), after = counter_of(fresh);
  return !std::equal(before.begin(), before.end(), after.begin(), after.end());
}

// The Function of the store where nothing less will do; MSETEX for a new flow without timers. A timer that fires before
// the record's deadline is armed again then, so that a change of the record alone need not touch it.
void Flights::request_pair(std::uint32_t index, const Lane& lane, const Pair& pair, Bytes fresh, std::uint64_t now,
                           std::uint64_t expire_at) {
  Entry& entry = table_[flights_[index].entry];
  const bool creates = batch_.absent(lane);
  const bool timed = program_.traits().timed && (pair.anew || creates || counts_anew(entry, fresh));
  if (pair.has_partner) give_up_entry(pair.partner);
  if (pair.moves) give_up_entry(pair.partner_until);
  if (!pair.has_partner && !timed) return store_->commit(index, entry.key, entry.stored(), fresh, expire_at);
  // A record that ended is still there for a while in a replay, and for a moment otherwise.
  if (!timed && creates && entry.size == 0 && limits_.linger_ms == 0) {
    return store_->create_pair(index, entry.key, pair.partner, fresh, expire_at);
  }
  Put put;
  put.key = &entry.key;
  if (pair.has_partner) put.partner = &pair.partner;
  if (pair.moves) put.partner_until = &pair.partner_until;
  put.anew = pair.anew;
  put.grows = creates;
  put.timed = timed;
  put.old = entry.stored();
  put.fresh = fresh;
  put.expire_at = std::max(expire_at, read_envelope(fresh.data()).deadline);
  put.now = now;
  put.counter = counter_of(fresh);
  if (timed && !pair.opened) std::swap(put.key, put.partner);  // its timer has the name of the key that opened it
  flights_[index].swapped = timed && !pair.opened;
  store_->put(index, put);
}

// Rule 12 for the other key: a write inside of a Function ends our tracking of it, and a read of it that is under way
// may have been answered before.
void Flights::give_up_entry(const Key& key) {
  const std::uint32_t index = table_.find(key, keys_.hash(key));
  if (index == none) return;
  Entry& entry = table_[index];
  entry.usable = entry.found = false;
  if (entry.flight != none) flights_[entry.flight].unfit = true;
}

// The baseline: false where the partner's key has another flow's record, or there is no room for it.
bool Flights::write_partner(const Pair& pair, Bytes old, Bytes fresh, std::uint64_t now, Drop& reason) {
  const std::uint64_t hash = keys_.hash(pair.partner);
  std::uint32_t index = table_.find(pair.partner, hash);
  reason = Drop::conflict_limit;
  if (index != none && table_[index].size > 0 && read_envelope(table_[index].value()).deadline >= now) {
    const Bytes stands = table_[index].stored();
    if (!std::equal(stands.begin(), stands.end(), old.begin(), old.end())) return false;
  }
  if (index == none) index = table_.insert(pair.partner, hash, moment_.ms, rerun_.empty());
  reason = Drop::flow_table_full;
  if (index == none) return false;
  overwrite(table_[index], fresh);
  return true;
}

// Whoever in this batch ran on what the entry held runs again.
void Flights::overwrite(Entry& entry, Bytes fresh) {
  std::copy(fresh.begin(), fresh.end(), entry.value());
  entry.size = static_cast<std::uint16_t>(fresh.size());
  entry.quiet_until = Entry::ticks(moment_.ms);
  if (entry.lane != Entry::no_lane) batch_.overtake(entry.lane);
}

void Flights::leave_partner(const Key& key, Bytes old) {
  const std::uint32_t index = table_.find(key, keys_.hash(key));
  if (index == none) return;
  const Bytes stands = table_[index].stored();
  if (!std::equal(stands.begin(), stands.end(), old.begin(), old.end())) return;
  overwrite(table_[index], {});
  if (table_[index].lane == Entry::no_lane) close(index);
}

void Flights::commit_pair_here(const Lane& lane, std::uint32_t job, PacketQueue& held, PacketQueue& rest) {
  Entry& entry = table_[lane.entry];
  std::array<std::uint8_t, largest_value> fresh, old;
  const std::size_t size = value_size(entry), before = batch_.absent(lane) ? 0 : entry.size;
  std::copy_n(entry.value(), before, old.begin());
  write_record(fresh.data(), job);
  const Pair pair = write_pair(entry, lane, job, fresh.data() + envelope_size + program_.record_size());
  const std::uint64_t now = pool_[batch_.packet(job)].header.now;
  Drop reason = Drop::conflict_limit;
  if (pair.has_partner && !write_partner(pair, {old.data(), before}, {fresh.data(), size}, now, reason)) {
    return refuse_here(lane, pool_[batch_.packet(job)].header.attempt, reason, held, rest);
  }
  if (pair.moves) leave_partner(pair.partner_until, {old.data(), before});
  std::copy_n(fresh.data(), size, entry.value());
  entry.size = static_cast<std::uint16_t>(size);
  written_here(lane, held, rest);
}

// The next candidate, or the end of the packets.
void Flights::refuse_here(const Lane& lane, std::uint8_t attempt, Drop reason, PacketQueue& held, PacketQueue& rest) {
  const bool taken = reason == Drop::conflict_limit;
  if (taken) stats_.refusals.add();
  if (taken && attempt < most_attempts) {
    rest.prepend(pool_, held);
    rerun_.push_back({lane.entry, lane.fresh_before, rest, static_cast<std::uint8_t>(attempt + 1)});
    return;
  }
  outlet_.drop_all(held, reason);
  outlet_.drop_all(rest, reason);
  close(lane.entry);
}

// The second key that was wanted belongs to another flow: the packets run again, for another candidate.
void Flights::next_attempt(Flight& flight) {
  stats_.refusals.add();
  if (flight.attempt == most_attempts) return outlet_.drop_all(flight.held, Drop::conflict_limit);
  ++flight.attempt;
  again(flight);
}

Bytes Flights::committed(std::uint32_t flight) {
  if (originals_ == nullptr) return {};
  return {committed_[flight].data(), value_size(table_[flights_[flight].entry])};
}

// A packet whose verdict is final. `value`: the record that it was decided on, or the one that it made.
void Flights::release_rewritten(std::uint32_t index, Bytes value) {
  Packet& packet = pool_[index];
  const Bytes record = value.empty() ? value : value.subspan(envelope_size, program_.record_size());
  if ((packet.verdict & 0xff) != verdict_forward || packet.fault) {
    originals_->restore(index, packet.header);
    return outlet_.finish(index, record);
  }
  if (!depart(index, value)) return outlet_.drop(index, Drop::not_rewritable);
  if (!turns_back(packet)) return outlet_.finish(index, record);
  outlet_.tell(packet, record);
  turn_back(index);
}

// Is it on its way out, to an address of our own? An ICMP error goes to the source of what it quotes.
bool Flights::turns_back(const Packet& packet) const {
  const AddressSet& turned = program_.traits().turned;
  if (turned.empty() || packet.frame.side != Side::inside) return false;
  const PacketRecord& header = packet.header;
  const bool error = header.kind == static_cast<std::uint8_t>(Kind::icmp_error);
  return turned.contains(error ? Address{header.source_high, header.source_low}
                               : Address{header.destination_high, header.destination_low});
}

void Flights::turn_back(std::uint32_t index) {
  pool_[index].stage = Stage::turned;
  pool_[index].frame.side = Side::outside;
  learned_.push(pool_, index);
}

// Gives a packet that is to be forwarded the header that the function wants. `value`: the record it was decided on.
// False: the packet cannot say that.
bool Flights::depart(std::uint32_t index, Bytes value) {
  Packet& packet = pool_[index];
  const Tuple& was = originals_->tuple(index);
  if (packet.header.direct != 0) {
    packet.hop = Hop::record;
    return true;
  }
  if (packet.header.mss < originals_->mss(index)) {
    clamp_mss(packet.frame, packet.header, packet.layout, packet.header.mss);
  }
  const Tuple wanted = tuple_of(packet.header);
  if (!(wanted == was) && !rewrite(packet.frame, packet.header, packet.layout, wanted)) return false;
  const bool elsewhere = goes_elsewhere(packet.header, was);
  const bool hairpin = elsewhere && packet.frame.side == Side::inside;
  if (hairpin) packet.frame.side = Side::outside;  // what came from inside stays there (RFC 4787 section 6)
  if (outlet_.is_led()) head_for(packet, elsewhere, hairpin, value);
  return true;
}

// Which way it goes. `known` is whoever opened the flow; nobody where the packet goes the other way, and none of
// several remote hosts that share a record.
void Flights::head_for(Packet& packet, bool elsewhere, bool hairpin, Bytes value) const {
  packet.hop = elsewhere ? Hop::destination : Hop::as_received;
  packet.mac = Mac{};
  const std::size_t at = envelope_size + program_.record_size();
  const bool shared = !program_.traits().turned.empty() && packet.frame.side == Side::inside;
  if (hairpin || shared || value.size() <= at || opener_side(value[at]) != opposite(packet.frame.side)) return;
  packet.mac = load_mac(value.data() + at + 1);
  if (elsewhere && is_one_interface(packet.mac)) packet.hop = Hop::known;
}

}  // namespace snf
