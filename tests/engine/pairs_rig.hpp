// A pipe (pipe_rig.hpp) with the masking function (mask.hpp).
#pragma once
#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "mask.hpp"
#include "pipe_rig.hpp"

namespace snf {

struct PairsRig : PipeRig {
  explicit PairsRig(Mode mode, const Limits& limits = {}, const Traits& traits = mask::traits)
      : PipeRig(mode, limits, std::make_shared<Program>(mask::record_size, &mask::burst, traits)) {}
  // From inner host 10.0.0.`host`, port 5000, to the server; and an answer to the outer port.
  void out(mask::Order order, std::uint8_t name, std::uint8_t host = 1) {
    port.inject(mask::frame(order, name, {mask::inner | host, 5000}, {mask::server, 53}), Side::inside, name);
  }
  void in(mask::Order order, std::uint8_t name, std::uint16_t to = 100) {
    port.inject(mask::frame(order, name, {mask::server, 53}, {mask::outer, to}), Side::outside, name);
  }
  // What has left since the last call: "1>100" from that outer port, "2>10.5000" to that host and port, "3:denied".
  std::string left() {
    return PipeRig::left([](const auto& frame) { return ">" + shown(frame); });
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
};

}  // namespace snf
