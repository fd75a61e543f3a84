#include "batch.hpp"

#include <cstring>

#include "fragment.hpp"

namespace snf {

// Fragments are few: runs of ordinary jobs between them go to the function as they stand.
void Batch::run(const Program& program, const TableSet& tables) {
  unsigned start = 0;
  for (unsigned job = 0; job <= jobs_; ++job) {
    if (job < jobs_ && pool_[packets_[job]].stage == Stage::flow) continue;
    if (job > start) program.run(&work_[start], job - start, tables);
    if (job < jobs_) process_fragment(pool_[packets_[job]], work_[job]);
    start = job + 1;
  }
}

void Batch::clear() {
  for (const Lane *lane = lanes_.data(), *end = lane + lane_count_; lane != end; ++lane) {
    table_[lane->entry].lane = Entry::no_lane;
  }
  jobs_ = lane_count_ = 0;
}

}  // namespace snf
