// What ports in tests have in common whose frames are memory of their own: how many are lent, and how they end.
#pragma once
#include <cstdint>
#include <span>

#include "port.hpp"

namespace snf {

class LendingPort : public Port {
 public:
  unsigned lent = 0;

  void release(const Frame* frames, unsigned count) override {
    for (const Frame& frame : std::span(frames, count)) delete[] frame.data;
    lent -= count;
  }
  Frame allocate() override {
    ++lent;
    return {new std::uint8_t[2048], 0, 2048, nullptr, Side::inside};
  }
};

}  // namespace snf
