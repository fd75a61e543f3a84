// Frames of every kind made from a recipe and a tuple, with all checksums summed anew: what `rewrite` must give when it
// changes one tuple into another is the frame made with the other, byte by byte.
#pragma once
#include <cstdint>
#include <random>
#include <vector>

#include "rewrite.hpp"

namespace snf::craft {

using Bytes = std::vector<std::uint8_t>;

enum class Payload : std::uint8_t { tcp, udp, udp_without_sum, echo, other_icmp, gre };
enum class Cut : std::uint8_t { whole, first_fragment, later_fragment, atomic_fragment };

struct Recipe {
  std::uint32_t seed = 0;  // of everything that is not said here
  bool four = true;
  Payload payload = Payload::tcp;
  Cut cut = Cut::whole;
  unsigned tags = 0;
  bool options = false;         // of IPv4; or IPv6 extension headers
  bool error = false;           // an ICMP error that quotes the packet
  bool from_quoted = false;     // sent by the quoted destination, not by a router
  std::size_t quoted = 0xffff;  // bytes of the packet's transport part in the quote, at least 8
  std::size_t trailer = 0;      // bytes behind the IP packet
};

// RFC 1071 section 4.1, in wire order.
std::uint16_t plain_sum(const Bytes& data);

Recipe random_recipe(std::mt19937& random);
// Ports as the recipe's payload has them: two, one identifier twice, or zeros.
Tuple random_tuple(std::mt19937& random, const Recipe& recipe);
Bytes frame(const Recipe& recipe, const Tuple& tuple);

}  // namespace snf::craft
