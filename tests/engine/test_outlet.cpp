// Where packets end: effects are bounded and counted, answers are limited in rate, frames go back exactly once.
#include <doctest/doctest.h>

#include "memory_port.hpp"
#include "outlet.hpp"
#include "tally.hpp"

using namespace snf;

namespace {

struct Bench {
  MemoryPort port{64, 256};
  PacketPool pool{32};
  Stats stats;
  Outlet outlet;

  explicit Bench(std::size_t events = 8, std::size_t captured = 8) : outlet(port, pool, stats, events, captured) {}
  // A packet that the function has answered with `verdict` and these effects.
  std::uint32_t packet(std::uint32_t verdict, std::initializer_list<std::uint32_t> effects, std::uint64_t now = 0) {
    port.inject(tally::frame(tally::count, 1), Side::inside, 5);
    const std::uint32_t index = pool.acquire();
    Packet& made = pool[index];
    REQUIRE(port.receive(&made.frame, 1) == 1);
    REQUIRE(parse(made.frame, made.header, made.layout).what == Parsed::flow);
    made.header.now = now;
    made.header.effect_count = 0;
    for (const std::uint32_t effect : effects) made.header.effects[made.header.effect_count++] = effect;
    made.verdict = verdict;
    made.fault = fault_none;
    return index;
  }
};

std::uint32_t effect(Effect kind, std::uint32_t argument) { return static_cast<std::uint32_t>(kind) << 24 | argument; }

}  // namespace

TEST_CASE("outlet: forwards to the other side, drops under the function's name, counts each once") {
  Bench bench;
  bench.outlet.finish(bench.packet(verdict_forward, {}));
  bench.outlet.finish(bench.packet(verdict_drop | 3 << 8, {}));
  bench.outlet.finish(bench.packet(verdict_drop, {}));
  CHECK(bench.port.collect().empty());
  bench.outlet.flush(1);
  const auto sent = bench.port.collect();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].side == Side::outside);
  CHECK(bench.stats.forwarded[1].get() == 1);
  CHECK(bench.stats.function_drops[2].get() == 1);
  CHECK(bench.stats.drops[static_cast<unsigned>(Drop::denied)].get() == 1);
  CHECK(bench.stats.dropped() == 2);
  CHECK(bench.pool.used() == 0);
  CHECK(bench.port.lent() == 0);
}

TEST_CASE("outlet: events and dropped frames are bounded, lost events are counted") {
  Bench bench(2, 1);
  for (unsigned i = 0; i < 3; ++i) {
    bench.outlet.finish(bench.packet(verdict_drop, {effect(Effect::event, 7 << 16 | i)}));
  }
  const auto events = bench.outlet.take_events();
  REQUIRE(events.size() == 2);
  CHECK(events[1].code == 7);
  CHECK(events[1].value == 1);
  CHECK(bench.stats.effects_lost.get() == 1);
  CHECK(bench.outlet.take_dropped().size() == 1);
  bench.outlet.finish(bench.packet(verdict_drop, {effect(Effect::event, 0)}));
  CHECK(bench.outlet.take_events().size() == 1);
  CHECK(bench.port.lent() == 0);
}

TEST_CASE("outlet: counters beyond the last are ignored, more effects than there may be are not read") {
  Bench bench;
  const std::uint32_t last = function_counter_count - 1;
  bench.outlet.finish(bench.packet(verdict_forward, {effect(Effect::count, last), effect(Effect::count, last + 1)}));
  CHECK(bench.stats.function_counters[last].get() == 1);
  const std::uint32_t index = bench.packet(verdict_forward, {effect(Effect::count, 1)});
  bench.pool[index].header.effect_count = 255;
  for (unsigned i = 1; i < max_effects; ++i) bench.pool[index].header.effects[i] = effect(Effect::count, 1);
  bench.outlet.finish(index);
  CHECK(bench.stats.function_counters[1].get() == max_effects);
}

TEST_CASE("outlet: a faulty packet has no effects") {
  Bench bench;
  const std::uint32_t index = bench.packet(verdict_forward, {effect(Effect::count, 1)});
  bench.pool[index].fault = fault_raised;
  bench.outlet.finish(index);
  CHECK(bench.stats.function_counters[1].get() == 0);
  CHECK(bench.outlet.take_dropped().at(0).reason == Drop::function_error);
}

TEST_CASE("outlet: the argument of a rejection says how it is answered") {
  for (const auto& [argument, protocol] : {std::pair{0u, protocol::tcp}, {1u, protocol::icmp}}) {
    Bench bench;
    bench.outlet.finish(bench.packet(verdict_drop, {effect(Effect::reject, argument)}));
    bench.outlet.flush(1);
    const auto sent = bench.port.collect();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].side == Side::inside);
    CHECK(sent[0].bytes[23] == protocol);
  }
}

TEST_CASE("outlet: answers go back to the sender, ten thousand a second and no more (RFC 1812 4.3.2.8)") {
  Bench bench(8, 0);
  for (unsigned i = 0; i < 10'005; ++i) {
    bench.outlet.finish(bench.packet(verdict_drop, {effect(Effect::reject, 0)}, 5000));
    bench.outlet.flush(1);
    for (const auto& sent : bench.port.collect()) {
      CHECK(sent.side == Side::inside);
      CHECK(sent.token == MemoryPort::generated);
    }
  }
  CHECK(bench.stats.generated.get() == 10'000);
  CHECK(bench.stats.answers_limited.get() == 5);
  bench.outlet.finish(bench.packet(verdict_drop, {effect(Effect::reject, 0)}, 6000));
  CHECK(bench.stats.generated.get() == 10'001);
  bench.outlet.flush(1);
  CHECK(bench.port.lent() == 0);
}
