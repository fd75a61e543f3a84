// Heartbeats: a pipe's own loop says, every few milliseconds, that it turns, and what it has counted (§4.2: fail over
// as soon as an instance is doubted). docs/heartbeats.md has the format.
// A loop that hangs is silent, whatever hangs it. Nothing here blocks, and a beat that cannot be sent is counted.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "pipe.hpp"
#include "valkey_socket.hpp"

namespace snf {

struct BeatOptions {
  std::vector<SocketAddress> targets;  // UDP
  std::array<std::uint8_t, 16> token = {};
  std::uint64_t interval_ns = 5'000'000;
  std::uint16_t pipe = 0, pipes = 1;
};

inline constexpr std::size_t beat_size = 128;

// Counts a thread's turns for another one to see that it turns.
class alignas(64) Turns {
 public:
  void turn() { count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }
  std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> count_{0};
};

// Where one listener is told. Connected as soon as there is a way to it.
class BeatTarget {
 public:
  explicit BeatTarget(const SocketAddress& address) : address_(address) {}
  // False where it could not be sent.
  bool send(const std::uint8_t* bytes, std::size_t size);

 private:
  bool connect();
  SocketAddress address_;
  Descriptor socket_;
};

// The heart of one pipe; everything is called by the thread that processes.
class Heart {
 public:
  // `receiver`: turns of the pipe's other thread, null if there is none. Everything outlives the heart.
  Heart(const BeatOptions& options, const Pipe& pipe, Port& port, Stats& stats, const Turns* receiver);
  // At the beginning of each turn of the loop. `worked`: the turn before had packets.
  void turn(std::uint64_t now_ns, bool worked) {
    if (worked) busy_ns_ += now_ns - before_;
    before_ = now_ns;
    if (now_ns >= due_) beat(now_ns);
  }
  // At once, with the flag `stopping`.
  void stopping(std::uint64_t now_ns);
  // ns from `now_ns` until the next beat.
  std::uint64_t wait_ns(std::uint64_t now_ns) const { return due_ > now_ns ? due_ - now_ns : 0; }

 private:
  static constexpr std::uint64_t missed_period_ns = 1'000'000'000;  // asking the device is a system call
  void beat(std::uint64_t now_ns);
  bool receiver_turns(std::uint64_t now_ns);
  void send(std::uint64_t now_ns, std::uint8_t flags);
  std::array<std::uint8_t, beat_size> written(std::uint64_t now_ns, std::uint8_t flags);

  const BeatOptions options_;
  const Pipe& pipe_;
  Port& port_;
  Stats& stats_;
  const Turns* receiver_;
  std::vector<BeatTarget> targets_;
  std::uint64_t before_ = 0, busy_ns_ = 0, due_ = 0, sequence_ = 0;
  std::uint64_t turns_ = 0, turned_at_ = 0;  // of the receiver
  std::uint64_t missed_ = 0, missed_due_ = 0;
};

}  // namespace snf
