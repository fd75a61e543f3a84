// The Valkey store over a Unix or TCP socket: the sans-I/O client, a non-blocking connection, and coming back to it.
// Nothing here blocks: connecting, too, is waited for by polling. After a failure the next attempt comes 10 ms to 500
// ms later, doubling, with jitter, so that a thousand pipes do not all come back at once.
#pragma once
#include <sys/socket.h>

#include <utility>

#include "valkey_client.hpp"

namespace snf {

// A numeric address: names are resolved in the control plane. Throws std::invalid_argument.
struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
  explicit SocketAddress(const std::string& text);
};

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~Descriptor() { reset(); }
  void reset(int fd = -1);
  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

class ValkeyStore final : public Store {
 public:
  // Throws std::invalid_argument for an address that cannot be one. Connects on the first poll.
  ValkeyStore(const ValkeyOptions& options, Stats& stats);

  void read(Ticket ticket, const Key& key, bool tracked) override { client_.read(ticket, key, tracked); }
  void commit(Ticket ticket, const Key& key, Bytes old, Bytes fresh, std::uint64_t expire_at) override {
    client_.commit(ticket, key, old, fresh, expire_at);
  }
  void create_pair(Ticket ticket, const Key& key, const Key& partner, Bytes fresh, std::uint64_t expire_at) override {
    client_.create_pair(ticket, key, partner, fresh, expire_at);
  }
  void put(Ticket ticket, const Put& put) override { client_.put(ticket, put); }
  void poll(std::uint64_t now, StoreEvents& events) override;
  bool available() const override { return client_.available(); }
  std::uint64_t trusted_until() const override { return client_.trusted_until(); }
  std::int64_t clock_offset() const override { return client_.clock_offset(); }
  int descriptor() const override { return socket_.get(); }
  std::uint64_t outstanding() const override { return client_.outstanding(); }
  // Why there is no connection; empty while there is one. For display.
  const std::string& last_error() const { return last_error_; }

 private:
  static constexpr std::uint64_t first_pause_us = 10'000, longest_pause_us = 500'000;
  static constexpr std::uint64_t connect_timeout_us = 1'000'000;
  static constexpr unsigned most_receives = 16;  // in one poll, so that a store cannot hold the pipe

  void open(std::uint64_t now);
  void finish_connecting(std::uint64_t now);
  void receive(std::uint64_t now, StoreEvents& events);
  void send(std::uint64_t now, StoreEvents& events);
  void close(std::uint64_t now, std::string reason);
  std::uint64_t jittered(std::uint64_t pause);

  SocketAddress address_;
  ValkeyClient client_;
  Descriptor socket_;
  bool connecting_ = false;
  std::uint64_t retry_at_ = 0, connect_until_ = 0, pause_ = first_pause_us, random_;
  std::string last_error_;
};

}  // namespace snf
