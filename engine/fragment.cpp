#include "fragment.hpp"

#include <cstring>

namespace snf {

void process_fragment(const Packet& packet, Job& job) {
  std::memcpy(job.after, job.before, fragment_record_size);
  job.lifetime = fragment_lifetime;
  job.fault = 0;
  job.verdict = verdict_forward;
  if (packet.layout.first_fragment) {
    job.after[0] = 1;
    std::memcpy(job.after + 1, &packet.header.source_port, 2);
    std::memcpy(job.after + 3, &packet.header.destination_port, 2);
  } else if (job.before[0] == 0) {
    job.verdict = verdict_drop;
  } else {
    std::memcpy(&job.packet->source_port, job.before + 1, 2);
    std::memcpy(&job.packet->destination_port, job.before + 3, 2);
  }
}

}  // namespace snf
