// Packets between receive and release: a fixed pool, and queues of its members linked by index.
// A packet is in exactly one place at any time (a batch, a queue, the outlet), so nothing is lost or sent twice.
#pragma once
#include <cstdint>
#include <vector>

#include "frame.hpp"
#include "function.hpp"
#include "link.hpp"
#include "packet.hpp"

namespace snf {

inline constexpr std::uint32_t none = 0xffffffffu;

// A fragment looks up its datagram first, to learn the ports; then it is processed as a packet of its flow. What leaves
// for an address of the deployment's own is turned back: it comes in again, once, as received outside.
enum class Stage : std::uint8_t { fragment, flow, turned };

// Where a forwarded frame goes next: as it was addressed when it came; to the MAC in `Packet::mac`; to the neighbour
// that its IP destination needs; or (header.direct) to the one that the destination in its packet record needs.
enum class Hop : std::uint8_t { as_received, known, destination, record };

struct Packet {
  PacketRecord header;
  Layout layout;
  Frame frame;
  std::uint64_t order = 0;     // of arrival in this pipe
  std::uint64_t received = 0;  // ns, monotonic
  std::uint32_t next = none;
  std::uint32_t verdict = 0;  // as the function gave it; meaningful once processed
  Stage stage = Stage::flow;
  Fault fault = fault_none;
  bool ran = false;  // the function has run on it, and may have written into the packet record
  Hop hop = Hop::as_received;
  Mac mac{};  // of Hop::known
};

class PacketPool {
 public:
  explicit PacketPool(std::uint32_t capacity) : packets_(capacity) {
    free_.reserve(capacity);
    for (std::uint32_t i = capacity; i > 0; --i) free_.push_back(i - 1);
  }
  std::uint32_t acquire() {
    if (free_.empty()) return none;
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
  }
  void release(std::uint32_t index) { free_.push_back(index); }
  Packet& operator[](std::uint32_t index) { return packets_[index]; }
  std::uint32_t used() const { return static_cast<std::uint32_t>(packets_.size() - free_.size()); }
  std::uint32_t available() const { return static_cast<std::uint32_t>(free_.size()); }

 private:
  std::vector<Packet> packets_;
  std::vector<std::uint32_t> free_;
};

// First in, first out; holds indexes into one pool.
class PacketQueue {
 public:
  bool empty() const { return head_ == none; }
  std::uint32_t size() const { return size_; }
  std::uint32_t front() const { return head_; }
  std::uint32_t back() const { return tail_; }
  void push(PacketPool& pool, std::uint32_t index) {
    pool[index].next = none;
    if (tail_ == none) {
      head_ = index;
    } else {
      pool[tail_].next = index;
    }
    tail_ = index;
    ++size_;
  }
  std::uint32_t pop(PacketPool& pool) {
    const std::uint32_t index = head_;
    head_ = pool[index].next;
    if (head_ == none) tail_ = none;
    --size_;
    return index;
  }
  // `earlier` goes in front of what is here and is empty afterwards.
  void prepend(PacketPool& pool, PacketQueue& earlier) {
    if (earlier.empty()) return;
    pool[earlier.tail_].next = head_;
    if (tail_ == none) tail_ = earlier.tail_;
    head_ = earlier.head_;
    size_ += earlier.size_;
    earlier = PacketQueue{};
  }

 private:
  std::uint32_t head_ = none, tail_ = none, size_ = 0;
};

}  // namespace snf
