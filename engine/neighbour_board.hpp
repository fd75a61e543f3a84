// What one pipe of an instance hears of neighbours, for its other pipes: the device gives an answer to one queue,
// whichever pipe has asked. What finds a full board is lost, as a frame may be, and asked for again.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "addresses.hpp"
#include "frame.hpp"
#include "handover.hpp"
#include "link.hpp"

namespace snf {

struct NeighbourNews {
  Side side;
  bool solicited;
  Address address;
  std::optional<Mac> mac;  // none: where it was
};

class NeighbourBoard {
 public:
  // Throws std::bad_alloc.
  explicit NeighbourBoard(unsigned pipes) {
    for (unsigned i = 0; i < pipes; ++i) boxes_.emplace_back();
  }
  // From the thread of the pipe `from`, to all others.
  void tell(unsigned from, const NeighbourNews& news) {
    for (unsigned to = 0; to < boxes_.size(); ++to) {
      if (to != from && boxes_[to].news.push(NeighbourNews(news))) boxes_[to].waiting.store(true);
    }
  }
  // In the thread of the pipe `to`; costs next to nothing where there is no news.
  std::vector<NeighbourNews> take(unsigned to) {
    if (!boxes_[to].waiting.load(std::memory_order_relaxed)) return {};
    boxes_[to].waiting.store(false);
    return boxes_[to].news.take();
  }

 private:
  struct Box {
    Handover<NeighbourNews> news{256};
    std::atomic<bool> waiting{false};
  };
  std::deque<Box> boxes_;  // they stay where they are made
};

}  // namespace snf
