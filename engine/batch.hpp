// A burst's worth of work for the network function: lanes (one a flow) of packets that are processed in order on one
// working copy of the flow's record. The function is called once for a burst, not once a packet (architecture section
// 6).
#pragma once
#include <array>
#include <cstdint>

#include "cache.hpp"
#include "fragment.hpp"
#include "original.hpp"
#include "packets.hpp"
#include "program.hpp"

namespace snf {

// Packets that arrived before `fresh_before` are decided on a record read after they arrived (protocol.md, rule 2).
struct Lane {
  std::uint32_t entry;
  std::uint64_t fresh_before;
  std::uint32_t first = none, last = none;  // jobs, linked by `following`
  bool overtaken = false;                   // its record was changed under its other key since the batch ran
};

inline constexpr std::uint64_t always_fresh = ~std::uint64_t{0};

class Batch {
 public:
  static constexpr unsigned capacity = 64;
  static_assert(capacity < Entry::no_lane);
  // originals: of a function that rewrites packets, else null.
  Batch(RecordTable& table, PacketPool& pool, std::size_t record_size, const Originals* originals)
      : table_(table), pool_(pool), size_(record_size), originals_(originals) {}

  // ms, store clock: of all that is added from now on. A packet may have arrived long before, in an instance that
  // slept.
  void begin(std::uint64_t now) { now_ = now; }
  bool full() const { return jobs_ == capacity; }
  bool empty() const { return jobs_ == 0; }
  // Puts a packet behind the others of its entry's lane; opens the lane where there is none.
  void add(std::uint32_t entry, std::uint32_t packet, std::uint64_t fresh_before);
  void run(const Program& program, const TableSet& tables);
  void clear();

  unsigned lanes() const { return lane_count_; }
  const Lane& lane(unsigned index) const { return lanes_[index]; }
  void overtake(unsigned lane) { lanes_[lane].overtaken = true; }
  std::uint32_t following(std::uint32_t job) const { return following_[job]; }
  std::uint32_t packet(std::uint32_t job) const { return packets_[job]; }
  bool changed(std::uint32_t job) const { return work_[job].changed != 0; }
  // Forwarded, without effects, and nothing else to be done for it.
  bool plain(std::uint32_t job) const;
  // Gives the packet what the function said of it.
  void tell(std::uint32_t job);
  const std::uint8_t* after(std::uint32_t job) const { return after_[job].data(); }
  // ms; 0: nobody had to know, as the record is as it was and its flow is quiet.
  std::uint64_t lifetime(std::uint32_t job) const { return work_[job].lifetime; }
  // True if the lane's first packet found no record, or one past its deadline.
  bool absent(const Lane& lane) const { return work_[lane.first].before == nothing_.data(); }
  std::size_t size_of(std::uint32_t job) const;

 private:
  const std::uint8_t* fields(Entry& entry, std::uint64_t now) const;

  RecordTable& table_;
  PacketPool& pool_;
  std::size_t size_;
  const Originals* originals_;
  std::uint64_t now_ = 0;
  unsigned jobs_ = 0, lane_count_ = 0;
  std::array<Job, capacity> work_;
  std::array<std::uint32_t, capacity> packets_, following_;
  std::array<Lane, capacity> lanes_;
  alignas(64) std::array<std::array<std::uint8_t, max_record_size>, capacity> after_;
  const std::array<std::uint8_t, max_record_size> nothing_{};
};

// The deadline decides, not the store's own expiry (protocol.md, "Record").
inline const std::uint8_t* Batch::fields(Entry& entry, std::uint64_t now) const {
  if (entry.size == 0 || read_envelope(entry.value()).deadline < now) return nothing_.data();
  return entry.value() + envelope_size;
}

inline void Batch::add(std::uint32_t index, std::uint32_t packet, std::uint64_t fresh_before) {
  Entry& entry = table_[index];
  Packet& added = pool_[packet];
  const std::uint32_t job = jobs_++;
  added.header.effect_count = 0;
  if (originals_ != nullptr && added.stage == Stage::flow) {
    if (added.ran) originals_->restore(packet, added.header);
    added.ran = true;
  }
  packets_[job] = packet;
  following_[job] = none;
  work_[job].packet = &added.header;
  work_[job].after = after_[job].data();
  // Where packets are chained, any of them may be the one whose lifetime a commit takes.
  work_[job].lifetime = entry.lane != Entry::no_lane || !entry.quiet(now_);
  if (entry.lane == Entry::no_lane) {
    entry.lane = static_cast<std::uint8_t>(lane_count_++);
    lanes_[entry.lane] = Lane{index, fresh_before, job, job};
    work_[job].before = fields(entry, added.header.now);
    work_[job].changed = 0;
  } else {
    Lane& lane = lanes_[entry.lane];
    following_[lane.last] = job;
    work_[job].before = work_[lane.last].after;
    work_[job].changed = 1;
    lane.last = job;
  }
}

inline std::size_t Batch::size_of(std::uint32_t job) const {
  return pool_[packets_[job]].stage == Stage::flow ? size_ : fragment_record_size;
}

inline bool Batch::plain(std::uint32_t job) const {
  const Packet& packet = pool_[packets_[job]];
  return work_[job].verdict == verdict_forward && work_[job].fault == 0 && packet.header.effect_count == 0 &&
         packet.stage == Stage::flow;
}

inline void Batch::tell(std::uint32_t job) {
  Packet& packet = pool_[packets_[job]];
  packet.verdict = work_[job].verdict;
  packet.fault = static_cast<Fault>(work_[job].fault);
  if ((work_[job].verdict & 0xff) > verdict_forward) packet.fault = fault_park;
}

}  // namespace snf
