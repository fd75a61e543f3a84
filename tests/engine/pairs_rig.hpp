// One pipe on a memory port with a scripted store and the masking function (mask.hpp).
#pragma once
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "mask.hpp"
#include "memory_port.hpp"
#include "pipe.hpp"
#include "scripted_store.hpp"

namespace snf {

struct PairsRig {
  explicit PairsRig(Mode mode, Limits limits = {}, Traits traits = mask::traits) : keys(1, 2), port(256, 256) {
    auto scripted = mode == Mode::baseline ? nullptr : std::make_unique<ScriptedStore>();
    store = scripted.get();
    PipeOptions options;
    options.mode = mode;
    options.limits = limits;
    options.limits.packets = 256;
    options.limits.flows = std::min(limits.flows, 64u);
    options.limits.flights = 64;
    options.nonce = 7ull << 32;
    options.captured = options.events = 256;
    pipe = std::make_unique<Pipe>(options, port, keys, std::move(scripted),
                                  std::make_shared<Program>(mask::record_size, &mask::burst, traits),
                                  std::make_shared<TableSet>(), stats);
  }
  // From inner host 10.0.0.`host`, port 5000, to the server; and an answer to the outer port.
  void out(mask::Order order, std::uint8_t name, std::uint8_t host = 1) {
    port.inject(mask::frame(order, name, {mask::inner | host, 5000}, {mask::server, 53}), Side::inside, name);
  }
  void in(mask::Order order, std::uint8_t name, std::uint16_t to = 100) {
    port.inject(mask::frame(order, name, {mask::server, 53}, {mask::outer, to}), Side::outside, name);
  }
  void step() { pipe->step((now_us += 60) * 1000); }
  void run() {
    for (int i = 0; i < 30; ++i) {
      step();
      if (store != nullptr) store->serve();
    }
  }
  // What has left since the last call: "1>100" from that outer port, "2>10.5000" to that host and port, "3:denied".
  std::string left() {
    std::string text;
    const auto add = [&text](const std::string& word) { text += (text.empty() ? "" : " ") + word; };
    for (const auto& sent : port.collect()) add(std::to_string(sent.token) + ">" + shown(sent.bytes));
    for (const auto& drop : pipe->outlet().take_dropped()) {
      add(std::to_string(drop.token) + ":" + std::string(name_of(drop.reason)));
    }
    return text;
  }
  static std::string shown(const std::vector<std::uint8_t>& frame) {
    PacketRecord record;
    Layout layout;
    std::vector<std::uint8_t> copy = frame;
    const Frame whole{copy.data(), static_cast<std::uint32_t>(copy.size()), 0, nullptr, Side::inside};
    REQUIRE(parse(whole, record, layout).what == Parsed::flow);
    CHECK(checksums_hold(whole, record, layout));
    if (load32(&frame[26]) == mask::outer) return std::to_string(load16(&frame[34]));
    return std::to_string(frame[33]) + "." + std::to_string(load16(&frame[36]));
  }
  // Phase under each key, in the order of the keys; "-" where nothing stands.
  std::string stored() const {
    std::string text;
    for (const auto& [key, value] : store->values) {
      text += (text.empty() ? "" : " ") + std::to_string(value[envelope_size + 1]) + "," +
              std::to_string(value[envelope_size + 2]);
    }
    return text.empty() ? "-" : text;
  }
  std::uint64_t drops(Drop drop) const { return stats.drops[static_cast<unsigned>(drop)].get(); }

  Keys keys;
  MemoryPort port;
  Stats stats;
  ScriptedStore* store;
  std::unique_ptr<Pipe> pipe;
  std::uint64_t now_us = 1'000'000;
};

}  // namespace snf
