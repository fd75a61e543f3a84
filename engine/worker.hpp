// The threads of one pipe: one that does everything, or two with a queue between them (§5.1).
// On an empty poll a thread yields; after some silence it blocks until a packet, the store, or `stop` wakes it.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "beat.hpp"
#include "pipe.hpp"
#include "ring_port.hpp"

namespace snf {

// Blocks a thread that has had nothing to do for a while. Without descriptors to wait for it sleeps, longer each time.
class Idler {
 public:
  Idler(Port& port, int stop) : port_(port), stop_(stop) {}
  void busy() { quiet_since_ = 0; }
  // timeout_ns: longest sleep; store: descriptor or -1.
  void idle(std::uint64_t now_ns, int store, std::uint64_t timeout_ns);

 private:
  void block(int store, std::uint64_t timeout_ns);
  static constexpr std::uint64_t patience_ns = 300'000;
  static constexpr std::uint64_t longest_nap_ns = 1'000'000;
  Port& port_;
  int stop_;
  std::uint64_t quiet_since_ = 0, nap_ns_ = 0;
};

class Worker {
 public:
  static constexpr const char* thread_name = "snf-pipe";  // of each of its threads: who watches for their end asks
  // `threads`: 1 or 2. `port` and `keys` outlive the worker; `start_thread` is called first in each thread.
  Worker(const PipeOptions& options, unsigned threads, Port& port, const Keys& keys,
         std::function<std::unique_ptr<Store>(Stats&)> make_store, std::shared_ptr<const Program> program,
         std::shared_ptr<const TableSet> tables, std::function<void()> start_thread);
  ~Worker() { stop(); }
  // Before `start`: from then on each interval has its beat.
  void beat(const BeatOptions& options);
  void start();
  // Ends the threads; what is in flight gets a moment to finish and is then dropped under `stopped`.
  void stop();
  Pipe& pipe() { return *pipe_; }
  const Stats& stats() const { return *stats_; }

 private:
  void process();
  void receive();
  void drain();
  std::uint64_t wait_ns(std::uint64_t now_ns) const;

  Port& port_;
  std::function<void()> start_thread_;
  std::unique_ptr<Stats> stats_;
  std::unique_ptr<RingPort> ring_;  // with two threads
  std::unique_ptr<Pipe> pipe_;
  Turns received_;  // of the receiving thread
  std::unique_ptr<Heart> heart_;
  std::uint64_t beat_ns_ = 0;  // its interval; 0: there is none
  Descriptor stop_event_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> receiving_{false};  // the receiving thread may still put frames into the ring
  std::thread receiver_, processor_;
};

std::uint64_t monotonic_ns();

}  // namespace snf
