// A port that makes its packets on the fly, for benchmarks: many flows open at a time, interleaved with jitter as on a
// link. A flow's next packet is made only when its previous one was transmitted or dropped, as causality wants it on a
// wire: no answer overtakes its question. When a flow ends, a new one opens: traffic never ends. Deterministic by seed
// as long as frames come back in a deterministic order. One thread receives; any thread may give frames back.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "port.hpp"

namespace snf {

// The place of one open flow: it owns the flow's only frame, and the source's memory of where the flow stands.
struct alignas(64) FlowSlot {
  std::uint8_t* frame = nullptr;
  std::uint32_t step = 0, length = 0;  // packets made, packets in all; equal: the flow is over
  bool dropped = false;  // set by the port when it gets a packet back unsent; a source that asks resets it
  // The source's own from here on.
  std::uint16_t port[2] = {};      // of client and server, as the client knows them; network order
  std::uint32_t address[2] = {};   // the same
  std::uint32_t sequence[2] = {};  // next sequence number of client and server
  std::uint64_t sum = 0;           // over what all packets of the flow share
  std::uint32_t flow = 0;
  std::uint16_t far_port[2] = {};     // of client and server, as the server knows them: a NAT makes these others
  std::uint32_t far_address[2] = {};  // the same
};
static_assert(sizeof(FlowSlot) == 64);

// What the flows consist of. Called by the receiving thread only.
class FlowSource {
 public:
  virtual ~FlowSource() = default;
  // Makes the next packet of each slot's flow, opening a new one where it is over; sets the frames' length and side.
  // A slot's frame still holds the flow's previous packet, as it left: as the function in between has rewritten it.
  virtual void make(FlowSlot* const* slots, Frame* frames, unsigned count) = 0;
  virtual std::uint32_t longest() const = 0;  // bytes
  virtual std::uint64_t opened() const { return opened_.load(std::memory_order_relaxed); }

 protected:
  void count_opened() { opened_.store(opened_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> opened_{0};  // flows
};

class TrafficPort final : public Port {
 public:
  TrafficPort(std::unique_ptr<FlowSource> source, unsigned open_flows, std::uint64_t seed);

  std::uint64_t flows() const { return source_->opened(); }
  std::uint64_t forwarded() const { return forwarded_.load(std::memory_order_relaxed); }
  std::uint64_t dropped() const { return dropped_.load(std::memory_order_relaxed); }
  std::uint64_t generated() const { return generated_.load(std::memory_order_relaxed); }  // sent, made by the pipe

  unsigned receive(Frame* frames, unsigned room) override;
  unsigned transmit(Side to, const Frame* frames, unsigned count) override;
  void release(const Frame* frames, unsigned count) override;
  Frame allocate() override;

 private:
  static constexpr unsigned spare_frames = 1024;  // for packets that the pipe makes itself
  static constexpr unsigned jitter = 32;          // places by which a flow may come earlier

  bool is_spare(const FlowSlot* slot) const { return slot >= slots_.data() + open_flows_; }
  unsigned give_back(const Frame* frames, unsigned count);
  void take_back();
  FlowSlot* next_ready();

  const std::unique_ptr<FlowSource> source_;
  const unsigned open_flows_;
  const std::uint32_t capacity_;  // bytes of a frame
  std::unique_ptr<std::uint8_t[]> memory_;
  std::vector<FlowSlot> slots_;
  const std::uint64_t mask_;

  // Flows whose turn it is: a ring, of the receiving thread alone.
  std::vector<FlowSlot*> ready_;
  std::uint64_t first_ready_ = 0, end_ready_ = 0, random_;

  // Flows whose packet came back: any thread claims places at the end and fills them, the receiving thread empties
  // them.
  std::vector<std::atomic<FlowSlot*>> returned_;
  std::uint64_t first_returned_ = 0;
  alignas(64) std::atomic<std::uint64_t> end_returned_{0};
  std::atomic<std::uint64_t> forwarded_{0}, dropped_{0}, generated_{0};
  std::mutex spare_mutex_;
  std::vector<FlowSlot*> spare_;
};

}  // namespace snf
