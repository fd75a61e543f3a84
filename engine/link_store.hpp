// A store whose bytes somebody else carries: the sans-I/O client with its input queued until the next poll.
// For simulation: the same client code as over a socket, but every delay, order and loss is the caller's choice.
#pragma once
#include <string>
#include <vector>

#include "valkey_client.hpp"

namespace snf {

class LinkStore final : public Store {
 public:
  LinkStore(const ValkeyOptions& options, Stats& stats) : client_(options, stats) {}

  void connected(std::uint64_t now) { client_.connected(now); }
  void lose() { lost_ = true; }
  void input(Bytes bytes) { input_.insert(input_.end(), bytes.begin(), bytes.end()); }
  std::string output() {
    const Bytes pending = client_.pending();
    std::string bytes(pending.begin(), pending.end());
    client_.sent(pending.size());
    return bytes;
  }

  void read(Ticket ticket, const Key& key, bool tracked) override { client_.read(ticket, key, tracked); }
  void commit(Ticket ticket, const Key& key, Bytes old, Bytes fresh, std::uint64_t expire_at) override {
    client_.commit(ticket, key, old, fresh, expire_at);
  }
  void create_pair(Ticket ticket, const Key& key, const Key& partner, Bytes fresh, std::uint64_t expire_at) override {
    client_.create_pair(ticket, key, partner, fresh, expire_at);
  }
  void put(Ticket ticket, const Put& put) override { client_.put(ticket, put); }
  void poll(std::uint64_t now, StoreEvents& events) override {
    if (!input_.empty()) client_.feed(input_, now, events);
    input_.clear();
    if (lost_) client_.lost(now, "cut by the simulation", events);
    lost_ = false;
    client_.poll(now, events);
  }
  bool available() const override { return client_.available(); }
  std::uint64_t trusted_until() const override { return client_.trusted_until(); }
  std::int64_t clock_offset() const override { return client_.clock_offset(); }
  std::uint64_t outstanding() const override { return client_.outstanding(); }
  const std::string& last_error() const { return client_.last_error(); }

 private:
  ValkeyClient client_;
  std::vector<std::uint8_t> input_;
  bool lost_ = false;
};

}  // namespace snf
