// The threads of a pipe, in both shapes: start, traffic from another thread, stop; every packet has an end.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <thread>

#include "memory_port.hpp"
#include "tally.hpp"
#include "worker.hpp"

using namespace snf;

namespace {

// A store in the pipe's own thread that answers in the poll after the request.
class LocalStore final : public Store {
 public:
  void read(Ticket ticket, const Key& key, bool tracked) override {
    due_.push_back([=, this, name = text(key.view())](StoreEvents& events) {
      const auto found = values_.find(name);
      if (found == values_.end()) return events.on_read(ticket, Answer::absent, {}, false);
      events.on_read(ticket, Answer::found, bytes(found->second), tracked);
    });
  }
  void commit(Ticket ticket, const Key& key, Bytes old, Bytes fresh, std::uint64_t) override {
    due_.push_back([=, this, name = text(key.view()), value = text(fresh)](StoreEvents& events) {
      std::string& stands = values_[name];
      if (stands != text(old)) return events.on_commit(ticket, Answer::conflict, bytes(stands));
      stands = value;
      events.on_commit(ticket, Answer::written, {});
    });
  }
  void create_pair(Ticket, const Key&, const Key&, Bytes, std::uint64_t) override { REQUIRE(false); }
  void put(Ticket, const Put&) override { REQUIRE(false); }
  void poll(std::uint64_t, StoreEvents& events) override {
    const auto due = std::exchange(due_, {});
    for (const auto& hand_over : due) hand_over(events);
  }
  bool available() const override { return true; }
  std::uint64_t trusted_until() const override { return ~std::uint64_t{0}; }
  std::int64_t clock_offset() const override { return 1; }
  std::uint64_t outstanding() const override { return due_.size(); }

 private:
  static std::string text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  static Bytes bytes(const std::string& text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
  }
  std::map<std::string, std::string> values_;
  std::vector<std::function<void(StoreEvents&)>> due_;
};

struct Running {
  MemoryPort port{256, 128};
  Keys keys{1, 2};
  std::atomic<unsigned> threads{0};
  std::atomic<bool> held{false};  // its threads do not begin yet
  Worker worker;

  explicit Running(unsigned shape)
      : worker(
            options(), shape, port, keys, [](Stats&) { return std::make_unique<LocalStore>(); },
            std::make_shared<Program>(tally::record_size, &tally::burst), std::make_shared<TableSet>(),
            [this] {
              ++threads;
              while (held) std::this_thread::yield();
            }) {}
  static PipeOptions options() {
    PipeOptions options;
    options.mode = Mode::tracked;
    options.limits.packets = options.limits.flows = options.limits.flights = 256;
    options.nonce = 1ull << 32;
    options.captured = 256;
    return options;
  }
};

constexpr unsigned packets = 3000;

// Injects as the port has room, until `packets` have left; gives how many.
unsigned drive(Running& running) {
  unsigned injected = 0, left = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (left < packets && std::chrono::steady_clock::now() < until) {
    const auto order = injected % 3 == 0 ? tally::count : tally::ask;
    const bool room =
        injected < packets && running.port.inject(tally::frame(order, 1, injected % 5), Side::inside, injected);
    if (room) ++injected;
    left += static_cast<unsigned>(running.port.collect().size());
    if (!room) std::this_thread::yield();
  }
  return left;
}

}  // namespace

TEST_CASE("worker: traffic goes through, in one thread and in two") {
  for (const unsigned shape : {1u, 2u}) {
    Running running(shape);
    running.worker.start();
    for (std::uint8_t flow = 0; flow < 5; ++flow)
      running.port.inject(tally::frame(tally::count, 1, flow), Side::inside, 0);
    CHECK(drive(running) >= packets);
    running.worker.pipe().swap_tables(std::make_shared<TableSet>());
    running.worker.pipe().admit(false);
    CHECK(running.worker.stats().received[0].get() >= packets);  // read while the threads run
    running.worker.stop();
    CHECK(running.threads == shape);
    CHECK(running.port.lent() == 0);
  }
}

TEST_CASE("worker: what has come before it stops leaves or is dropped under a name, and every frame comes back") {
  for (const unsigned shape : {1u, 2u}) {
    for (unsigned round = 0; round < 5; ++round) {
      Running running(shape);
      running.worker.start();
      for (std::uint8_t i = 0; i < 200; ++i) running.port.inject(tally::frame(tally::count, i, i), Side::inside, i);
      while (running.worker.stats().received[0].get() == 0) std::this_thread::yield();
      running.worker.stop();
      const std::uint64_t received = running.worker.stats().received[0].get();
      CHECK(received == running.port.collect().size() + running.worker.stats().dropped());
      CHECK(running.port.lent() == 0);
      CHECK(received == 200);
    }
  }
}

TEST_CASE("worker: what waits in the port when it is told to stop is processed") {
  for (const unsigned shape : {1u, 2u}) {
    Running running(shape);
    running.held = true;
    running.worker.start();
    for (std::uint8_t i = 0; i < 200; ++i) running.port.inject(tally::frame(tally::count, i, i), Side::inside, i);
    std::thread later([&] {
      for (unsigned turn = 0; turn < 1000; ++turn) std::this_thread::yield();  // by then it has been told
      running.held = false;
    });
    running.worker.stop();
    later.join();
    CHECK(running.worker.stats().received[0].get() == 200);
    CHECK(running.port.collect().size() + running.worker.stats().dropped() == 200);
    CHECK(running.port.lent() == 0);
  }
}

TEST_CASE("worker: may be stopped twice, or without having been started") {
  Running idle(2);
  idle.worker.stop();
  Running running(1);
  running.worker.start();
  running.worker.stop();
  running.worker.stop();
  CHECK(running.worker.stats().received[0].get() == 0);
}
