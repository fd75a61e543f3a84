// One pipe on a memory port with a scripted store, small enough to be filled; time stands still unless the test moves
// it. What the rigs of functions have in common.
#pragma once
#include <algorithm>
#include <memory>
#include <string>

#include "memory_port.hpp"
#include "pipe.hpp"
#include "scripted_store.hpp"

namespace snf {

struct PipeRig {
  static constexpr std::uint64_t nonce = 7ull << 32;  // of this pipe; its counter below

  PipeRig(Mode mode, const Limits& limits, std::shared_ptr<Program> program) : keys(1, 2), port(256, 256) {
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
    pipe = std::make_unique<Pipe>(options, port, keys, std::move(scripted), std::move(program),
                                  std::make_shared<TableSet>(), stats);
  }
  void step() { pipe->step((now_us += 60) * 1000); }
  // Steps and serves until nothing moves.
  void run() {
    for (int i = 0; i < 30; ++i) {
      step();
      if (store != nullptr) store->serve();
    }
  }
  // What has left since the last call, as `shown` says of a frame that was forwarded; "3:queue_full" is a drop.
  template <typename Shown>
  std::string left(const Shown& shown) {
    std::string text;
    const auto add = [&text](std::uint64_t token, const std::string& end) {
      text += (text.empty() ? "" : " ") + std::to_string(token) + end;
    };
    for (const auto& sent : port.collect()) add(sent.token, shown(sent.bytes));
    for (const auto& drop : pipe->outlet().take_dropped())
      add(drop.token, ":" + std::string(snf::name_of(drop.reason)));
    return text;
  }

  Keys keys;
  MemoryPort port;
  Stats stats;
  ScriptedStore* store;
  std::unique_ptr<Pipe> pipe;
  std::uint64_t now_us = 1'000'000;
};

}  // namespace snf
