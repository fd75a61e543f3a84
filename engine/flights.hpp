// The commit protocol (protocol.md): packets wait on the key of their flow, are processed on the record that the store
// gave, and leave after the commit that they caused has been acknowledged. One instance of this class a pipe.
// Guarantees: packets of one flow are processed in the order of their arrival; a DROP is final only on a fresh record
// (rule 2); a group is released only when its commit was written (rule 3, 4); a commit of unknown fate is looked up
// again and told by its nonce (rule 7); every packet ends in the outlet exactly once.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "batch.hpp"
#include "cache.hpp"
#include "original.hpp"
#include "outlet.hpp"
#include "packets.hpp"
#include "pair.hpp"
#include "program.hpp"
#include "stats.hpp"
#include "store.hpp"

namespace snf {

enum class Mode : std::uint8_t { baseline, off, tracked };  // no store; store, no cache; store and cache

struct Limits {
  std::uint32_t packets = 8192;        // in flight in this pipe
  std::uint32_t flows = 262'144;       // records held: cache, or all there are for the baseline
  std::uint32_t flights = 8192;        // flows waiting for the store at once
  std::uint32_t queue = 256;           // packets of one flow waiting
  std::uint32_t conflicts = 8;         // in a row, for one group
  std::uint64_t new_flows_per_s = 0;   // 0: no limit
  std::uint64_t guard_ms = 50;         // a cached record is not used this close to its deadline
  std::uint64_t stale_us = 2'000'000;  // how long packets wait for a store that is gone
  std::uint64_t linger_ms = 0;         // the store keeps records this much longer than their deadline (replay)
};

// What a step works with; set at its start.
struct Moment {
  std::uint64_t us = 0;        // monotonic
  std::uint64_t ms = 0;        // store clock (in a replay: the capture's)
  std::uint64_t store_ms = 0;  // store clock also in a replay: for PXAT
};

struct Flight {
  enum class Phase : std::uint8_t { idle, reading, committing, resting };  // resting: looked up again in a while
  std::uint32_t entry = none;
  Phase phase = Phase::idle;
  Answer answer = Answer::absent;
  bool valid = true;           // the value that came was a record of ours
  bool based = false;          // the entry's value answers a request of this flight, and nothing of ours came after
  bool creates = false;        // the outstanding commit is a new flow's first
  bool unresolved = false;     // the outstanding commit may or may not have been written
  bool refused = false;        // a pair was not created: the read now under way tells which key was taken
  bool swapped = false;        // the outstanding commit names the flow's other key first: what it brings is that one's
  bool unfit = false;          // the read under way must not fill the cache: we changed the record by its other key
  std::uint8_t attempt = 0;    // candidates for a second key that were taken
  std::uint64_t replaced = 0;  // nonce of the record that the outstanding commit replaces, 0: none was there
  std::uint64_t doubted = 0;   // nonce of an earlier commit that may still be written, 0: none; or `several`
  std::uint64_t doubted_before = 0;  // it held the packets of a lower order, and no others
  std::uint32_t conflicts = 0;       // in a row
  std::uint32_t limit = 0;           // size of the next group after a conflict, 0: all
  std::uint64_t order = 0;           // packets that arrived before this are older than the outstanding request
  std::uint64_t nonce = 0;           // of the outstanding commit
  PacketQueue held;                  // processed, waiting for the commit
  PacketQueue waiting;               // not processed
};

class Flights : private StoreEvents {
 public:
  // store: null for the baseline. nonce: unlike any other writer's in its upper half. Throws std::bad_alloc.
  Flights(Mode mode, const Limits& limits, const Program& program, const Keys& keys, Store* store, PacketPool& pool,
          Outlet& outlet, Stats& stats, std::uint64_t nonce);

  // A packet of the flow `key`, parsed, clock set.
  void enter(std::uint32_t packet, const Key& key, std::uint64_t hash);
  void prefetch(std::uint64_t hash) const { table_.prefetch(hash); }
  void prefetch_entry(std::uint64_t hash) {
    table_.prefetch_entry(hash, outlet_.is_led() ? table_.value_capacity() : read_);
  }
  // Before packets: applies what the store said. After packets: runs what is gathered.
  void begin(const Moment& moment, const TableSet& tables);
  void finish();
  // Fragments whose ports are known now, and packets that turn back; the pipe makes their flow keys and enters them.
  PacketQueue& learned() { return learned_; }
  // Everything that still waits is dropped.
  void abandon();
  void admit(bool new_flows) { admitting_ = new_flows; }  // false: the store is nearly full
  std::uint32_t in_flight() const { return static_cast<std::uint32_t>(flights_.size() - free_.size()); }
  std::uint32_t records() const { return table_.size(); }
  std::uint64_t next_order() { return order_++; }

 private:
  // What a request that was answered means for its key. They only note; `resume` acts, so that the store is not
  // called from within its own poll.
  void on_read(Ticket ticket, Answer answer, Bytes value, bool tracked) override;
  void on_commit(Ticket ticket, Answer answer, Bytes value) override;
  void on_invalidate(Bytes key) override;
  void on_invalidate_all() override { table_.forget_all(); }
  bool note(Flight& flight, Answer answer, Bytes value);
  std::size_t record_size(const Entry& entry) const;

  // flights.cpp: from arrival to verdict
  bool usable(Entry& entry) const;
  bool wait_behind(std::uint32_t flight, std::uint32_t packet);
  void run_batch();
  bool passes(const Lane& lane);
  void settle(const Lane& lane);
  bool decided(const Lane& lane, std::uint32_t job) const;
  bool forwards(std::uint32_t job) const;
  bool trustworthy(std::uint32_t job) const;
  PacketQueue rest_from(std::uint32_t job);
  void release(std::uint32_t packet, Bytes value);
  void release_all(PacketQueue& queue, Bytes value);
  void close(std::uint32_t entry);

  // orphans.cpp: later fragments that are here before the first one's record, or their flow's
  bool may_rest(const Lane& lane, std::uint32_t job) const;
  void let_rest(std::uint32_t entry, PacketQueue& packets);
  void go_before(Flight& flight, PacketQueue& first);
  bool wakes(const Flight& flight, std::uint32_t packet) const;
  void wake(Flight& flight, std::uint32_t first);
  void mind_resting();

  // commits.cpp: requests
  void commit(const Lane& lane, std::uint32_t job, PacketQueue& held, PacketQueue& rest);
  void commit_here(const Lane& lane, std::uint32_t job, PacketQueue& held, PacketQueue& rest);
  void written_here(const Lane& lane, PacketQueue& held, PacketQueue& rest);
  void refresh(const Lane& lane, std::uint32_t job);
  enum class Refresh : std::uint8_t { no, due, pressing };
  Refresh refresh_due(const Lane& lane, std::uint32_t job);
  void request_commit(std::uint32_t flight, const Lane& lane, std::uint32_t job, bool creates);
  void request_read(std::uint32_t flight);
  void read(std::uint32_t entry, PacketQueue& packets);
  bool refused(bool creates, Drop& reason);
  bool take_token();
  std::uint64_t write_record(std::uint8_t* to, std::uint32_t job);
  std::uint32_t flight_of(std::uint32_t entry);

  // pairs.cpp: flows under two keys, and packets that are rewritten
  struct Pair {
    Key partner, partner_until;
    bool has_partner = false;
    bool moves = false;  // until now it was `partner_until`
    bool anew = true;    // `partner` was not this flow's until now
    bool opened = true;  // the flow was opened by the entry's key, not by `partner`
  };
  bool is_pair(const Entry& entry) const;
  std::size_t value_size(const Entry& entry) const;
  bool find_partner(const Entry& entry, std::uint32_t job, Key& partner) const;
  Pair write_pair(Entry& entry, const Lane& lane, std::uint32_t job, std::uint8_t* to);
  Bytes counter_of(Bytes value) const;
  bool counts_anew(Entry& entry, Bytes fresh) const;
  void request_pair(std::uint32_t flight, const Lane& lane, const Pair& pair, Bytes fresh, std::uint64_t now,
                    std::uint64_t expire_at);
  void give_up_entry(const Key& key);
  bool write_partner(const Pair& pair, Bytes old, Bytes fresh, std::uint64_t now, Drop& reason);
  void overwrite(Entry& entry, Bytes fresh);
  void leave_partner(const Key& key, Bytes old);
  void commit_pair_here(const Lane& lane, std::uint32_t job, PacketQueue& held, PacketQueue& rest);
  void refuse_here(const Lane& lane, std::uint8_t attempt, Drop reason, PacketQueue& held, PacketQueue& rest);
  void next_attempt(Flight& flight);
  Bytes committed(std::uint32_t flight);
  void release_rewritten(std::uint32_t packet, Bytes value);
  bool depart(std::uint32_t packet, Bytes value);
  bool turns_back(const Packet& packet) const;
  void turn_back(std::uint32_t packet);
  void head_for(Packet& packet, bool elsewhere, bool hairpin, Bytes value) const;

  // answers.cpp: what the store said
  void resume(std::uint32_t flight);
  void after_read(std::uint32_t flight);
  void after_commit(std::uint32_t flight);
  void after_refusal(Flight& flight);
  void again(Flight& flight);
  void doubt(Flight& flight);
  bool settle_doubt(Flight& flight, PacketQueue& again_first);
  PacketQueue take_doubted(Flight& flight);
  std::uint64_t stored_nonce(Entry& entry) const;
  void run_waiting(std::uint32_t flight);
  void end(std::uint32_t flight);
  void drop_flight(std::uint32_t flight, Drop reason);
  void mind_stranded();

  Mode mode_;
  Limits limits_;
  const Program& program_;
  const Keys& keys_;
  Store* store_;
  PacketPool& pool_;
  Outlet& outlet_;
  Stats& stats_;
  RecordTable table_;
  std::size_t read_;  // bytes of a value that every packet needs; a tail is for outlets that are led
  std::unique_ptr<Originals> originals_;  // of a function that rewrites, else null
  Batch batch_;
  std::vector<Flight> flights_;
  std::vector<std::array<std::uint8_t, largest_value>> committed_;  // by flight, of a function that rewrites
  struct Resting {
    std::uint32_t flight;
    std::uint64_t due;  // us
  };
  std::vector<Resting> resting_;
  std::vector<std::uint32_t> free_, ready_, stranded_;  // stranded: of unknown outcome, until the store is back
  PacketQueue learned_;
  struct Rerun {
    std::uint32_t entry;
    std::uint64_t fresh_before;
    PacketQueue packets;
    std::uint8_t attempt = 0;
  };
  std::vector<Rerun> rerun_;
  std::uint64_t nonce_, order_ = 1;
  std::uint64_t polled_us_ = 0, tokens_us_ = 0;
  double tokens_ = 0;
  bool admitting_ = true, requested_ = false;
  bool trusting_ = false;  // cached records may be used in this step (rule 14)
  Moment moment_;
  const TableSet* tables_ = nullptr;
};

}  // namespace snf
