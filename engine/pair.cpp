// Reading, writing and following the tail of a record that stands under two keys.
#include "pair.hpp"

#include <algorithm>
#include <cstring>

namespace snf {
namespace {

// Where the endpoints begin (flow.hpp); they end with the key.
std::size_t endpoints(const Key& key) { return key.size - link_size(key); }

constexpr std::uint8_t from_outside = 1, by_higher_key = 2;

bool is_higher(const Key& key, const Key& other) {
  return std::memcmp(key.bytes + endpoints(key), other.bytes + endpoints(key), link_size(key)) > 0;
}

}  // namespace

bool has_opened(const Tail& tail, const Key& key, const Key& other) { return is_higher(key, other) == tail.by_higher; }

void set_opened(Tail& tail, const Key& key, const Key& other, bool opened) {
  tail.by_higher = is_higher(key, other) == opened;
}

Tail read_tail(const std::uint8_t* from, const Key& key) {
  Tail tail;
  tail.side = opener_side(from[0]);
  tail.by_higher = (from[0] & by_higher_key) != 0;
  std::memcpy(tail.mac.data(), from + 1, tail.mac.size());
  std::memcpy(tail.link.data(), from + 7, link_size(key));
  return tail;
}

void write_tail(std::uint8_t* to, const Key& key, const Tail& tail) {
  to[0] =
      static_cast<std::uint8_t>((tail.side == Side::outside ? from_outside : 0) | (tail.by_higher ? by_higher_key : 0));
  std::memcpy(to + 1, tail.mac.data(), tail.mac.size());
  std::memcpy(to + 7, tail.link.data(), link_size(key));
}

void link_keys(Tail& tail, const Key& one, const Key& other) {
  const std::size_t from = endpoints(one);
  for (std::size_t i = 0; i < link_size(one); ++i) tail.link[i] = one.bytes[from + i] ^ other.bytes[from + i];
}

bool follow_link(const Keys& keys, const Key& key, const Tail& tail, Key& other) {
  const std::size_t from = endpoints(key);
  if (std::all_of(tail.link.begin(), tail.link.end(), [](std::uint8_t byte) { return byte == 0; })) return false;
  other = key;
  for (std::size_t i = 0; i < link_size(key); ++i) other.bytes[from + i] ^= tail.link[i];
  keys.retag(other);
  return true;
}

}  // namespace snf
