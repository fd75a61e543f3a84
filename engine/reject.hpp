// The answer to a packet that a network function rejected: a TCP RST (RFC 9293 section 3.10.7.1), or ICMP unreachable
// (RFC 792, RFC 1812 section 5.2.7.1, RFC 4443 section 3.1) that quotes it, in the name of the packet's destination.
// How often one may be sent is the caller's to limit (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f).
#pragma once
#include <cstdint>

#include "frame.hpp"
#include "packet.hpp"

namespace snf {

// rejected: nobody listens, or the rules say no: RST, port unreachable, or for other protocols as prohibited.
// prohibited: the flow may not begin: ICMP administratively prohibited, whatever the protocol (RFC 5508 REQ-8).
enum class Refusal : std::uint8_t { rejected = 0, prohibited = 1 };

// Writes the answer into `answer` (data, capacity and handle are the caller's) and sets its length and side: as if it
// had come in from the side opposite to the original's, so it leaves as every forwarded frame does, by opposite(side).
// False: there is no answer. That is so for what must never be answered (RST, ICMP errors, later fragments, multicast,
// broadcast, impossible senders, wrong checksums), for packets whose quote would not name their flow, and for an
// answer that does not fit into `answer.capacity`. `packet` and `layout` are what parse made of `original`.
bool build_reject(const Frame& original, const PacketRecord& packet, const Layout& layout, Refusal kind, Frame& answer);

}  // namespace snf
