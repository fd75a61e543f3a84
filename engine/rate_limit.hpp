// A bound on how often something is done: so many a second, and what is asked beyond that is refused until the next.
#pragma once
#include <cstdint>

namespace snf {

class RateLimit {
 public:
  explicit RateLimit(std::uint32_t per_second) : per_second_(per_second), left_(per_second) {}

  // now: ms, never running backwards. A second begins with the first call after the one before has ended.
  bool take(std::uint64_t now) {
    if (!open(now)) return false;
    --left_;
    return true;
  }
  // Whether `take` would say yes.
  bool open(std::uint64_t now) {
    if (now >= from_ + 1000) {
      from_ = now;
      left_ = per_second_;
    }
    return left_ > 0;
  }

 private:
  std::uint32_t per_second_, left_;
  std::uint64_t from_ = 0;
};

}  // namespace snf
