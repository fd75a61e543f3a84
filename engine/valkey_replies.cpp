// The Valkey client: replies and pushes taken apart. Whatever does not answer what was asked is a fault of the
// connection, never of the engine.
#include <algorithm>
#include <charconv>

#include "valkey_client.hpp"

namespace snf {

namespace {

bool has_prefix(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

Answer answer_of_error(std::string_view text) { return has_prefix(text, "OOM ") ? Answer::full : Answer::error; }

bool parse_number(std::string_view text, std::uint64_t limit, std::uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value < limit;
}

// TIME: an array of seconds and microseconds.
bool parse_time(const Reply& reply, std::uint64_t& store_us) {
  const std::span<const RespNode> nodes = reply.nodes();
  if (nodes.size() != 3 || nodes[0].kind != RespKind::array || nodes[1].kind != RespKind::bulk ||
      nodes[2].kind != RespKind::bulk) {
    return false;
  }
  std::uint64_t seconds = 0, micros = 0;
  if (!parse_number(reply.text(nodes[1]), 1'000'000'000'000, seconds)) return false;
  if (!parse_number(reply.text(nodes[2]), 1'000'000, micros)) return false;
  store_us = seconds * 1'000'000 + micros;
  return true;
}

bool same(Bytes a, Bytes b) { return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()); }

}  // namespace

void ValkeyClient::feed(Bytes bytes, std::uint64_t now, StoreEvents& events) {
  if (state_ == State::down) return;
  decoder_.append(bytes);
  decode(now, events);
}

void ValkeyClient::feed_space(std::size_t count, std::uint64_t now, StoreEvents& events) {
  if (state_ == State::down) return;
  decoder_.produce(count);
  decode(now, events);
}

void ValkeyClient::decode(std::uint64_t now, StoreEvents& events) {
  Reply reply;
  for (;;) {
    const Decoder::Status status = decoder_.next(reply);
    if (status == Decoder::Status::partial) return;
    if (status == Decoder::Status::broken) return lost(now, "the store sent malformed RESP3", events);
    const bool good = reply.root().kind == RespKind::push ? take_push(reply, events) : take_reply(reply, now, events);
    if (!good) return lost(now, std::string(fault_), events);
  }
}

bool ValkeyClient::fault(std::string reason) {
  fault_ = std::move(reason);
  return false;
}

// ["invalidate", [key ...]] or ["invalidate", nil]; other kinds of push are none of ours.
bool ValkeyClient::take_push(const Reply& reply, StoreEvents& events) {
  const std::span<const RespNode> nodes = reply.nodes();
  if (nodes.size() < 2 || (nodes[1].kind != RespKind::bulk && nodes[1].kind != RespKind::text)) {
    return fault("the store sent a push without a name");
  }
  if (reply.text(nodes[1]) != "invalidate") return true;
  if (nodes[0].count != 2) return fault("the store sent a malformed invalidation");
  if (nodes[2].kind == RespKind::nil) {
    events.on_invalidate_all();
    return true;
  }
  const std::span<const RespNode> keys = nodes.subspan(3);
  const bool bulks =
      std::all_of(keys.begin(), keys.end(), [](const RespNode& key) { return key.kind == RespKind::bulk; });
  if (nodes[2].kind != RespKind::array || !bulks) return fault("the store sent a malformed invalidation");
  for (const RespNode& key : keys) events.on_invalidate(reply.bytes(key));
  return true;
}

bool ValkeyClient::take_reply(const Reply& reply, std::uint64_t now, StoreEvents& events) {
  RequestBatch* const batch = in_flight_.front();
  if (batch == nullptr) return fault("the store sent a reply to no request");
  bool good = false, last = true;
  switch (batch->purpose) {
    case RequestBatch::Purpose::handshake:
      good = take_handshake(reply, *batch, now);
      last = ++batch->answered == handshake_replies_;
      break;
    case RequestBatch::Purpose::time:
      good = take_time(reply, *batch, now);
      break;
    case RequestBatch::Purpose::requests:
      good = take_requests(reply, *batch, events);
      last = batch->unanswered() == 0;
      break;
  }
  if (good && last) finish(in_flight_.pop(), now, events);
  return good;
}

void ValkeyClient::finish(RequestBatch* batch, std::uint64_t now, StoreEvents& events) {
  if (batch->purpose == RequestBatch::Purpose::handshake) {
    state_ = State::up;
    if (was_up_) stats_.reconnects.add();
    was_up_ = true;
    last_error_.clear();
    events.on_invalidate_all();
  }
  if (batch->purpose == RequestBatch::Purpose::requests) {
    --flying_;
    stats_.store_latency.add((now - batch->sent) * 1000);
  }
  trusted_until_ = std::max(trusted_until_, batch->sent + options_.stale_limit_us);
  recycle(batch);
}

// Any error refuses the connection, with the store's own words: -LOADING, -NOAUTH, -WRONGPASS, -NOPERM, -NOPROTO.
bool ValkeyClient::take_handshake(const Reply& reply, const RequestBatch& batch, std::uint64_t now) {
  const RespNode& root = reply.root();
  if (root.kind == RespKind::error) {
    return fault("the store refused the connection: " + std::string(reply.text(root)));
  }
  if (batch.answered == 0 && root.kind != RespKind::map) return fault("the store does not speak RESP3");
  if (batch.answered + 1 == handshake_replies_) return take_time(reply, batch, now);
  return true;
}

bool ValkeyClient::take_time(const Reply& reply, const RequestBatch& batch, std::uint64_t now) {
  if (reply.root().kind == RespKind::error) {
    return fault("the store refused TIME: " + std::string(reply.text(reply.root())));
  }
  std::uint64_t store_us = 0;
  if (!parse_time(reply, store_us)) return fault("the store sent a malformed TIME");
  clock_.sample(batch.sent, now, store_us);
  return true;
}

std::uint32_t RequestBatch::unanswered() const {
  const std::size_t replies = commits.size() + (plain.empty() ? 0 : 1) + (tracked.empty() ? 0 : 2);
  return static_cast<std::uint32_t>(replies) - answered;
}

// A reply that is not taken leaves its requests unanswered: `lost` answers them.
bool ValkeyClient::take_requests(const Reply& reply, RequestBatch& batch, StoreEvents& events) {
  const std::uint32_t left = batch.unanswered();
  bool good = true;
  if (batch.answered < batch.commits.size()) {
    good = take_commit(reply, batch.commits[batch.answered], events);
  } else if (left == 2 && !batch.tracked.empty()) {  // CLIENT CACHING YES; where it failed, the read is a plain one
    batch.caching = reply.root().kind == RespKind::text;
  } else if (left == 1 && !batch.tracked.empty()) {
    good = take_read(reply, batch.tracked, batch.caching, events);
  } else {
    good = take_read(reply, batch.plain, false, events);
  }
  if (good) ++batch.answered;
  return good;
}

bool ValkeyClient::take_commit(const Reply& reply, const RequestBatch::Commit& commit, StoreEvents& events) {
  Answer answer = Answer::error;
  Bytes value;
  bool good = true;
  if (reply.root().kind == RespKind::error) {
    answer = answer_of_error(reply.text(reply.root()));
  } else if (commit.kind == RequestBatch::Kind::pair) {
    good = take_pair(reply, answer);
  } else if (commit.kind == RequestBatch::Kind::put) {
    good = take_put(reply, answer, value);
  } else {
    good = take_set(reply, commit, answer, value);
  }
  if (!good) return false;
  --outstanding_;
  events.on_commit(commit.ticket, answer, answer == Answer::conflict ? value : Bytes());
  return true;
}

// SET ... GET answers with what stood there before.
bool ValkeyClient::take_set(const Reply& reply, const RequestBatch::Commit& commit, Answer& answer, Bytes& value) {
  const RespNode& before = reply.root();
  if (before.kind == RespKind::nil) {
    answer = commit.old.empty() ? Answer::written : Answer::vanished;
  } else if (before.kind == RespKind::bulk) {
    value = reply.bytes(before);
    answer = !commit.old.empty() && same(value, commit.old) ? Answer::written : Answer::conflict;
  } else {
    return fault("the store sent something else than a value for SET");
  }
  return true;
}

bool ValkeyClient::take_read(const Reply& reply, std::span<const Ticket> tickets, bool tracked, StoreEvents& events) {
  const std::span<const RespNode> nodes = reply.nodes();
  if (nodes[0].kind == RespKind::error) {
    outstanding_ -= tickets.size();
    const Answer answer = answer_of_error(reply.text(nodes[0]));
    for (const Ticket ticket : tickets) events.on_read(ticket, answer, {}, false);
    return true;
  }
  const bool fits = nodes[0].kind == RespKind::array && nodes.size() == tickets.size() + 1;
  const auto is_value = [](const RespNode& node) { return node.kind == RespKind::bulk || node.kind == RespKind::nil; };
  if (!fits || !std::all_of(nodes.begin() + 1, nodes.end(), is_value)) {
    return fault("the store sent something else than the values for MGET");
  }
  outstanding_ -= tickets.size();
  for (std::size_t i = 0; i < tickets.size(); ++i) {
    const RespNode& value = nodes[i + 1];
    const bool found = value.kind == RespKind::bulk;
    events.on_read(tickets[i], found ? Answer::found : Answer::absent, found ? reply.bytes(value) : Bytes(), tracked);
  }
  return true;
}

// What of the batch has not been answered: commits come first, reads last.
void ValkeyClient::answer_unknown(const RequestBatch& batch, StoreEvents& events) {
  if (batch.purpose != RequestBatch::Purpose::requests) return;
  const std::uint32_t left = batch.unanswered();
  const std::size_t after_plain = batch.tracked.empty() ? 0 : 2;
  for (std::size_t i = batch.answered; i < batch.commits.size(); ++i) {
    --outstanding_;
    events.on_commit(batch.commits[i].ticket, Answer::unknown, {});
  }
  if (left > after_plain) {
    outstanding_ -= batch.plain.size();
    for (const Ticket ticket : batch.plain) events.on_read(ticket, Answer::unknown, {}, false);
  }
  outstanding_ -= batch.tracked.size();
  for (const Ticket ticket : batch.tracked) events.on_read(ticket, Answer::unknown, {}, false);
}

}  // namespace snf
