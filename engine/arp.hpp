// ARP for Ethernet and IPv4 (RFC 826): its 28 bytes, read and written.
#pragma once
#include "addresses.hpp"
#include "link.hpp"

namespace snf {

struct Arp {
  bool request = true;  // else a reply
  Mac sender_mac{};
  Address sender = ipv4_address(0);  // 0.0.0.0: a probe (RFC 5227 section 1.1)
  Mac target_mac{};                  // of a request: means nothing
  Address target = ipv4_address(0);
};

// `from`: 28 bytes, as `parse` has checked. False for other hardware and operations, and for senders that are no host.
bool read_arp(const std::uint8_t* from, Arp& arp);
// False if the frame has no room.
bool write_arp(Frame& frame, const LinkHeader& header, const Arp& arp);

}  // namespace snf
