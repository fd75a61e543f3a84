// Heartbeats on loopback: what they say, that an idle pipe has them in time, and that whatever hangs is silent.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <poll.h>

#include <cstring>
#include <optional>
#include <thread>

#include "memory_port.hpp"
#include "tally.hpp"
#include "worker.hpp"

using namespace snf;

namespace {

constexpr std::uint64_t interval_ms = 5;
constexpr int silence_ms = 60, patience_ms = 5000;

struct Heard {
  std::vector<std::uint8_t> bytes;
  template <typename T>
  T at(std::size_t offset) const {
    T value;
    std::memcpy(&value, &bytes.at(offset), sizeof value);
    return value;
  }
  bool stopping() const { return (bytes[5] & 4) != 0; }
};

class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t size = sizeof address;
    REQUIRE(getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  std::string address() const { return "tcp:127.0.0.1:" + std::to_string(port_); }
  // The next one; nothing: none came for so long.
  std::optional<Heard> next(int milliseconds = patience_ms) {
    pollfd wait = {socket_.get(), POLLIN, 0};
    if (poll(&wait, 1, milliseconds) <= 0) return std::nullopt;
    Heard heard{std::vector<std::uint8_t>(256)};
    const ssize_t size = recv(socket_.get(), heard.bytes.data(), heard.bytes.size(), 0);
    REQUIRE(size > 0);
    heard.bytes.resize(static_cast<std::size_t>(size));
    return heard;
  }
  // What is there is read until nothing comes for a while. False: beats go on.
  bool falls_silent() {
    const std::uint64_t until = monotonic_ns() + patience_ms * 1'000'000ull;
    while (monotonic_ns() < until) {
      if (!next(silence_ms)) return true;
    }
    return false;
  }

 private:
  Descriptor socket_;
  std::uint16_t port_ = 0;
};

// A gate that a thread may be kept waiting at.
class Gate {
 public:
  void pass() {
    while (shut_.load()) {
      waiting_ = true;
      std::this_thread::yield();
    }
    waiting_ = false;
  }
  void shut() { shut_ = true; }
  void open() { shut_ = false; }
  bool somebody_waits() const { return waiting_; }

 private:
  std::atomic<bool> shut_{false}, waiting_{false};
};

Gate function_gate;

void gated_burst(Job* jobs, std::uint64_t number, const Table* tables, std::uint64_t services) {
  function_gate.pass();
  tally::burst(jobs, number, tables, services);
}

// A memory port whose reception can hang, and, where it `blocks`, with nothing that would wake a waiting thread.
class HangingPort final : public Port {
 public:
  MemoryPort memory{256, 128};
  Gate gate;
  bool blocks = false;

  unsigned receive(Frame* frames, unsigned room) override {
    gate.pass();
    return memory.receive(frames, room);
  }
  unsigned transmit(Side to, const Frame* frames, unsigned count) override {
    return memory.transmit(to, frames, count);
  }
  void release(const Frame* frames, unsigned count) override { memory.release(frames, count); }
  Frame allocate() override { return memory.allocate(); }
  std::uint64_t missed() override { return 77; }
  int wait_descriptor(Side) override { return blocks ? -2 : -1; }
};

struct Beating {
  Listener listener;
  HangingPort port;
  Keys keys{1, 2};
  Worker worker;

  explicit Beating(unsigned threads, std::vector<std::string> others = {})
      : worker(
            options(), threads, port, keys, [](Stats&) { return nullptr; },
            std::make_shared<Program>(tally::record_size, &gated_burst), std::make_shared<TableSet>(), [] {}) {
    BeatOptions beats;
    for (const std::string& other : others) beats.targets.emplace_back(other);
    beats.targets.emplace_back(listener.address());
    for (std::uint8_t i = 0; i < 16; ++i) beats.token[i] = i;
    beats.interval_ns = interval_ms * 1'000'000;
    beats.pipe = 2;
    beats.pipes = 3;
    worker.beat(beats);
  }
  static PipeOptions options() {
    PipeOptions options;
    options.mode = Mode::baseline;
    options.limits.packets = options.limits.flows = options.limits.flights = 256;
    options.clock = &monotonic_ns;
    return options;
  }
  void inject(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      const auto frame = tally::frame(i % 4 == 0 ? tally::refuse : tally::count, 1, static_cast<std::uint8_t>(i % 5));
      REQUIRE(port.memory.inject(frame, i % 2 == 0 ? Side::inside : Side::outside, i));
    }
  }
  void await_received(std::uint64_t packets) {
    const Stats& stats = worker.stats();
    while (stats.received[0].get() + stats.received[1].get() < packets) std::this_thread::yield();
  }
};

// The last beat of a worker that stops.
Heard stopped(Beating& beating) {
  beating.worker.stop();
  std::optional<Heard> last, next;
  while ((next = beating.listener.next(0))) last = next;
  REQUIRE(last);
  return *last;
}

}  // namespace

TEST_CASE("beat: each one says who it is from, and the last one all that was counted") {
  for (const unsigned threads : {1u, 2u}) {
    Beating beating(threads);
    const std::uint64_t began = monotonic_ns();
    beating.worker.start();
    beating.inject(40);
    beating.await_received(40);
    for (std::uint64_t expected = 1; expected <= 4; ++expected) {
      const auto heard = beating.listener.next();
      REQUIRE(heard);
      REQUIRE(heard->bytes.size() == beat_size);
      CHECK(std::memcmp(heard->bytes.data(), "SNFB\1", 5) == 0);
      CHECK((heard->bytes[5] & 2) != 0);
      CHECK(!heard->stopping());
      CHECK(heard->at<std::uint16_t>(6) == 2);
      CHECK(heard->at<std::uint16_t>(8) == 3);
      for (std::size_t i = 0; i < 6; ++i) CHECK(heard->bytes[10 + i] == 0);
      for (std::uint8_t i = 0; i < 16; ++i) CHECK(heard->bytes[16 + i] == i);
      CHECK(heard->at<std::uint64_t>(32) == expected);
      CHECK(heard->at<std::uint64_t>(40) >= began);
      CHECK(heard->at<std::uint64_t>(40) <= monotonic_ns());
    }
    beating.worker.pipe().admit(false);
    const Heard last = stopped(beating);
    CHECK(last.bytes[5] == (1 | 4));
    CHECK(last.at<std::uint64_t>(48) == 40);
    CHECK(last.at<std::uint64_t>(56) == 40 * 54);
    CHECK(last.at<std::uint64_t>(64) == 30);
    CHECK(last.at<std::uint64_t>(72) == 10);
    CHECK(last.at<std::uint64_t>(80) == 77);
    CHECK(last.at<std::uint64_t>(88) > 0);
    CHECK(last.at<std::uint64_t>(88) < monotonic_ns() - began);
    CHECK(last.at<std::uint64_t>(96) > 0);
    CHECK(last.at<std::uint64_t>(96) < 40 * (monotonic_ns() - began));
    CHECK(last.at<std::uint64_t>(104) == 30);
    CHECK(last.at<std::uint64_t>(112) == 5);
    CHECK(last.at<std::uint64_t>(120) == 5);
    CHECK(beating.worker.stats().beats_lost.get() == 0);
  }
}

TEST_CASE("beat: a pipe that sleeps wakes for it") {
  for (const unsigned threads : {1u, 2u}) {
    Beating beating(threads);
    beating.port.blocks = true;
    beating.worker.start();
    const auto first = beating.listener.next();
    for (unsigned i = 0; i < 60; ++i) REQUIRE(beating.listener.next());
    const auto last = beating.listener.next();
    REQUIRE((first && last));
    const std::uint64_t taken = last->at<std::uint64_t>(40) - first->at<std::uint64_t>(40);
    CHECK(taken >= 60 * interval_ms * 1'000'000);  // 61 intervals, one of which may have been short
    CHECK(taken < 3'000'000'000);                  // it blocks for 0.1 s otherwise: 6 s
  }
}

TEST_CASE("beat: a function that hangs, or a port, means silence until it goes on") {
  for (const unsigned threads : {1u, 2u}) {
    for (const bool in_function : {true, false}) {
      Beating beating(threads);
      Gate& gate = in_function ? function_gate : beating.port.gate;
      beating.worker.start();
      REQUIRE(beating.listener.next());
      gate.shut();
      beating.inject(1);
      while (!gate.somebody_waits()) std::this_thread::yield();
      CHECK(beating.listener.falls_silent());
      gate.open();
      CHECK(beating.listener.next());
    }
  }
}

TEST_CASE("beat: a target that cannot be reached keeps it neither from the pipe's work nor from the others") {
  Beating beating(1, {"tcp:255.255.255.255:9"});  // refused by the system: it needs a socket option
  beating.worker.start();
  for (unsigned i = 0; i < 3; ++i) CHECK(beating.listener.next());
  beating.inject(8);
  beating.await_received(8);
  CHECK(stopped(beating).stopping());
  CHECK(beating.worker.stats().beats_lost.get() >= 3);
}
