// One pipe on a memory port with a scripted store and the tally function; time stands still unless the test moves it.
#pragma once
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "memory_port.hpp"
#include "pipe.hpp"
#include "scripted_store.hpp"
#include "tally.hpp"

namespace snf {

struct Rig {
  static constexpr std::uint64_t nonce = 7ull << 32;  // of this pipe; its counter below

  explicit Rig(Mode mode, Limits limits = {}) : keys(1, 2), port(256, 256) {
    auto scripted = mode == Mode::baseline ? nullptr : std::make_unique<ScriptedStore>();
    store = scripted.get();
    PipeOptions options;
    options.mode = mode;
    options.limits = limits;
    options.limits.packets = std::min(limits.packets, 256u);
    options.limits.flows = std::min(limits.flows, 64u);
    options.limits.flights = std::min(limits.flights, 64u);
    options.nonce = nonce;
    options.captured = options.events = 256;
    pipe = std::make_unique<Pipe>(options, port, keys, std::move(scripted),
                                  std::make_shared<Program>(tally::record_size, &tally::burst),
                                  std::make_shared<TableSet>(), stats);
  }
  void send(tally::Order order, std::uint8_t name, std::uint8_t flow = 0, bool spoilt = false) {
    auto frame = tally::frame(order, name, flow);
    if (spoilt) frame[51] ^= 1;  // the TCP checksum
    port.inject(frame, Side::inside, name);
  }
  void step() { pipe->step((now_us += 60) * 1000); }
  // Steps and serves until nothing moves.
  void run() {
    for (int i = 0; i < 20; ++i) {
      step();
      if (store != nullptr) store->serve();
    }
  }
  // What has left since the last call: "1 2" forwarded, "3:queue_full" dropped, "4:denied" by the function.
  std::string out() {
    std::string text;
    const auto add = [&text](const std::string& word) { text += (text.empty() ? "" : " ") + word; };
    for (const auto& sent : port.collect()) add(std::to_string(sent.token));
    for (const auto& drop : pipe->outlet().take_dropped()) {
      add(std::to_string(drop.token) + ":" + std::string(name_of(drop.reason)));
    }
    return text;
  }
  std::size_t events() { return pipe->outlet().take_events().size(); }
  // A record as another instance would write it.
  std::string record(std::uint8_t total, std::uint8_t sum, std::uint64_t writer, std::uint64_t left_ms = 8000) const {
    std::string value(envelope_size, '\0');
    write_envelope(reinterpret_cast<std::uint8_t*>(value.data()), {writer, now_ms() + left_ms});
    return value + std::string{1, static_cast<char>(total), static_cast<char>(sum)};
  }
  std::uint64_t now_ms() const { return (now_us + 1'000'000'000) / 1000; }
  // The only record's (total, sum); "-" where there is none.
  std::string stored() const {
    if (store->values.empty()) return "-";
    const std::string& value = store->values.begin()->second;
    return std::to_string(value[envelope_size + 1]) + "," + std::to_string(value[envelope_size + 2]);
  }
  std::string key() const { return store->requests.front().key; }

  Keys keys;
  MemoryPort port;
  Stats stats;
  ScriptedStore* store;
  std::unique_ptr<Pipe> pipe;
  std::uint64_t now_us = 1'000'000;
};

// A rig whose flow 0 has the record (1, 1) of another instance, found once and then read tracked.
inline void warm(Rig& rig, std::uint64_t writer) {
  rig.send(tally::Order::ask, 100);
  rig.step();
  rig.store->values[rig.key()] = rig.record(1, 1, writer);
  rig.run();
  rig.send(tally::Order::ask, 101);
  rig.run();
  REQUIRE(rig.out() == "100 101");
}

}  // namespace snf
