// The Valkey client: requests, connection and timing. The replies are taken apart in valkey_replies.cpp.
#include "valkey_client.hpp"

#include <algorithm>
#include <initializer_list>

namespace snf {

void ClockOffset::sample(std::uint64_t sent, std::uint64_t received, std::uint64_t store_us) {
  const std::uint64_t error = (received - sent) / 2;
  const std::uint64_t aged = error_ + (received - taken_) * drift_per_million / 1'000'000;
  if (known_ && error > aged) return;
  offset_ = static_cast<std::int64_t>(store_us) - static_cast<std::int64_t>(sent + error);
  error_ = error;
  taken_ = received;
  known_ = true;
}

void RequestBatch::clear() {
  caching = false;
  answered = 0;
  commits.clear();
  plain.clear();
  tracked.clear();
  commit_bytes.clear();
  plain_bytes.clear();
  tracked_bytes.clear();
}

void RequestQueue::push(RequestBatch* batch) {
  batch->next = nullptr;
  (back_ == nullptr ? front_ : back_->next) = batch;
  back_ = batch;
}

RequestBatch* RequestQueue::pop() {
  RequestBatch* const batch = front_;
  front_ = batch->next;
  if (front_ == nullptr) back_ = nullptr;
  return batch;
}

ValkeyClient::ValkeyClient(const ValkeyOptions& options, Stats& stats)
    : options_(options), stats_(stats), ping_us_(std::max(options.stale_limit_us / 4, least_ping_us)) {
  if (options_.request_timeout_us == 0) {
    options_.request_timeout_us = std::max(options_.stale_limit_us, least_timeout_us);
  }
}

RequestBatch* ValkeyClient::fresh_batch(RequestBatch::Purpose purpose) {
  if (spare_.empty()) {
    batches_.push_back(std::make_unique<RequestBatch>());
    spare_.reserve(batches_.size());
    spare_.push_back(batches_.back().get());
  }
  RequestBatch* const batch = spare_.back();
  spare_.pop_back();
  batch->purpose = purpose;
  return batch;
}

void ValkeyClient::recycle(RequestBatch* batch) {
  batch->clear();
  spare_.push_back(batch);
}

RequestBatch& ValkeyClient::gathering() {
  if (waiting_.back() == nullptr || waiting_.back()->size() >= batch_keys) {
    waiting_.push(fresh_batch(RequestBatch::Purpose::requests));
  }
  ++outstanding_;
  return *waiting_.back();
}

void ValkeyClient::read(Ticket ticket, const Key& key, bool tracked) {
  RequestBatch& batch = gathering();
  const bool behind_caching = tracked && options_.tracked;
  (behind_caching ? batch.tracked : batch.plain).push_back(ticket);
  put_argument(behind_caching ? batch.tracked_bytes : batch.plain_bytes, key.view());
}

// SET key fresh IFEQ old GET PXAT t, or SET key fresh NX GET PXAT t.
void ValkeyClient::commit(Ticket ticket, const Key& key, Bytes old, Bytes fresh, std::uint64_t expire_at) {
  RequestBatch& batch = gathering();
  batch.commits.push_back({ticket, old, RequestBatch::Kind::set});
  ByteQueue& to = batch.commit_bytes;
  static constexpr std::string_view replace = "*8\r\n$3\r\nSET\r\n", create = "*7\r\n$3\r\nSET\r\n";
  static constexpr std::string_view if_equal = "$4\r\nIFEQ\r\n", if_absent = "$2\r\nNX\r\n";
  static constexpr std::string_view get_until = "$3\r\nGET\r\n$4\r\nPXAT\r\n";
  to.append(bytes_of(old.empty() ? create : replace));
  put_argument(to, key.view());
  put_argument(to, fresh);
  to.append(bytes_of(old.empty() ? if_absent : if_equal));
  if (!old.empty()) put_argument(to, old);
  to.append(bytes_of(get_until));
  put_number(to, expire_at);
}

void ValkeyClient::connected(std::uint64_t now) {
  decoder_.clear();
  output_.clear();
  state_ = State::handshake;
  encode_handshake();
  clock_.asked(now);
  launch(fresh_batch(RequestBatch::Purpose::handshake), now);
}

// HELLO first and TIME last: take_handshake relies on it.
void ValkeyClient::encode_handshake() {
  const auto put = [this](std::initializer_list<std::string_view> words) {
    put_words(output_, {words.begin(), words.size()});
    ++handshake_replies_;
  };
  handshake_replies_ = 0;
  const std::string_view user = options_.user.empty() ? std::string_view("default") : options_.user;
  if (options_.password.empty()) put({"HELLO", "3"});
  if (!options_.password.empty()) put({"HELLO", "3", "AUTH", user, options_.password});
  put({"CLIENT", "SETNAME", options_.name});
  if (options_.database != 0) put({"SELECT", std::to_string(options_.database)});
  if (options_.tracked) put({"CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"});
  put({"TIME"});
}

void ValkeyClient::launch(RequestBatch* batch, std::uint64_t now) {
  if (batch->purpose == RequestBatch::Purpose::requests) {
    encode(*batch);
    ++flying_;
  }
  batch->sent = last_sent_ = now;
  in_flight_.push(batch);
}

void ValkeyClient::encode(RequestBatch& batch) {
  static constexpr std::string_view mget = "$4\r\nMGET\r\n";
  static constexpr std::string_view caching = "*3\r\n$6\r\nCLIENT\r\n$7\r\nCACHING\r\n$3\r\nYES\r\n";
  output_.append(batch.commit_bytes.view());
  if (!batch.plain.empty()) {
    put_command(output_, 1 + batch.plain.size());
    output_.append(bytes_of(mget));
    output_.append(batch.plain_bytes.view());
  }
  if (!batch.tracked.empty()) {
    output_.append(bytes_of(caching));  // holds for the next command only
    put_command(output_, 1 + batch.tracked.size());
    output_.append(bytes_of(mget));
    output_.append(batch.tracked_bytes.view());
  }
}

bool ValkeyClient::overdue(std::uint64_t now) const {
  const RequestBatch* const oldest = in_flight_.front();
  return oldest != nullptr && now > oldest->sent + options_.request_timeout_us;
}

void ValkeyClient::poll(std::uint64_t now, StoreEvents& events) {
  if (state_ != State::down && overdue(now)) lost(now, "the store did not answer in time", events);
  if (state_ == State::down) {
    const RequestQueue unsent = waiting_;
    waiting_ = {};
    return answer_unknown(unsent, events);
  }
  if (state_ != State::up) return;
  while (const RequestBatch* const first = waiting_.front()) {
    const unsigned allowed = first->size() >= batch_keys ? most_batches : eager_batches;
    if (flying_ >= allowed) break;
    launch(waiting_.pop(), now);
  }
  if (now - last_sent_ >= ping_us_ || clock_.due(now)) send_time(now);
}

void ValkeyClient::send_time(std::uint64_t now) {
  static constexpr std::string_view time[] = {"TIME"};
  put_words(output_, time);
  clock_.asked(now);
  launch(fresh_batch(RequestBatch::Purpose::time), now);
}

void ValkeyClient::lost(std::uint64_t, std::string_view reason, StoreEvents& events) {
  if (state_ == State::down) return;
  state_ = State::down;
  last_error_ = reason;
  output_.clear();
  flying_ = 0;
  const RequestQueue sent = in_flight_, unsent = waiting_;
  in_flight_ = waiting_ = {};
  answer_unknown(sent, events);
  answer_unknown(unsent, events);
}

// Requests made by these answers wait for the next poll.
void ValkeyClient::answer_unknown(RequestQueue batches, StoreEvents& events) {
  while (batches.front() != nullptr) {
    RequestBatch* const batch = batches.pop();
    answer_unknown(*batch, events);
    recycle(batch);
  }
}

}  // namespace snf
