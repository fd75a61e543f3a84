// Names of drop reasons, sums, and the histogram's 6 percent.
#include <doctest/doctest.h>

#include <memory>
#include <set>

#include "stats.hpp"

namespace snf {
namespace {

TEST_CASE("every drop reason has its own name and a meaning") {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < drop_count; ++i) {
    names.insert(name_of(static_cast<Drop>(i)));
    CHECK_FALSE(meaning_of(static_cast<Drop>(i)).empty());
  }
  CHECK(names.size() == drop_count);
  CHECK(name_of(Drop::truncated) == "truncated");
  CHECK(name_of(Drop::denied) == "denied");
  CHECK(meaning_of(Drop::fragment_tiny) == "first fragment without the whole transport header");
}

TEST_CASE("buckets follow one another and hold what they say") {
  CHECK(Histogram::bucket_of(0) == 0);
  for (unsigned bucket = 0; bucket + 1 < Histogram::buckets; ++bucket) {
    const std::uint64_t last = Histogram::upper_bound(bucket);
    CAPTURE(bucket);
    CHECK(Histogram::bucket_of(last) == bucket);
    CHECK(Histogram::bucket_of(last + 1) == bucket + 1);
    if (bucket < Histogram::steps) continue;
    const std::uint64_t first = Histogram::upper_bound(bucket - 1) + 1;
    CHECK(static_cast<double>(last - first) <= 0.0625 * static_cast<double>(first));
  }
}

TEST_CASE("the last bucket takes everything above it") {
  CHECK(Histogram::upper_bound(Histogram::buckets - 1) > 3'600'000'000'000);  // an hour
  CHECK(Histogram::bucket_of(~std::uint64_t{0}) == Histogram::buckets - 1);
  auto histogram = std::make_unique<Histogram>();
  histogram->add(~std::uint64_t{0});
  histogram->add(100);
  histogram->add(100);
  CHECK(histogram->count(Histogram::buckets - 1) == 1);
  CHECK(histogram->count(Histogram::bucket_of(100)) == 2);
}

TEST_CASE("the total takes each value for the middle of its bucket") {
  auto histogram = std::make_unique<Histogram>();
  CHECK(histogram->total().count == 0);
  CHECK(histogram->total().nanoseconds == 0);
  histogram->add(0, 7);
  histogram->add(5, 2);
  histogram->add(1000, 3);  // of 992 to 1023
  CHECK(histogram->total().count == 12);
  CHECK(histogram->total().nanoseconds == 2 * 5 + 3 * 1007);
}

TEST_CASE("dropped counts the engine's reasons and the function's own") {
  const auto stats = std::make_unique<Stats>();
  CHECK(stats->dropped() == 0);
  stats->drops.front().add(2);
  stats->drops.back().add(3);
  stats->function_drops.back().add(5);
  stats->passed.add(100);
  CHECK(stats->dropped() == 10);
}

}  // namespace
}  // namespace snf
