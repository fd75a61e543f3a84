// Any bytes as a frame, rewritten to any tuple: what comes out is the same kind of packet with that tuple, checksums
// that held still hold, a refusal changes nothing, and no access goes outside of the frame.
// Input: four addresses' halves, two ports, an MSS (38 bytes, a Tuple in memory order), then the frame.
#include <cstddef>
#include <vector>

#include "frame_input.hpp"
#include "rewrite.hpp"
#include "wire.hpp"

namespace snf {
namespace {

constexpr std::size_t tuple_size = 36, prefix_size = tuple_size + 2;

struct Parse {
  explicit Parse(const Frame& frame) : result(parse(frame, record, layout)) {}
  PacketRecord record;
  Layout layout;
  ParseResult result;
};

Tuple read_tuple(const std::uint8_t* data) {
  Tuple tuple{};
  std::memcpy(static_cast<void*>(&tuple), data, tuple_size);
  return tuple;
}

bool is_fragment(const PacketRecord& record) { return static_cast<Kind>(record.kind) == Kind::fragment; }

// Half of the tuples are brought into a form that the packet can say; the others show what is refused.
void fit(Tuple& tuple, const PacketRecord& record) {
  if (record.version == 4) {
    tuple.source_high = tuple.destination_high = 0;
    tuple.source_low = mapped_prefix << 32 | static_cast<std::uint32_t>(tuple.source_low);
    tuple.destination_low = mapped_prefix << 32 | static_cast<std::uint32_t>(tuple.destination_low);
  } else {
    tuple.source_high |= 1, tuple.destination_high |= 1;  // not a mapped IPv4 address
  }
  const bool ports = record.protocol == protocol::tcp || record.protocol == protocol::udp;
  if (ports && !is_fragment(record)) return;
  if (record.source_port == 0) tuple.source_port = 0;
  tuple.destination_port = tuple.source_port;
}

// Everything but addresses and ports.
PacketRecord without_tuple(PacketRecord record) {
  record.source_high = record.source_low = record.destination_high = record.destination_low = 0;
  record.source_port = record.destination_port = 0;
  return record;
}

void check_same_packet(const Parse& before, const Parse& after) {
  require(after.result.what == Parsed::flow, "it can be parsed again");
  const PacketRecord was = without_tuple(before.record), is = without_tuple(after.record);
  require(std::memcmp(&was, &is, offsetof(PacketRecord, reserved2)) == 0, "only the tuple differs");
  require(std::memcmp(&before.layout, &after.layout, offsetof(Layout, first_fragment)) == 0, "everything in its place");
}

void check_tuple(const Parse& after, Tuple wanted) {
  if (is_fragment(after.record)) wanted.source_port = wanted.destination_port = 0;
  require(tuple_of(after.record) == wanted, "the tuple is the one that was asked for");
}

bool rewrite_and_check(const Frame& frame, const Parse& before, const Tuple& wanted) {
  const std::vector<std::uint8_t> original(frame.data, frame.data + frame.length);
  const bool held = checksums_hold(frame, before.record, before.layout);
  const bool done = rewrite(frame, before.record, before.layout, wanted);
  const bool same = std::memcmp(original.data(), frame.data, frame.length) == 0;
  require(done || same, "a refusal changes nothing");
  require(!done || !(wanted == tuple_of(before.record)) || same, "no change without a difference");
  if (!done) return false;
  const Parse after(frame);
  check_same_packet(before, after);
  check_tuple(after, wanted);
  require(!held || checksums_hold(frame, after.record, after.layout), "checksums that held still hold");
  return true;
}

void check_clamp(const Frame& frame, std::uint16_t limit) {
  const Parse before(frame);
  const bool held = checksums_hold(frame, before.record, before.layout);
  const bool changed = clamp_mss(frame, before.record, before.layout, limit);
  const Parse after(frame);
  require(after.record.mss == before.record.mss || (changed && after.record.mss == limit), "lowered to the limit");
  const bool own = static_cast<Kind>(after.record.kind) == Kind::ordinary;
  require(!own || after.record.mss <= limit, "no MSS above the limit");
  require(!held || checksums_hold(frame, after.record, after.layout), "its checksum still holds");
  require(!clamp_mss(frame, after.record, after.layout, limit), "once is enough");
}

void check(const Frame& frame, Tuple wanted, std::uint16_t limit) {
  Parse parsed(frame);
  if (repaired(frame, parsed.result, parsed.layout)) parsed = Parse(frame);
  if (parsed.result.what != Parsed::flow) return;
  const Tuple before = tuple_of(parsed.record);
  if (limit & 1) fit(wanted, parsed.record);
  require(rewrite_and_check(frame, parsed, before), "its own tuple fits");
  if (rewrite_and_check(frame, parsed, wanted)) {
    require(rewrite_and_check(frame, Parse(frame), before), "there is a way back");
  } else {
    require(!(limit & 1), "a tuple that fits is not refused");
  }
  check_clamp(frame, limit);
}

}  // namespace
}  // namespace snf

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < snf::prefix_size) return 0;
  const snf::ExactFrame input(data + snf::prefix_size, size - snf::prefix_size);
  snf::check(input.frame, snf::read_tuple(data), snf::load16(data + snf::tuple_size));
  return 0;
}
