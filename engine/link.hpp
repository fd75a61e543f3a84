// Ethernet for frames that the engine makes itself: MAC addresses, VLAN tags, and the header in front of the payload.
#pragma once
#include <array>
#include <cstdint>
#include <cstring>

#include "frame.hpp"
#include "packet.hpp"

namespace snf {

using Mac = std::array<std::uint8_t, 6>;

inline constexpr Mac broadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
// One interface's: neither a group's nor none (IEEE 802 section 8.2).
constexpr bool is_one_interface(const Mac& mac) {
  return (mac[0] & 1) == 0 && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0;
}
inline Mac load_mac(const std::uint8_t* from) {
  Mac mac;
  std::memcpy(mac.data(), from, mac.size());
  return mac;
}

// What stands between the MAC addresses and the ether type of the payload: at most three tags, as `parse` takes them.
struct Tags {
  std::array<std::uint8_t, 12> bytes{};
  std::uint8_t size = 0;
};
Tags tags_of(const Frame& frame, const Layout& layout);  // those of a frame that was parsed
Tags tags_of(std::uint16_t vlan);                        // one 802.1Q tag; 0: none

struct LinkHeader {
  Mac to, from;
  Tags tags;
};

// Writes the Ethernet header and sets the frame's length for `payload` bytes more, filled up with zeros to the 60
// bytes of a shortest frame (IEEE 802.3 section 3.2.8). Where the payload goes; nullptr if it does not fit.
std::uint8_t* begin_frame(Frame& frame, const LinkHeader& header, std::uint16_t type, std::uint32_t payload);

}  // namespace snf
