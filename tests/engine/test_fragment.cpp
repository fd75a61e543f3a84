#include <doctest/doctest.h>

#include <array>
#include <cstring>

#include "fragment.hpp"

using namespace snf;

namespace {

struct Run {
  Packet packet;
  std::array<std::uint8_t, max_record_size> before{}, after{};
  Job job{};

  Run(bool first, std::uint16_t offset) {
    packet.header = PacketRecord{};
    packet.header.protocol = 17;
    packet.layout.first_fragment = first;
    packet.layout.fragment_offset = offset;
    packet.layout.header_end = 8;
    job.packet = &packet.header;
    job.before = before.data();
    job.after = after.data();
  }
  void process() { process_fragment(packet, job); }
};

}  // namespace

TEST_CASE("the first fragment leaves protocol and ports, later ones take them") {
  Run first(true, 0);
  first.packet.header.source_port = 1000;
  first.packet.header.destination_port = 53;
  first.process();
  CHECK(first.job.verdict == verdict_forward);
  CHECK(first.after[0] == 1);

  Run later(false, 1480);
  later.packet.header.protocol = 6;  // what a later fragment says of itself is not believed
  later.before = first.after;
  later.process();
  CHECK(later.job.verdict == verdict_forward);
  CHECK(later.packet.header.source_port == 1000);
  CHECK(later.packet.header.destination_port == 53);
  CHECK(later.packet.header.protocol == 17);
  CHECK(std::memcmp(later.before.data(), later.after.data(), fragment_record_size) == 0);
}

TEST_CASE("a later fragment without a first one is dropped and leaves no record") {
  Run later(false, 1480);
  later.process();
  CHECK(later.job.verdict == (verdict_drop | without_first << 8));
  CHECK(later.after[0] == 0);
}

TEST_CASE("a later fragment that reaches into the transport header is dropped") {
  Run first(true, 0);
  first.packet.layout.header_end = 60;
  first.process();
  for (const auto& [offset, verdict] : {std::pair{56, verdict_drop | overlaps << 8}, {64, 1u * verdict_forward}}) {
    Run later(false, static_cast<std::uint16_t>(offset));
    later.before = first.after;
    later.process();
    CHECK(later.job.verdict == verdict);
  }
}
