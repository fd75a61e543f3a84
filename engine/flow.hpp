// Flow keys: the bytes under which a record is stored, the same for both directions of a flow.
//   '{' tag(2) '}' deployment(4) kind(1) version(1) protocol(1)
//   IPv4: 0(1) low address(4), high address(4), low port(2), high port(2)     IPv6: low endpoint, high endpoint (16 +
//   2)
// The tag is one of 256 virtual shards, symmetric in direction (protocol.md, rule 17).
#pragma once
#include <array>
#include <cstdint>
#include <cstring>

#include "packet.hpp"
#include "record.hpp"

namespace snf {

struct Key {
  static constexpr std::size_t capacity = 47;
  static constexpr std::size_t kind_offset = 8;  // behind tag and deployment
  std::uint8_t bytes[capacity];
  std::uint8_t size = 0;
  Bytes view() const { return {bytes, size}; }
  bool operator==(const Key& other) const {
    if (size != other.size) return false;
    if (size < 8) return std::memcmp(bytes, other.bytes, size) == 0;
    std::uint64_t different = word(size - 8u) ^ other.word(size - 8u);
    for (std::size_t at = 0; at + 8 < size; at += 8) different |= word(at) ^ other.word(at);
    return different == 0;
  }
  std::uint64_t word(std::size_t at) const {
    std::uint64_t value;
    std::memcpy(&value, bytes + at, sizeof value);
    return value;
  }
};
static_assert(sizeof(Key) == 48);

enum class KeyKind : std::uint8_t { flow = 'f', fragment = 'g' };

// What a key holds of the remote endpoint: the destination of what leaves, the source of what enters. A NAT's filtering
// (RFC 4787 section 5; docs/decisions/nat-mappings.md).
enum class Remote : std::uint8_t { endpoint, address, nothing };

// Makes keys for one deployment. `secret` (from the store) keys the shard map and the hash, so nobody outside can aim
// at one shard or one place of a table. All instances of a deployment give a key the same hash.
class Keys {
 public:
  Keys(std::uint32_t deployment, std::uint64_t secret, Remote remote = Remote::endpoint);
  // Flow key; sets packet.from_low. The record's 5-tuple must be complete (not a later fragment's).
  void flow(PacketRecord& packet, Key& key) const;
  // Gives a flow key whose endpoints were edited the tag of its shard.
  void retag(Key& key) const;
  // Key of a fragmented datagram: addresses, protocol, identification; directional.
  void fragment(const PacketRecord& packet, const Layout& layout, Key& key) const;
  std::uint64_t hash(const Key& key) const;
  std::uint8_t shard(std::uint16_t port1, std::uint16_t port2) const;

 private:
  std::uint8_t shard_of(std::uint8_t version, std::uint8_t protocol, std::uint16_t one, std::uint16_t other) const;

  std::array<std::uint64_t, 256> heads_;  // by shard: tag and deployment, as they stand in a key
  std::array<std::uint64_t, 3> secrets_;
  Remote remote_;
};

__extension__ typedef unsigned __int128 Wide;  // ISO C++ has none; GCC and Clang do

inline std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

// Words at every eighth byte and at the end: those of IPv6 have 47 bytes, so the last may overlap the one before it.
inline std::uint64_t Keys::hash(const Key& key) const {
  std::uint64_t state = secrets_[0] ^ key.size;
  std::size_t at = 0;
  for (; at + 16 < key.size; at += 16) state = fold(key.word(at) ^ secrets_[1], key.word(at + 8) ^ state);
  if (at + 8 < key.size) state = fold(key.word(at) ^ secrets_[1], state);
  state = fold(key.word(key.size - 8u) ^ secrets_[1], state);
  return fold(state ^ secrets_[1], secrets_[2]);
}

}  // namespace snf
