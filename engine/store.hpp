// The store contract, as one pipe sees it. Sans-I/O in spirit: nothing blocks, all work happens in poll.
// A pipe owns one Store (one connection per node). Requests of one key are executed in the order they were made;
// replies and invalidations are handed over in the order of the wire (protocol.md, rule 13).
// The memory store (the baseline) does not need it: there the record table itself is the truth (cache.hpp).
#pragma once
#include <cstdint>

#include "flow.hpp"
#include "record.hpp"

namespace snf {

using Ticket = std::uint32_t;  // the caller's name for what it waits for

enum class Answer : std::uint8_t {
  found,     // read: value is the record
  absent,    // read: no such key
  written,   // commit: done
  conflict,  // commit: not done, value is the record that stands there
  vanished,  // commit: not done, the key it wanted to replace is gone
  refused,   // creation of a pair: not done, one of its keys is taken
  taken,     // put: not done, the partner belongs to another flow; the key holds what was to be replaced
  broken,    // put: not done, the partner does not hold what the key holds
  full,      // commit: refused for lack of memory
  error,     // the store answered with some other error; nothing was done
  unknown,   // connection or reply lost: may or may not have been done
};

// A change of a flow that has two keys, or timers: one Function of the store does all of it (statelessnf.lua).
struct Put {
  const Key* key = nullptr;
  const Key* partner = nullptr;        // null: the flow has one key
  const Key* partner_until = nullptr;  // another one, to be given up
  bool anew = false;   // `partner` is not this flow's yet: it must be free, or hold a record that ended before `now`
  bool grows = false;  // a new flow: refused where memory is short
  bool timed = false;  // with timer and counter
  Bytes old = {}, fresh = {};            // no `old`: the key must be free
  std::uint64_t expire_at = 0, now = 0;  // ms, store clock; the packet's
  Bytes counter = {};                    // name of what counts the flow; none: nothing does
};

class StoreEvents {
 public:
  virtual ~StoreEvents() = default;
  // `value` is readable during the call only. `tracked`: a read that re-armed tracking of its key.
  virtual void on_read(Ticket ticket, Answer answer, Bytes value, bool tracked) = 0;
  virtual void on_commit(Ticket ticket, Answer answer, Bytes value) = 0;
  virtual void on_invalidate(Bytes key) = 0;  // another client changed or deleted it, or it expired
  virtual void on_invalidate_all() = 0;       // flushed, or a new connection: nothing is tracked any more
};

class Store {
 public:
  virtual ~Store() = default;
  // Queue a request. `key`, `old` and `fresh` are copied or encoded before return, except `old`, which must stay
  // readable until the answer. tracked: behind CLIENT CACHING YES.
  virtual void read(Ticket ticket, const Key& key, bool tracked) = 0;
  // Replace `old` by `fresh`; an empty `old` means that there must be none. expire_at: ms, store clock (PXAT).
  virtual void commit(Ticket ticket, const Key& key, Bytes old, Bytes fresh, std::uint64_t expire_at) = 0;
  // Both keys get `fresh`, or neither: refused where one of them is taken.
  virtual void create_pair(Ticket ticket, const Key& key, const Key& partner, Bytes fresh, std::uint64_t expire_at) = 0;
  // As `commit`, by a Function. Everything but `old` is copied or encoded.
  virtual void put(Ticket ticket, const Put& put) = 0;
  // Sends what is due and hands over what came. `now`: us, monotonic.
  virtual void poll(std::uint64_t now, StoreEvents& events) = 0;
  // Connected, and answering.
  virtual bool available() const = 0;
  // A cached record may be used until then (us, monotonic): send time of the last answered request + stale_limit (rule
  // 14).
  virtual std::uint64_t trusted_until() const = 0;
  // us to add to the monotonic clock to get the store's clock (from TIME); 0 until known.
  virtual std::int64_t clock_offset() const = 0;
  virtual int descriptor() const { return -1; }   // to wait for when idle
  virtual std::uint64_t outstanding() const = 0;  // requests without an answer yet
};

}  // namespace snf
