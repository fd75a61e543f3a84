// Names of the drop reasons, from the one list in stats.hpp, and the histogram's arithmetic.
#include "stats.hpp"

#include <algorithm>

namespace snf {
namespace {

struct Reason {
  std::string_view name, meaning;
};

constexpr std::array<Reason, drop_count> reasons{{
#define X(name, text) {#name, text},
    SNF_DROPS(X)
#undef X
}};

constexpr unsigned step_bits = std::bit_width(Histogram::steps) - 1;
static_assert(std::has_single_bit(Histogram::steps));

std::uint64_t sum(const auto& counters) {
  std::uint64_t total = 0;
  for (const Counter& counter : counters) total += counter.get();
  return total;
}

}  // namespace

std::string_view name_of(Drop drop) { return reasons.at(static_cast<std::size_t>(drop)).name; }

std::string_view meaning_of(Drop drop) { return reasons.at(static_cast<std::size_t>(drop)).meaning; }

// Below `steps` a bucket for each value, then `steps` buckets an octave; the last one takes everything above it.
unsigned Histogram::bucket_of(std::uint64_t nanoseconds) {
  if (nanoseconds < steps) return static_cast<unsigned>(nanoseconds);
  const unsigned octave = static_cast<unsigned>(std::bit_width(nanoseconds)) - 1 - step_bits;
  const auto step = static_cast<unsigned>(nanoseconds >> octave) - steps;
  return std::min((octave + 1) * steps + step, buckets - 1);
}

// The largest value that falls into the bucket.
std::uint64_t Histogram::upper_bound(unsigned bucket) {
  if (bucket < steps) return bucket;
  const unsigned octave = bucket / steps - 1;
  return ((std::uint64_t{steps} + bucket % steps + 1) << octave) - 1;
}

Histogram::Total Histogram::total() const {
  Total total;
  for (unsigned i = 0; i < buckets; ++i) {
    const std::uint64_t found = count(i);
    if (found == 0) continue;
    const std::uint64_t low = i == 0 ? 0 : upper_bound(i - 1) + 1;
    total.count += found;
    total.nanoseconds += found * (low + (upper_bound(i) - low) / 2);
  }
  return total;
}

std::uint64_t Stats::dropped() const { return sum(drops) + sum(function_drops); }

}  // namespace snf
