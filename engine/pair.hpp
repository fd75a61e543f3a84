// The tail of a record whose function rewrites packets: what the engine itself keeps of the flow.
//   opened(1): 1 from outside, 2 by the higher one of its two keys   mac(6) of who sent the packet that opened it
//   link(12; IPv6: 36)
// The link is the two keys' endpoints, xored: so both keys hold the same bytes, and each leads to the other
// (protocol.md, rule 5). All zero: the flow has one key.
#pragma once
#include <array>

#include "flow.hpp"
#include "function.hpp"
#include "link.hpp"

namespace snf {

struct Tail {
  Side side = Side::inside;  // from which the flow was opened
  bool by_higher = false;    // the packet that opened it came by the higher key
  Mac mac{};
  std::array<std::uint8_t, 36> link{};
};
inline constexpr std::size_t largest_tail = 1 + 6 + 36;
inline constexpr std::size_t largest_value = envelope_size + max_record_size + largest_tail;

inline bool is_ipv4_key(const Key& key) { return key.bytes[Key::kind_offset + 1] == 4; }
inline std::size_t link_size(const Key& key) { return is_ipv4_key(key) ? 12 : 36; }
inline std::size_t tail_size(const Key& key) { return 7 + link_size(key); }

// Of a tail's first byte.
constexpr Side opener_side(std::uint8_t opened) { return (opened & 1) == 0 ? Side::inside : Side::outside; }

// `from`, `to`: tail_size(key) bytes.
Tail read_tail(const std::uint8_t* from, const Key& key);
void write_tail(std::uint8_t* to, const Key& key, const Tail& tail);

// Of two flow keys of one protocol; nothing of the tag is in it.
void link_keys(Tail& tail, const Key& one, const Key& other);
// Is `key` the one by which the flow was opened? `other`: its other one.
bool has_opened(const Tail& tail, const Key& key, const Key& other);
void set_opened(Tail& tail, const Key& key, const Key& other, bool opened);
// The flow's other key; false: it has one key only.
bool follow_link(const Keys& keys, const Key& key, const Tail& tail, Key& other);

}  // namespace snf
