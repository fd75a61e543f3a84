// Properties of `rewrite` over packets of all kinds: the frame becomes the one that would have been made with the
// other tuple, byte by byte, and the way back is the same.
#include <doctest/doctest.h>

#include "craft.hpp"
#include "frames.hpp"

namespace snf {
namespace {

using craft::Recipe;

struct Crafted : frames::Sample {
  Crafted(const Recipe& recipe, const Tuple& tuple) : Sample("") {
    data = craft::frame(recipe, tuple);
    REQUIRE(parse().what == Parsed::flow);
    REQUIRE(tuple_of(record) == tuple);
    REQUIRE(sums_hold());
  }
  bool rewrite_to(const Tuple& wanted) { return rewrite(frame, record, layout, wanted); }
  craft::Bytes bytes() const { return {block.get(), block.get() + data.size()}; }
};

std::string described(const Recipe& recipe) {
  const auto number = [](auto value) { return std::to_string(static_cast<unsigned>(value)) + " "; };
  return "seed " + number(recipe.seed) + "four " + number(recipe.four) + "payload " + number(recipe.payload) + "cut " +
         number(recipe.cut) + "tags " + number(recipe.tags) + "options " + number(recipe.options) + "error " +
         number(recipe.error) + "from_quoted " + number(recipe.from_quoted) + "quoted " + number(recipe.quoted);
}

// Some of the four parts as in `from`, since mostly one endpoint is translated.
Tuple mixed(std::mt19937& random, const Recipe& recipe, Tuple tuple, const Tuple& from) {
  if (random() % 2) tuple.source_high = from.source_high, tuple.source_low = from.source_low;
  if (random() % 2) tuple.destination_high = from.destination_high, tuple.destination_low = from.destination_low;
  const bool source = random() % 2, destination = random() % 2;
  if (source) tuple.source_port = from.source_port;
  if (recipe.payload == craft::Payload::echo ? source : destination) tuple.destination_port = from.destination_port;
  return tuple;
}

TEST_CASE("a frame becomes the one that would have been made with the other tuple") {
  std::mt19937 random(1);
  for (int round = 0; round < 5000; ++round) {
    const Recipe recipe = craft::random_recipe(random);
    const Tuple before = craft::random_tuple(random, recipe);
    const Tuple wanted = mixed(random, recipe, craft::random_tuple(random, recipe), before);
    INFO(described(recipe));
    Crafted s(recipe, before);
    const auto original = s.bytes();
    REQUIRE(s.rewrite_to(before));
    REQUIRE(s.bytes() == original);
    REQUIRE(s.rewrite_to(wanted));
    Recipe after = recipe;  // an error comes from what its quote was sent to, where that is another address now
    after.from_quoted |=
        wanted.destination_low != before.destination_low || wanted.destination_high != before.destination_high;
    REQUIRE(s.bytes() == craft::frame(after, wanted));
    s.data = s.bytes();
    REQUIRE(s.parse().what == Parsed::flow);
    REQUIRE(tuple_of(s.record) == wanted);
    REQUIRE(s.sums_hold());
    REQUIRE(s.rewrite_to(before));
    REQUIRE(s.bytes() == craft::frame(after, before));
  }
}

TEST_CASE("a checksum that was wrong stays wrong by as much") {
  std::mt19937 random(2);
  for (int round = 0; round < 2000; ++round) {
    Recipe recipe = craft::random_recipe(random);
    recipe.cut = craft::Cut::whole;
    recipe.payload = craft::Payload::udp;
    recipe.trailer = 0;
    recipe.quoted = 20;  // the last byte is data
    const Tuple before = craft::random_tuple(random, recipe), wanted = craft::random_tuple(random, recipe);
    INFO(described(recipe));
    Crafted s(recipe, before);
    s.data.back() ^= 0x40;
    REQUIRE(s.is_flow());
    REQUIRE(s.rewrite_to(wanted));
    recipe.from_quoted = true;  // as every error whose quote was sent to another address now
    auto expected = craft::frame(recipe, wanted);
    expected.back() ^= 0x40;
    REQUIRE(s.bytes() == expected);
    REQUIRE_FALSE(s.sums_hold());
  }
}

TEST_CASE("the MSS at an odd distance") {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    Recipe recipe = craft::random_recipe(random);
    recipe.payload = craft::Payload::tcp;
    recipe.error = false;
    if (recipe.cut == craft::Cut::later_fragment) recipe.cut = craft::Cut::whole;
    INFO(described(recipe));
    Crafted s(recipe, craft::random_tuple(random, recipe));
    const auto limit = static_cast<std::uint16_t>(random() % 3000);
    REQUIRE(clamp_mss(s.frame, s.record, s.layout, limit) == (limit < 1460));
    const auto clamped = s.bytes();
    craft::Bytes expected = s.data;
    const std::size_t mss = s.layout.transport + 23u, sum = s.layout.transport + 16u;
    for (const std::size_t at : {mss, mss + 1, sum, sum + 1}) expected[at] = clamped[at];
    REQUIRE(clamped == expected);
    s.data = clamped;
    REQUIRE(s.is_flow());
    REQUIRE(s.record.mss == std::min<std::uint16_t>(limit, 1460));
    REQUIRE(s.sums_hold());
  }
}

}  // namespace
}  // namespace snf
