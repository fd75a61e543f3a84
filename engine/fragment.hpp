// The engine's own function for fragmented datagrams: the first fragment leaves protocol and ports in a record, later
// ones read them there, so that any instance can track any fragment (RFC 1858, RFC 3128: none rounds the rules).
// A later fragment's own next-header field is its sender's choice (RFC 8200, 4.5) and is not believed.
#pragma once
#include <cstdint>

#include "function.hpp"
#include "packets.hpp"

namespace snf {

// present (1), protocol (1), source port (2), destination port (2), end of the transport header from the IP payload (2)
inline constexpr std::size_t fragment_record_size = 8;
inline constexpr std::uint64_t fragment_lifetime = 30'000;  // ms, as Linux keeps incomplete datagrams

enum FragmentReason : std::uint32_t { without_first = 1, overlaps = 2 };  // in the second byte of a DROP

// Same contract as a compiled function, for one job; a later fragment is given what the record holds.
void process_fragment(const Packet& packet, Job& job);

}  // namespace snf
