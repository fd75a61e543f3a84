// A pipe: one queue's worth of processing (§5.1). Receive, parse, look up, process, commit, send: one `step`.
// Sans-I/O: a step takes what the port and the store have, gives them what is due, and never blocks.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "flights.hpp"
#include "gateway.hpp"
#include "outlet.hpp"
#include "port.hpp"

namespace snf {

struct PipeOptions {
  Mode mode = Mode::tracked;
  Limits limits;
  std::uint64_t nonce = 0;                     // unlike any other pipe's, lower half zero
  std::uint32_t events = 16'384;               // kept until they are taken
  std::uint32_t captured = 0;                  // dropped frames kept until they are taken
  std::optional<NeighbourOptions> neighbours;  // none: every frame leaves as it was addressed, and ARP passes
  std::uint64_t (*clock)() = nullptr;  // ns, monotonic: read again when packets leave; null: a step takes no time
};

class Pipe {
 public:
  static constexpr unsigned burst = 64;

  // store: null for Mode::baseline. Port and keys outlive the pipe. Throws std::bad_alloc.
  Pipe(const PipeOptions& options, Port& port, const Keys& keys, std::unique_ptr<Store> store,
       std::shared_ptr<const Program> program, std::shared_ptr<const TableSet> tables, Stats& stats);

  // now_ns: monotonic. Returns the number of packets received.
  unsigned step(std::uint64_t now_ns);
  // The store's part of a step alone, to connect before the first packet is taken.
  void attend(std::uint64_t now_ns);
  // Nothing is in flight, and nothing waits for the store.
  bool idle() const { return pool_.used() == 0 && flights_.in_flight() == 0; }
  // From now on `ms` is the time of arrival: a replay's clock is its capture's.
  void set_clock(std::uint64_t ms) { clock_ms_ = ms; }
  // From another thread: taken over at the start of the next step.
  void swap_tables(std::shared_ptr<const TableSet> tables);
  void admit(bool new_flows) { admitting_.store(new_flows, std::memory_order_relaxed); }
  bool admitting() const { return admitting_.load(std::memory_order_relaxed); }
  // Drops all that is still in flight, under `stopped`.
  void abandon();

  Store* store() { return store_.get(); }
  Outlet& outlet() { return outlet_; }

 private:
  struct Arrival {
    std::uint32_t packet;
    std::uint64_t hash;
    Key key;
  };
  Moment moment(std::uint64_t now_ns) const;
  void take_tables();
  void publish();
  bool arrive(const Frame& frame, std::uint64_t now_ns, Arrival& arrival);
  void dismiss(const Packet& packet, const ParseResult& result);
  void identify(Packet& packet, Arrival& arrival);
  void enter_learned();
  static bool turn(Packet& packet);

  Port& port_;
  const Keys& keys_;
  std::unique_ptr<Store> store_;
  std::shared_ptr<const Program> program_;
  std::shared_ptr<const TableSet> tables_, next_tables_;
  std::mutex tables_mutex_;
  std::atomic<bool> tables_waiting_{false}, admitting_{true};
  Stats& stats_;
  std::uint64_t (*clock_)();
  PacketPool pool_;
  Outlet outlet_;
  std::unique_ptr<Gateway> gateway_;
  Flights flights_;
  std::int64_t wall_offset_us_;  // the baseline's clock: the machine's
  std::uint64_t clock_ms_ = 0;
  Moment moment_;
  std::array<Frame, burst> frames_;
  std::array<Arrival, burst> arrivals_;
};

}  // namespace snf
