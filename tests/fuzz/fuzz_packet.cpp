// Any bytes as a frame: nothing reads outside of it, and what parse promises holds for what it accepts.
// A wrong IPv4 header checksum is put right and the frame tried again, since no fuzzer guesses checksums.
#include <cstring>
#include <memory>

#include "flow.hpp"
#include "frame_input.hpp"
#include "packet.hpp"
#include "reject.hpp"

namespace snf {
namespace {

const Keys keys(1, 0x5eed);

struct Parse {
  PacketRecord record;
  Layout layout;
  ParseResult result;
};

// Twice, into records that held different things before: every byte must be written.
Parse parse_twice(const Frame& frame) {
  Parse first, second;
  std::memset(static_cast<void*>(&first.record), 0x00, sizeof first.record);
  std::memset(static_cast<void*>(&second.record), 0xff, sizeof second.record);
  first.result = parse(frame, first.record, first.layout);
  second.result = parse(frame, second.record, second.layout);
  require(std::memcmp(&first.record, &second.record, sizeof first.record) == 0, "the record is written whole");
  require(first.result.what == second.result.what && first.result.reason == second.result.reason, "one result");
  return first;
}

void check_layout(const Frame& frame, const Parse& parsed) {
  const Layout& layout = parsed.layout;
  const auto kind = static_cast<Kind>(parsed.record.kind);
  require(layout.network >= 14 && layout.network < layout.end && layout.end <= frame.length, "IP inside the frame");
  require((kind == Kind::fragment) == (layout.transport == 0), "a transport header unless a later fragment");
  require(kind == Kind::fragment || (layout.transport > layout.network && layout.transport <= layout.end),
          "transport inside IP");
  require((kind == Kind::icmp_error) == (layout.quoted_network != 0), "a quote in errors only");
  require(layout.quoted_transport <= layout.end, "the quote inside IP");
  require(parsed.record.payload_length <= layout.end - layout.network, "the payload inside IP");
}

Key flow_key(PacketRecord& record) {
  Key key;
  keys.flow(record, key);
  return key;
}

void check_keys(Parse& parsed) {
  Key key;
  keys.fragment(parsed.record, parsed.layout, key);
  require(key.size == (parsed.record.version == 4 ? 24 : 47), "size of a fragment key");
  if (static_cast<Kind>(parsed.record.kind) == Kind::fragment) return;
  PacketRecord back = parsed.record;
  std::swap(back.source_high, back.destination_high);
  std::swap(back.source_low, back.destination_low);
  std::swap(back.source_port, back.destination_port);
  key = flow_key(parsed.record);
  require(key == flow_key(back), "one key for both directions");
  require(keys.hash(key) == keys.hash(flow_key(back)), "one hash for one key");
  require(key.size == (parsed.record.version == 4 ? 24 : 47), "size of a flow key");
}

void check_reject(const Frame& frame, Parse& parsed, Refusal kind) {
  const std::uint32_t room = 1500;
  const auto block = std::make_unique<std::uint8_t[]>(room);
  Frame answer{block.get(), 0, room, nullptr, Side::inside};
  if (!build_reject(frame, parsed.record, parsed.layout, kind, answer)) return;
  require(answer.length <= room && answer.side == opposite(frame.side), "the answer fits and goes back");
  Parse back = parse_twice(answer);
  require(back.result.what == Parsed::flow, "the answer can be read");
  require(checksums_hold(answer, back.record, back.layout), "its checksums are right");
  require(flow_key(back.record) == flow_key(parsed.record), "it belongs to the flow");
  Frame again{block.get(), 0, room, nullptr, Side::inside};
  require(!build_reject(answer, back.record, back.layout, kind, again), "an answer gets no answer");
}

void check(const Frame& frame) {
  Parse parsed = parse_twice(frame);
  if (repaired(frame, parsed.result, parsed.layout)) {
    parsed = parse_twice(frame);
    require(parsed.result.what != Parsed::drop || parsed.result.reason != Drop::bad_checksum, "a right checksum");
  }
  if (parsed.result.what != Parsed::flow) return;
  check_layout(frame, parsed);
  checksums_hold(frame, parsed.record, parsed.layout);
  check_keys(parsed);
  check_reject(frame, parsed, Refusal::rejected);
  check_reject(frame, parsed, Refusal::prohibited);
}

}  // namespace
}  // namespace snf

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  snf::check(snf::ExactFrame(data, size).frame);
  return 0;
}
