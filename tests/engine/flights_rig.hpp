// A pipe (pipe_rig.hpp) with the tally function.
#pragma once
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "pipe_rig.hpp"
#include "tally.hpp"

namespace snf {

struct Rig : PipeRig {
  explicit Rig(Mode mode, const Limits& limits = {})
      : PipeRig(mode, limits, std::make_shared<Program>(tally::record_size, &tally::burst)) {}
  void send(tally::Order order, std::uint8_t name, std::uint8_t flow = 0, bool spoilt = false) {
    auto frame = tally::frame(order, name, flow);
    if (spoilt) frame[51] ^= 1;  // the TCP checksum
    port.inject(frame, Side::inside, name);
  }
  // What has left since the last call: "1 2" forwarded, "3:queue_full" dropped, "4:denied" by the function.
  std::string out() {
    return left([](const auto&) { return ""; });
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
