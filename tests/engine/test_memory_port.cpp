// The memory port: every frame comes back once, with its token, and the slab bounds what is in flight.
#include <doctest/doctest.h>

#include <array>
#include <numeric>

#include "memory_port.hpp"

using namespace snf;

namespace {
const std::array<std::uint8_t, 60> frame_bytes = [] {
  std::array<std::uint8_t, 60> bytes;
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return bytes;
}();
}  // namespace

TEST_CASE("memory port: frames keep order, side, bytes and token") {
  MemoryPort port(8, 128);
  REQUIRE(port.inject(frame_bytes, Side::inside, 7));
  REQUIRE(port.inject(Bytes(frame_bytes).first(20), Side::outside, 1ull << 40));
  CHECK(port.waiting() == 2);
  std::array<Frame, 4> frames;
  REQUIRE(port.receive(frames.data(), 4) == 2);
  CHECK(port.lent() == 2);
  CHECK(frames[0].side == Side::inside);
  CHECK(frames[1].side == Side::outside);
  CHECK(frames[1].length == 20);
  CHECK(MemoryPort::token_of(frames[0]) == 7);
  frames[0].data[0] = 99;
  CHECK(port.transmit(Side::outside, frames.data(), 1) == 1);
  port.release(frames.data() + 1, 1);
  const auto sent = port.collect();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].token == 7);
  CHECK(sent[0].side == Side::outside);
  CHECK(sent[0].bytes.size() == 60);
  CHECK(sent[0].bytes[0] == 99);
  CHECK(sent[0].bytes[59] == 60);
  CHECK(port.collect_released() == std::vector<std::uint64_t>{1ull << 40});
  CHECK(port.lent() == 0);
  CHECK(port.collect().empty());
}

TEST_CASE("memory port: the slab bounds frames in flight, and frames given back can be used again") {
  MemoryPort port(2, 64);
  CHECK_FALSE(port.inject(std::vector<std::uint8_t>(65), Side::inside, 0));
  CHECK(port.inject(frame_bytes, Side::inside, 1));
  CHECK(port.inject(frame_bytes, Side::inside, 2));
  CHECK_FALSE(port.inject(frame_bytes, Side::inside, 3));
  CHECK(port.allocate().data == nullptr);
  Frame frame;
  REQUIRE(port.receive(&frame, 1) == 1);
  port.release(&frame, 1);
  Frame made = port.allocate();
  REQUIRE(made.data != nullptr);
  CHECK(made.capacity == 64);
  CHECK(MemoryPort::token_of(made) == MemoryPort::generated);
  made.length = 60;
  port.transmit(Side::inside, &made, 1);
  CHECK(port.collect().at(0).token == MemoryPort::generated);
}
