// The engine's own function for fragmented datagrams: the first fragment leaves its ports in a record, later ones read
// them there, so that any instance can track any fragment (RFC 1858, RFC 3128: none rounds the rules).
#pragma once
#include <cstdint>

#include "function.hpp"
#include "packets.hpp"

namespace snf {

inline constexpr std::size_t fragment_record_size = 5;  // present (1), source port (2), destination port (2)
inline constexpr std::uint64_t fragment_lifetime = 30'000;  // ms, as Linux keeps incomplete datagrams

// Same contract as a compiled function, for one job; a later fragment is given the ports that the record holds.
void process_fragment(const Packet& packet, Job& job);

}  // namespace snf
