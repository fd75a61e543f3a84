#include "pipe.hpp"

#include <chrono>
#include <utility>

namespace snf {

namespace {

constexpr unsigned prefetch_distance = 4;  // packets after which a place of the index, asked for, is there

std::int64_t wall_minus_monotonic_us() {
  using std::chrono::duration_cast, std::chrono::microseconds;
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  const auto monotonic = std::chrono::steady_clock::now().time_since_epoch();
  return duration_cast<microseconds>(wall).count() - duration_cast<microseconds>(monotonic).count();
}

Stage first_stage(const Packet& packet) {
  const bool later = packet.header.kind == static_cast<std::uint8_t>(Kind::fragment);
  return later || packet.layout.first_fragment ? Stage::fragment : Stage::flow;
}

}  // namespace

Pipe::Pipe(const PipeOptions& options, Port& port, const Keys& keys, std::unique_ptr<Store> store,
           std::shared_ptr<const Program> program, std::shared_ptr<const TableSet> tables, Stats& stats)
    : port_(port),
      keys_(keys),
      store_(std::move(store)),
      program_(std::move(program)),
      tables_(std::move(tables)),
      stats_(stats),
      clock_(options.clock),
      pool_(options.limits.packets),
      outlet_(port, pool_, stats, options.events, options.captured),
      flights_(options.mode, options.limits, *program_, keys, store_.get(), pool_, outlet_, stats, options.nonce),
      wall_offset_us_(wall_minus_monotonic_us()) {
  if (!options.neighbours) return;
  stats.neighbours = std::make_unique<NeighbourStats>();
  gateway_ = std::make_unique<Gateway>(*options.neighbours, port, pool_, outlet_, *stats.neighbours);
  outlet_.lead_by(*gateway_);
}

Moment Pipe::moment(std::uint64_t now_ns) const {
  Moment moment;
  moment.us = now_ns / 1000;
  const std::int64_t known = store_ ? store_->clock_offset() : 0;
  const std::int64_t offset = known != 0 ? known : wall_offset_us_;
  moment.store_ms = static_cast<std::uint64_t>(static_cast<std::int64_t>(moment.us) + offset) / 1000;
  moment.ms = clock_ms_ != 0 ? clock_ms_ : moment.store_ms;
  return moment;
}

void Pipe::swap_tables(std::shared_ptr<const TableSet> tables) {
  const std::lock_guard<std::mutex> lock(tables_mutex_);
  next_tables_ = std::move(tables);
  tables_waiting_.store(true, std::memory_order_release);
}

void Pipe::take_tables() {
  if (!tables_waiting_.load(std::memory_order_acquire)) return;
  const std::lock_guard<std::mutex> lock(tables_mutex_);
  tables_ = std::move(next_tables_);
  tables_waiting_.store(false, std::memory_order_relaxed);
  if (gateway_ && tables_->owned()) gateway_->own(Side::outside, *tables_->owned());
}

void Pipe::identify(Packet& packet, Arrival& arrival) {
  if (packet.stage == Stage::fragment) {
    keys_.fragment(packet.header, packet.layout, arrival.key);
  } else {
    keys_.flow(packet.header, arrival.key);
  }
  arrival.hash = packet.header.flow_hash = keys_.hash(arrival.key);
  flights_.prefetch(arrival.hash);
}

// Not for the function.
void Pipe::dismiss(const Packet& packet, const ParseResult& result) {
  if (result.what == Parsed::drop) return outlet_.drop_frame(packet.frame, result.reason, moment_.ms);
  gateway_ ? gateway_->hear(packet.frame, packet.header, packet.layout) : outlet_.pass(packet.frame);
}

// True if the packet goes on to the function; otherwise it has been dealt with.
bool Pipe::arrive(const Frame& frame, std::uint64_t now_ns, Arrival& arrival) {
  arrival.packet = pool_.acquire();
  if (arrival.packet == none) {
    outlet_.drop_frame(frame, Drop::packets_full, moment_.ms);
    return false;
  }
  Packet& packet = pool_[arrival.packet];
  packet.frame = frame;
  const ParseResult result = parse(frame, packet.header, packet.layout);
  if (result.what != Parsed::flow) {
    dismiss(packet, result);
    pool_.release(arrival.packet);
    return false;
  }
  packet.header.now = moment_.ms;
  packet.header.attempt = 0;
  packet.hop = Hop::as_received;
  packet.order = flights_.next_order();
  packet.received = now_ns;
  packet.stage = first_stage(packet);
  identify(packet, arrival);
  return true;
}

// Fragments that know their ports now are packets of their flow; what turns back is read anew, with the header that it
// has got.
void Pipe::enter_learned() {
  while (!flights_.learned().empty()) {
    Arrival arrival;
    arrival.packet = flights_.learned().pop(pool_);
    Packet& packet = pool_[arrival.packet];
    if (packet.stage == Stage::turned && !turn(packet)) {
      outlet_.drop(arrival.packet, Drop::malformed);
      continue;
    }
    packet.stage = packet.stage == Stage::turned ? first_stage(packet) : Stage::flow;
    packet.order = flights_.next_order();  // it stands behind those of its flow that are there already
    identify(packet, arrival);
    flights_.enter(arrival.packet, arrival.key, arrival.hash);
    flights_.finish();
  }
}

bool Pipe::turn(Packet& packet) {
  const std::uint64_t now = packet.header.now;
  const bool whole = parse(packet.frame, packet.header, packet.layout).what == Parsed::flow;
  packet.header.now = now;
  return whole;
}

void Pipe::publish() {
  stats_.records.set(flights_.records());
  stats_.in_flight.set(flights_.in_flight());
  stats_.available.set(store_ == nullptr || store_->available());
}

void Pipe::attend(std::uint64_t now_ns) {
  take_tables();
  moment_ = moment(now_ns);
  flights_.begin(moment_, *tables_);
  publish();
}

unsigned Pipe::step(std::uint64_t now_ns) {
  take_tables();
  moment_ = moment(now_ns);
  flights_.admit(admitting_.load(std::memory_order_relaxed));
  flights_.begin(moment_, *tables_);
  if (gateway_) gateway_->begin(moment_.us / 1000, moment_.ms);
  const unsigned received = port_.receive(frames_.data(), burst);
  unsigned count = 0;
  std::uint64_t packets[2] = {0, 0}, bytes[2] = {0, 0};
  for (unsigned i = 0; i < received; ++i) {
    const auto side = static_cast<unsigned>(frames_[i].side);
    ++packets[side];
    bytes[side] += frames_[i].length;
    if (!arrive(frames_[i], now_ns, arrivals_[count])) continue;
    if (++count > prefetch_distance) flights_.prefetch_entry(arrivals_[count - 1 - prefetch_distance].hash);
  }
  for (const unsigned side : {0u, 1u}) {
    if (packets[side] == 0) continue;
    stats_.received[side].add(packets[side]);
    stats_.received_bytes[side].add(bytes[side]);
  }
  for (unsigned i = count > prefetch_distance ? count - prefetch_distance : 0; i < count; ++i) {
    flights_.prefetch_entry(arrivals_[i].hash);
  }
  for (unsigned i = 0; i < count; ++i) flights_.enter(arrivals_[i].packet, arrivals_[i].key, arrivals_[i].hash);
  flights_.finish();
  enter_learned();
  if (gateway_) gateway_->step();
  publish();
  outlet_.flush(clock_ != nullptr ? clock_() : now_ns);
  return received;
}

void Pipe::abandon() {
  flights_.abandon();
  if (gateway_) gateway_->abandon();
  outlet_.flush(0);
}

}  // namespace snf
