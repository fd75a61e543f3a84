// The options of a TCP header, one after the other (RFC 9293 section 3.1), for whoever reads or edits them.
#pragma once
#include <cstdint>

namespace snf {

enum TcpOption : std::uint8_t { end_of_list = 0, no_operation = 1, segment_size = 2, scale = 3, sack_blocks = 5 };

inline constexpr unsigned segment_size_length = 4;  // bytes of the option, RFC 9293 section 3.7.1

// Calls visit(option, length) for each option but padding; kind and length are the first two of its `length` bytes.
// Stops at the first option that makes no sense, as hosts do. Byte: std::uint8_t, const or not.
template <typename Byte, typename Visit>
void for_each_option(Byte* at, Byte* end, Visit visit) {
  while (at < end && *at != end_of_list) {
    if (*at == no_operation) {
      ++at;
      continue;
    }
    if (end - at < 2 || at[1] < 2 || at[1] > end - at) return;
    visit(at, unsigned{at[1]});
    at += at[1];
  }
}

}  // namespace snf
