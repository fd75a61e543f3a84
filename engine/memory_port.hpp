// A port in memory for tests, replay and fuzzing: the caller injects frames and collects what was sent.
// A frame carries the caller's token from injection to transmission or drop, so that each one is accounted for.
// Frames live in a slab that is allocated once; its size bounds what may be in flight. Calls may come from any thread.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "port.hpp"
#include "record.hpp"

namespace snf {

class MemoryPort final : public Port {
 public:
  // Token of frames that the pipe made itself (allocate).
  static constexpr std::uint64_t generated = ~std::uint64_t{0};

  struct Sent {
    std::uint64_t token;
    Side side;  // on which it left
    std::vector<std::uint8_t> bytes;
  };

  // Room for `slots` frames of `frame_capacity` bytes each.
  explicit MemoryPort(unsigned slots = 4096, unsigned frame_capacity = 9728);

  // Queues a copy as received on `side`. False where it is longer than a frame may be or all slots are in use.
  bool inject(Bytes frame, Side side, std::uint64_t token);
  // What was transmitted since the last call, in order.
  std::vector<Sent> collect();
  // Tokens of the frames that were released unsent since the last call, in order.
  std::vector<std::uint64_t> collect_released();
  // Frames injected and not yet received.
  std::size_t waiting() const;
  // Frames that the pipe has and must give back.
  std::size_t lent() const;
  static std::uint64_t token_of(const Frame& frame);

  std::uint64_t token(const Frame& frame) const override { return token_of(frame); }
  unsigned receive(Frame* frames, unsigned room) override;
  unsigned transmit(Side to, const Frame* frames, unsigned count) override;
  void release(const Frame* frames, unsigned count) override;
  Frame allocate() override;

 private:
  struct Slot {
    std::uint64_t token = 0;
    std::uint8_t* data = nullptr;
    bool lent = false;
  };
  Slot* take(std::uint64_t token);
  Slot* give_back(const Frame& frame);

  const unsigned capacity_;
  std::unique_ptr<std::uint8_t[]> slab_;
  std::vector<Slot> slots_;
  mutable std::mutex mutex_;  // guards everything below
  std::vector<Slot*> free_;
  std::deque<Frame> received_;
  std::vector<Sent> sent_;
  std::vector<std::uint64_t> released_;
  std::size_t lent_ = 0;
};

}  // namespace snf
