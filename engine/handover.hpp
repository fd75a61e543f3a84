// A bounded hand-over of items from threads that write to one that reads.
#pragma once
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace snf {

// `push` is false where it is full; what happens to the item then is the caller's to say.
template <typename T>
class Handover {
 public:
  explicit Handover(std::size_t capacity) : capacity_(capacity) {}
  bool push(T&& item) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    return true;
  }
  std::vector<T> take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(items_, {});
  }

 private:
  std::size_t capacity_;
  std::mutex mutex_;
  std::vector<T> items_;
};

}  // namespace snf
