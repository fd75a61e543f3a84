// The MSS option of a SYN.
#include "checksum.hpp"
#include "rewrite.hpp"
#include "tcp_options.hpp"
#include "wire.hpp"

namespace snf {
namespace {

// A word at an odd distance adds to a sum with its bytes swapped (RFC 1071 section 2 B). Sums are in memory order.
std::uint64_t difference_at(bool odd, std::uint16_t before, std::uint16_t after) {
  if (odd) return checksum_difference(before, after);
  return checksum_difference(__builtin_bswap16(before), __builtin_bswap16(after));
}

}  // namespace

bool clamp_mss(const Frame& frame, const PacketRecord& packet, const Layout& layout, std::uint16_t limit) {
  if (static_cast<Kind>(packet.kind) != Kind::ordinary || packet.protocol != protocol::tcp) return false;
  std::uint8_t* tcp = frame.data + layout.transport;
  if (!(tcp[13] & syn)) return false;
  std::uint64_t difference = 0;
  bool changed = false;
  for_each_option(tcp + 20, tcp + (tcp[12] >> 4) * 4, [&](std::uint8_t* option, unsigned length) {
    if (option[0] != segment_size || length != segment_size_length || load16(option + 2) <= limit) return;
    difference += difference_at((option - tcp) & 1, load16(option + 2), limit);
    store16(option + 2, limit);
    changed = true;
  });
  if (!changed) return false;
  std::uint16_t checksum;
  std::memcpy(&checksum, tcp + 16, sizeof checksum);
  checksum = checksum_adjusted(checksum, difference);
  std::memcpy(tcp + 16, &checksum, sizeof checksum);
  return true;
}

}  // namespace snf
