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
  for (unsigned lane = 0; lane < lane_count_; ++lane) table_[lanes_[lane].entry].lane = none;
  jobs_ = lane_count_ = 0;
}

}  // namespace snf
