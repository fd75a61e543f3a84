// One instance's Neighbours as the tests of ARP and neighbour discovery use it: frames in as bytes, frames out as
// bytes.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "frames.hpp"
#include "neighbour_frames.hpp"
#include "neighbours.hpp"

namespace snf::frames {

using What = Hearing::What;
using Octets = std::vector<std::uint8_t>;

inline constexpr Mac our_mac{0x02, 0x53, 0x4e, 0x46, 0x12, 0x34}, host_mac{0x02, 0, 0, 0, 0, 0x07};
inline constexpr std::uint64_t doc6 = 0x2001'0db8'0000'0000;
constexpr Address host4(std::uint32_t last) { return ipv4_address(0xc0000200 | last); }  // 192.0.2.x
constexpr Address host6(std::uint64_t last) { return {doc6, last}; }                     // 2001:db8::x
constexpr Mac mac_of(std::uint8_t last) { return {0x02, 0, 0, 0, 0, last}; }

// Outside it owns 192.0.2.16/28 and 2001:db8::100/120 and has both subnets on-link; inside it owns nothing.
inline NeighbourOptions neighbour_options() {
  NeighbourOptions options;
  options.mac = our_mac;
  options.secret = 0x5eed;
  NeighbourSide& outside = options.sides[1];
  outside.owned = {{host4(16), host4(31)}, {host6(0x100), host6(0x1ff)}};
  outside.on_link = {{host4(0), host4(255)}, {host6(0), {doc6, ~0ull}}};
  return options;
}

struct Station {
  explicit Station(const NeighbourOptions& options = neighbour_options()) : neighbours(options, stats) {}

  // Hears a frame that parse has passed; what it answers, if anything, is in `said`.
  What hear(const Octets& frame, Side side = Side::outside) {
    Sample sample("");
    sample.data = frame;
    REQUIRE(sample.parse(side).what == Parsed::pass);
    Frame answer = lend(side);
    const Octets before = sample.data;
    heard = neighbours.hear(sample.frame, sample.record, sample.layout, now, answer);
    CHECK(std::memcmp(before.data(), sample.block.get(), before.size()) == 0);
    keep(answer, heard.what == What::answered, side);
    return heard.what;
  }
  What hear(std::string_view hex, Side side = Side::outside) { return hear(bytes(hex), side); }

  // Asks the next question, which is then in `said`.
  bool ask(Side side = Side::outside) {
    Frame frame = lend(side);
    const bool due = neighbours.step(now);
    const bool asked = neighbours.ask(now, frame);
    CHECK(due == asked);
    keep(frame, asked, side);
    return asked;
  }
  bool announce(const Address& address, Side side = Side::outside) {
    Frame frame = lend(side);
    const bool written = neighbours.announce(side, address, frame);
    keep(frame, written, side);
    return written;
  }
  Resolution resolve(const Address& address, Side side = Side::outside) {
    return neighbours.resolve(side, address, now);
  }

  std::uint64_t now = 1'000'000;
  std::uint32_t room = 128;
  NeighbourStats stats;
  Neighbours neighbours;
  Hearing heard{};
  Octets said;

 private:
  Frame lend(Side side) {
    block = std::make_unique<std::uint8_t[]>(room);
    std::memset(block.get(), 0xa5, room);
    return {block.get(), 0, room, nullptr, side};
  }
  void keep(const Frame& frame, bool written, Side side) {
    said.clear();
    if (!written) return;
    CHECK(frame.side == opposite(side));
    REQUIRE(frame.length <= room);
    said.assign(frame.data, frame.data + frame.length);
  }
  std::unique_ptr<std::uint8_t[]> block;
};

inline Octets tagged(Octets frame, const Octets& tags) {
  frame.insert(frame.begin() + 12, tags.begin(), tags.end());
  return frame;
}

// A whole frame with its ICMPv6 checksum put right after a change.
inline Octets with_sum(Octets frame, std::size_t ip = ip_at) {
  const std::size_t icmp = ip + 40;
  frame[icmp + 2] = frame[icmp + 3] = 0;
  const auto length = static_cast<std::uint32_t>(frame[ip + 4] << 8 | frame[ip + 5]);
  const std::uint64_t pseudo = pseudo_header_sum(&frame[ip], 58, length);
  const auto sum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(pseudo, &frame[icmp], length)));
  std::memcpy(&frame[icmp + 2], &sum, 2);
  return frame;
}

// A reply or advertisement from the host `last` at `mac`, to the deployment or to all.
inline Octets reply4(std::uint8_t last, const Mac& mac, bool to_all = false) {
  Octets frame = bytes(arp_reply);
  if (to_all) std::fill_n(frame.begin(), 6, 0xff);
  std::copy(mac.begin(), mac.end(), frame.begin() + 6);
  std::copy(mac.begin(), mac.end(), frame.begin() + 22);
  frame[31] = last;
  if (to_all) frame[41] = last;  // gratuitous
  return frame;
}
inline Octets reply6(std::uint8_t last, const Mac& mac, std::uint8_t flags = 0x60) {
  Octets frame = bytes(nd_reply);
  std::copy(mac.begin(), mac.end(), frame.begin() + 6);
  frame[ip_at + 23] = last;
  frame[v6_at + 4] = flags;
  frame[v6_at + 23] = last;
  std::copy(mac.begin(), mac.end(), frame.begin() + v6_at + 26);
  return with_sum(frame);
}

}  // namespace snf::frames
