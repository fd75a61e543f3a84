#include "fragment.hpp"

#include <cstring>

namespace snf {

namespace {

void remember(const Packet& packet, std::uint8_t* record) {
  record[0] = 1;
  record[1] = packet.header.protocol;
  std::memcpy(record + 2, &packet.header.source_port, 2);
  std::memcpy(record + 4, &packet.header.destination_port, 2);
  std::memcpy(record + 6, &packet.layout.header_end, 2);
}

void recall(const std::uint8_t* record, PacketRecord& packet) {
  packet.protocol = record[1];
  std::memcpy(&packet.source_port, record + 2, 2);
  std::memcpy(&packet.destination_port, record + 4, 2);
}

std::uint16_t header_end(const std::uint8_t* record) {
  std::uint16_t end;
  std::memcpy(&end, record + 6, 2);
  return end;
}

std::uint32_t refuse(FragmentReason reason) { return verdict_drop | reason << 8; }

}  // namespace

void process_fragment(const Packet& packet, Job& job) {
  std::memcpy(job.after, job.before, fragment_record_size);
  job.lifetime = fragment_lifetime;
  job.fault = job.changed = 0;
  job.verdict = verdict_forward;
  if (packet.layout.first_fragment) {
    remember(packet, job.after);
    job.changed = std::memcmp(job.before, job.after, fragment_record_size) != 0;
  } else if (job.before[0] == 0) {
    job.verdict = refuse(without_first);
  } else if (packet.layout.fragment_offset < header_end(job.before)) {
    job.verdict = refuse(overlaps);  // RFC 5722, RFC 3128
  } else {
    recall(job.before, *job.packet);
  }
}

}  // namespace snf
