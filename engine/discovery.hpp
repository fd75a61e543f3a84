// Neighbour solicitations and advertisements (RFC 4861 sections 4.3 and 4.4), read with every check of section 7.1,
// and written with their checksum.
#pragma once
#include "addresses.hpp"
#include "link.hpp"

namespace snf {

struct Discovery {
  bool solicitation = true;  // else an advertisement
  bool solicited = false;    // S: answers a question
  bool overrides = false;    // O
  bool has_mac = false;      // there is a link-layer address option
  Mac mac{};                 // the sender's in a solicitation, the target's in an advertisement
  Address source, destination, target;
};

inline constexpr Address all_nodes{0xff02'0000'0000'0000, 1};  // RFC 4291 section 2.7.1
constexpr Address solicited_node(const Address& address) {
  return {0xff02'0000'0000'0000, 0x1'ff00'0000 | (address.low & 0xff'ffff)};
}
// fe80::/64 with the interface identifier of the MAC (RFC 4291 appendix A).
Address link_local(const Mac& mac);
// The MAC address of an IPv6 multicast group (RFC 2464 section 7).
Mac group_mac(const Address& group);

bool is_solicitation_or_advertisement(const PacketRecord& packet);
// Of a frame that `parse` passed, and for which the above holds: accepted, or the reason for which it is refused.
ParseResult read_discovery(const Frame& frame, const PacketRecord& packet, const Layout& layout, Discovery& discovery);
// R is set, since an instance forwards; a link-layer address option is written if has_mac. False: no room.
bool write_discovery(Frame& frame, const LinkHeader& header, const Discovery& discovery);

}  // namespace snf
