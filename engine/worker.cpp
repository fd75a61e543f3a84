#include "worker.hpp"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>

namespace snf {

namespace {

constexpr std::uint64_t quiet_timeout_ns = 100'000'000;  // the store is pinged several times a second
constexpr std::uint64_t waiting_timeout_ns = 1'000'000;  // something is in flight
constexpr std::uint64_t drain_ns = 200'000'000;

}  // namespace

std::uint64_t monotonic_ns() {
  using std::chrono::duration_cast, std::chrono::nanoseconds, std::chrono::steady_clock;
  return static_cast<std::uint64_t>(duration_cast<nanoseconds>(steady_clock::now().time_since_epoch()).count());
}

void Idler::idle(std::uint64_t now_ns, int store, std::uint64_t timeout_ns) {
  if (quiet_since_ == 0) {
    quiet_since_ = now_ns;
    nap_ns_ = 0;
  }
  if (now_ns < quiet_since_ + patience_ns) {
    sched_yield();
    return;
  }
  block(store, timeout_ns);
}

void Idler::block(int store, std::uint64_t timeout_ns) {
  pollfd wait[4] = {{stop_, POLLIN, 0},
                    {port_.wait_descriptor(Side::inside), POLLIN, 0},
                    {port_.wait_descriptor(Side::outside), POLLIN, 0},
                    {store, POLLIN, 0}};
  if (wait[1].fd == -1 || wait[2].fd == -1) {  // a port that can only be polled
    nap_ns_ = std::min(nap_ns_ + nap_ns_ / 4 + 10'000, longest_nap_ns);
    std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(nap_ns_, timeout_ns)));
    return;
  }
  if (!port_.prepare_wait()) return;
  constexpr std::uint64_t second = 1'000'000'000;
  const timespec longest = {static_cast<time_t>(timeout_ns / second), static_cast<long>(timeout_ns % second)};
  ppoll(wait, 4, &longest, nullptr);
}

Worker::Worker(const PipeOptions& options, unsigned threads, Port& port, const Keys& keys,
               std::function<std::unique_ptr<Store>(Stats&)> make_store, std::shared_ptr<const Program> program,
               std::shared_ptr<const TableSet> tables, std::function<void()> start_thread)
    : port_(port),
      start_thread_(std::move(start_thread)),
      stats_(std::make_unique<Stats>()),
      ring_(threads > 1 ? std::make_unique<RingPort>(port) : nullptr),
      stop_event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!stop_event_.open()) throw std::system_error(errno, std::generic_category(), "eventfd");
  Port& source = ring_ ? static_cast<Port&>(*ring_) : port;
  pipe_ = std::make_unique<Pipe>(options, source, keys, make_store(*stats_), std::move(program), std::move(tables),
                                 *stats_);
}

void Worker::beat(const BeatOptions& options) {
  Port& source = ring_ ? static_cast<Port&>(*ring_) : port_;
  heart_ = std::make_unique<Heart>(options, *pipe_, source, *stats_, ring_ ? &received_ : nullptr);
  beat_ns_ = options.interval_ns;
}

void Worker::start() {
  receiving_ = ring_ != nullptr;
  processor_ = std::thread([this] { process(); });
  if (ring_) receiver_ = std::thread([this] { receive(); });
}

void Worker::stop() {
  if (stopping_.exchange(true)) return;
  const std::uint64_t one = 1;
  if (write(stop_event_.get(), &one, sizeof one) < 0) stopping_ = true;  // the time-out of poll ends the wait, too
  if (receiver_.joinable()) receiver_.join();
  if (processor_.joinable()) processor_.join();
}

void Worker::receive() {
  pthread_setname_np(pthread_self(), thread_name);
  start_thread_();
  Idler idler(port_, stop_event_.get());
  const std::uint64_t longest = heart_ ? std::min(quiet_timeout_ns, beat_ns_) : quiet_timeout_ns;
  while (!stopping_.load(std::memory_order_relaxed)) {
    received_.turn();
    if (ring_->pump() > 0) {
      idler.busy();
    } else {
      idler.idle(monotonic_ns(), -1, longest);
    }
  }
  const std::uint64_t until = monotonic_ns() + drain_ns;
  while (ring_->pump() > 0 && monotonic_ns() < until) {
  }
  receiving_.store(false, std::memory_order_release);
}

void Worker::process() {
  pthread_setname_np(pthread_self(), thread_name);
  start_thread_();
  Port& source = ring_ ? static_cast<Port&>(*ring_) : port_;
  Idler idler(source, stop_event_.get());
  bool worked = false;
  while (!stopping_.load(std::memory_order_relaxed)) {
    const std::uint64_t now = monotonic_ns();
    if (heart_) heart_->turn(now, worked);
    worked = pipe_->step(now) > 0;
    if (worked) {
      idler.busy();
    } else {
      const int store = pipe_->store() != nullptr ? pipe_->store()->descriptor() : -1;
      idler.idle(now, store, wait_ns(now));
    }
  }
  if (heart_) heart_->stopping(monotonic_ns());  // before what may take a while
  drain();
  if (heart_) heart_->stopping(monotonic_ns());  // with all that was counted
}

std::uint64_t Worker::wait_ns(std::uint64_t now_ns) const {
  const std::uint64_t wait = pipe_->idle() ? quiet_timeout_ns : waiting_timeout_ns;
  return heart_ ? std::min(wait, heart_->wait_ns(now_ns)) : wait;
}

// Traffic goes elsewhere by now, but what came before may still wait in the port: all of it is processed, and what the
// receiving thread has taken from there, until it has ended and its queue is empty.
void Worker::drain() {
  const std::uint64_t until = monotonic_ns() + drain_ns;
  bool more = true;
  while ((more || !pipe_->idle()) && monotonic_ns() < until) {
    const bool receiving = receiving_.load(std::memory_order_acquire);
    const unsigned received = pipe_->step(monotonic_ns());
    more = received > 0 || (ring_ && receiving);
    if (received == 0) sched_yield();
  }
  pipe_->abandon();
}

}  // namespace snf
