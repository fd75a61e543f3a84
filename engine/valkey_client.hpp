// The Valkey client, sans-I/O: requests in, bytes out; bytes in, answers out. No socket, no clock of its own.
//
// Guarantees: every request is answered exactly once, from `poll`, `feed` or `lost`, never from within `read` or
// `commit`; answers and invalidations are handed over in the order of the wire (protocol.md, rule 13); a connection on
// which the store breaks the protocol, refuses the handshake, or leaves a request unanswered for too long is given up.
//
// Order: a batch carries commits, then untracked reads, then tracked reads, and batches leave in the order in which
// they were begun. So a tracked read queued after a commit of its key is behind it on the wire (rule 12). No other two
// operations on one key may be outstanding at a time; flights.* keeps to that, since later packets of a key wait.
//
// A lost connection does not empty the cache: entries live on until `trusted_until` (rule 14). The next connection
// does, before anything else of it is handed over.
#pragma once
#include <memory>
#include <string>

#include "resp.hpp"
#include "stats.hpp"
#include "store.hpp"

namespace snf {

struct ValkeyOptions {
  std::string address;               // "unix:/path", "tcp:192.0.2.1:6379" or "tcp:[2001:db8::1]:6379": numeric
  std::string user, password;        // no user: "default"; no password: no AUTH
  std::string name = "statelessnf";  // CLIENT SETNAME, seen in CLIENT LIST; no blanks
  std::uint32_t database = 0;
  bool tracked = true;
  std::uint64_t stale_limit_us = 2'000'000;
  std::uint64_t request_timeout_us = 0;  // 0: stale_limit_us, but half a second at least
};

// Offset of the store's clock from ours. Keeps the sample with the least error: half its round trip, plus what two
// clocks may have drifted apart since.
class ClockOffset {
 public:
  void sample(std::uint64_t sent, std::uint64_t received, std::uint64_t store_us);
  std::int64_t offset() const { return offset_; }
  bool due(std::uint64_t now) const { return now - asked_ >= (error_ > poor_us ? retry_us : refresh_us); }
  void asked(std::uint64_t now) { asked_ = now; }

 private:
  static constexpr std::uint64_t refresh_us = 5'000'000, retry_us = 200'000, poor_us = 500;
  static constexpr std::uint64_t drift_per_million = 200;
  std::int64_t offset_ = 0;
  std::uint64_t error_ = 0, taken_ = 0, asked_ = 0;
  bool known_ = false;
};

// Requests that travel together, with their encoded keys; reused.
struct RequestBatch {
  enum class Purpose : std::uint8_t { requests, handshake, time };
  enum class Kind : std::uint8_t { set, pair, put };
  struct Commit {
    Ticket ticket;
    Bytes old;
    Kind kind = Kind::set;
  };
  Purpose purpose = Purpose::requests;
  bool caching = false;        // CLIENT CACHING YES was accepted
  std::uint32_t answered = 0;  // replies that have come
  std::uint64_t sent = 0;      // us
  std::vector<Commit> commits;
  std::vector<Ticket> plain, tracked;
  ByteQueue commit_bytes, plain_bytes, tracked_bytes;
  RequestBatch* next = nullptr;

  std::size_t size() const { return commits.size() + plain.size() + tracked.size(); }
  std::uint32_t unanswered() const;  // replies that the store still has to send
  void clear();
};

class RequestQueue {
 public:
  RequestBatch* front() const { return front_; }
  RequestBatch* back() const { return back_; }
  void push(RequestBatch* batch);
  RequestBatch* pop();

 private:
  RequestBatch *front_ = nullptr, *back_ = nullptr;
};

class ValkeyClient {
 public:
  // A batch leaves when it is full, or when no other is on its way: while the store is busy, requests gather, as each
  // batch costs both sides a wake-up.
  static constexpr std::size_t batch_keys = 100;
  static constexpr unsigned eager_batches = 1, most_batches = 8;

  ValkeyClient(const ValkeyOptions& options, Stats& stats);

  // Requests, as in Store.
  void read(Ticket ticket, const Key& key, bool tracked);
  void commit(Ticket ticket, const Key& key, Bytes old, Bytes fresh, std::uint64_t expire_at);
  void create_pair(Ticket ticket, const Key& key, const Key& partner, Bytes fresh, std::uint64_t expire_at);
  void put(Ticket ticket, const Put& put);

  // The byte interface. All times: us, monotonic.
  void connected(std::uint64_t now);                  // a new connection is there: the handshake becomes pending output
  void poll(std::uint64_t now, StoreEvents& events);  // encodes what is due, notices what is overdue
  Bytes pending() const { return output_.view(); }
  void sent(std::size_t count) { output_.consume(count); }
  std::span<std::uint8_t> space() { return decoder_.space(receive_bytes); }    // receive into this,
  void feed_space(std::size_t count, std::uint64_t now, StoreEvents& events);  // then say how much
  void feed(Bytes bytes, std::uint64_t now, StoreEvents& events);
  // The connection is gone: what was under way is answered `unknown`.
  void lost(std::uint64_t now, std::string_view reason, StoreEvents& events);

  bool alive() const { return state_ != State::down; }  // false while bytes still flow: close the connection
  bool available() const { return state_ == State::up; }
  std::uint64_t trusted_until() const { return trusted_until_; }
  std::int64_t clock_offset() const { return clock_.offset(); }
  std::uint64_t outstanding() const { return outstanding_; }
  const std::string& last_error() const { return last_error_; }  // empty: none since the last connection

 private:
  enum class State : std::uint8_t { down, handshake, up };
  static constexpr std::size_t receive_bytes = 64 << 10;
  static constexpr std::uint64_t least_timeout_us = 500'000, least_ping_us = 25'000;  // for a stale_limit near 0

  RequestBatch* fresh_batch(RequestBatch::Purpose purpose);
  RequestBatch& gathering();
  void recycle(RequestBatch* batch);
  void launch(RequestBatch* batch, std::uint64_t now);
  void encode(RequestBatch& batch);
  void encode_handshake();
  void send_time(std::uint64_t now);
  bool overdue(std::uint64_t now) const;
  void decode(std::uint64_t now, StoreEvents& events);
  // False: the connection is no good, `fault_` says why.
  bool take_push(const Reply& reply, StoreEvents& events);
  bool take_reply(const Reply& reply, std::uint64_t now, StoreEvents& events);
  bool take_handshake(const Reply& reply, const RequestBatch& batch, std::uint64_t now);
  bool take_time(const Reply& reply, const RequestBatch& batch, std::uint64_t now);
  bool take_requests(const Reply& reply, RequestBatch& batch, StoreEvents& events);
  bool take_commit(const Reply& reply, const RequestBatch::Commit& commit, StoreEvents& events);
  bool take_set(const Reply& reply, const RequestBatch::Commit& commit, Answer& answer, Bytes& value);
  bool take_pair(const Reply& reply, Answer& answer);
  bool take_put(const Reply& reply, Answer& answer, Bytes& value);
  bool take_read(const Reply& reply, std::span<const Ticket> tickets, bool tracked, StoreEvents& events);
  bool fault(std::string reason);
  void finish(RequestBatch* batch, std::uint64_t now, StoreEvents& events);
  void answer_unknown(RequestQueue batches, StoreEvents& events);
  void answer_unknown(const RequestBatch& batch, StoreEvents& events);

  ValkeyOptions options_;
  Stats& stats_;
  State state_ = State::down;
  ByteQueue output_;
  Decoder decoder_;
  std::vector<std::unique_ptr<RequestBatch>> batches_;  // owns all
  std::vector<RequestBatch*> spare_;
  RequestQueue waiting_, in_flight_;
  unsigned flying_ = 0;  // batches of requests in flight
  std::uint64_t ping_us_;
  std::uint64_t outstanding_ = 0, last_sent_ = 0, trusted_until_ = 0;
  std::uint32_t handshake_replies_ = 0;
  ClockOffset clock_;
  std::string last_error_, fault_;
  bool was_up_ = false;
};

}  // namespace snf
