#include "batch.hpp"

#include <cstring>

#include "fragment.hpp"

namespace snf {

// The deadline decides, not the store's own expiry (protocol.md, "Record").
const std::uint8_t* Batch::fields(Entry& entry, std::uint64_t now) const {
  if (entry.size == 0 || read_envelope(entry.value()).deadline < now) return nothing_.data();
  return entry.value() + envelope_size;
}

void Batch::add(std::uint32_t index, std::uint32_t packet, std::uint64_t fresh_before) {
  Entry& entry = table_[index];
  Packet& added = pool_[packet];
  const std::uint32_t job = jobs_++;
  added.header.effect_count = 0;
  packets_[job] = packet;
  following_[job] = none;
  work_[job].packet = &added.header;
  work_[job].after = after_[job].data();
  if (entry.lane == none) {
    entry.lane = lane_count_++;
    lanes_[entry.lane] = Lane{index, fresh_before, job, job};
    work_[job].before = fields(entry, added.header.now);
  } else {
    Lane& lane = lanes_[entry.lane];
    following_[lane.last] = job;
    work_[job].before = work_[lane.last].after;
    lane.last = job;
  }
}

std::size_t Batch::size_of(std::uint32_t job) const {
  return pool_[packets_[job]].stage == Stage::flow ? size_ : fragment_record_size;
}

bool Batch::changed(std::uint32_t job) const {
  return std::memcmp(work_[job].before, work_[job].after, size_of(job)) != 0;
}

// Fragments are few: runs of ordinary jobs between them go to the function as they stand.
void Batch::run(const Program& program, const TableSet& tables) {
  unsigned start = 0;
  for (unsigned job = 0; job <= jobs_; ++job) {
    if (job < jobs_ && pool_[packets_[job]].stage == Stage::flow) continue;
    if (job > start) program.run(&work_[start], job - start, tables);
    if (job < jobs_) process_fragment(pool_[packets_[job]], work_[job]);
    start = job + 1;
  }
  for (unsigned job = 0; job < jobs_; ++job) {
    Packet& packet = pool_[packets_[job]];
    packet.verdict = work_[job].verdict;
    packet.fault = work_[job].fault != 0 || (work_[job].verdict & 0xff) > verdict_forward;
  }
}

void Batch::clear() {
  for (unsigned lane = 0; lane < lane_count_; ++lane) table_[lanes_[lane].entry].lane = none;
  jobs_ = lane_count_ = 0;
}

}  // namespace snf
