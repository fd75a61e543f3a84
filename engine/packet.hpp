// The packet record: everything a network function may know of a packet, parsed once.
// `parse` checks every length; after it succeeded no accessor can read outside of the frame.
// The layout is mirrored by the NumPy dtype in statelessnf/packet.py; a test compares both.
#pragma once
#include <array>
#include <cstdint>

#include "frame.hpp"
#include "stats.hpp"

namespace snf {

enum class Kind : std::uint8_t {
  ordinary = 0,    // carries its own 5-tuple
  icmp_error = 1,  // 5-tuple is that of the packet it quotes (RFC 5508 section 4)
  fragment = 2,    // a later fragment: ports come from the first one's record
};

enum TcpFlag : std::uint8_t { fin = 1, syn = 2, rst = 4, psh = 8, ack = 16, urg = 32 };

inline constexpr std::uint8_t no_window_scale = 255;
inline constexpr unsigned max_effects = 4;

struct PacketRecord {
  std::uint64_t source_high, source_low;  // host order; IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2)
  std::uint64_t destination_high, destination_low;
  std::uint64_t now;                   // ms, store clock, fixed at arrival
  std::uint64_t flow_hash;             // keyed hash of the flow key: the NF's only randomness
  std::uint32_t sequence;              // TCP; of the quoted segment for an ICMP error
  std::uint32_t acknowledgement;       // TCP
  std::uint32_t sack;                  // TCP: highest SACK right edge, or `acknowledgement` where there is none
  std::uint32_t payload_length;        // bytes behind the transport header, by the IP length (no padding)
  std::uint32_t frame_length;          // bytes
  std::uint32_t effects[max_effects];  // written by the NF: see function.hpp
  std::uint16_t source_port;           // ICMP queries: the identifier, in both; others: 0
  std::uint16_t destination_port;
  std::uint16_t window;   // TCP, unscaled
  std::uint16_t mss;      // TCP option, 0: none
  std::uint16_t vlan;     // outermost VLAN identifier, 0: none
  std::uint8_t version;   // 4 or 6
  std::uint8_t protocol;  // of the flow: for an ICMP error that of the quoted packet
  std::uint8_t tcp_flags;
  std::uint8_t direction;             // 0 outbound (received inside), 1 inbound
  std::uint8_t icmp_type, icmp_code;  // also set for ICMP errors
  std::uint8_t window_scale;          // TCP option of a SYN, no_window_scale: none
  std::uint8_t kind;                  // Kind
  std::uint8_t from_low;              // 1: the sender is the lower endpoint of the flow key (for an ICMP error: of the
                                      // quoted packet, as the quoted packet was sent)
  std::uint8_t attempt;               // how often a candidate was refused (NAT)
  std::uint8_t effect_count;          // how many of `effects` count; reset by the engine before each run
  std::uint8_t direct;  // written by the NF: 1: nothing is rewritten, the frame goes to the neighbour `destination`
  std::uint8_t reserved[4];
  std::uint16_t ttl;  // TTL or hop limit
  std::uint16_t reserved2;
};
static_assert(sizeof(PacketRecord) == 120);

// Where things stand in the frame: the engine's own, for rewriting, rejecting and checksums.
struct Layout {
  std::uint16_t network = 0;                               // offset of the IP header
  std::uint16_t transport = 0;                             // offset of the transport header, 0: none in this frame
  std::uint16_t quoted_network = 0, quoted_transport = 0;  // of an ICMP error
  std::uint32_t end = 0;                                   // offset behind the last byte that belongs to the IP packet
  std::uint32_t fragment_id = 0;
  bool first_fragment = false;        // offset 0 and more to come: has ports, others follow
  std::uint16_t fragment_offset = 0;  // bytes; of a later fragment
  std::uint16_t header_end = 0;  // of a first fragment: bytes of the datagram up to the end of its transport header
};

enum class Parsed : std::uint8_t { flow, pass, drop };  // pass: ARP and neighbour discovery

struct ParseResult {
  Parsed what = Parsed::drop;
  Drop reason = Drop::malformed;  // where what == drop
};

// Fills `record` and `layout` from the frame. Reads nothing outside of it. Every byte of the record is written; now,
// flow_hash, from_low and attempt are zero and for the caller to set.
ParseResult parse(const Frame& frame, PacketRecord& record, Layout& layout);

// True if IPv4 header and TCP/UDP/ICMP checksums hold; fragments and unknown protocols: the IP header's only.
// Asked only for packets that would change a record, as it reads the whole payload.
bool checksums_hold(const Frame& frame, const PacketRecord& record, const Layout& layout);

}  // namespace snf
