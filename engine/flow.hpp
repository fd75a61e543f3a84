// Flow keys: the bytes under which a record is stored, the same for both directions of a flow.
//   '{' tag(2) '}' deployment(4) kind(1) version+protocol(2) low endpoint, high endpoint (address 4 or 16, port 2)
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
    return size == other.size && std::memcmp(bytes, other.bytes, size) == 0;
  }
};
static_assert(sizeof(Key) == 48);

enum class KeyKind : std::uint8_t { flow = 'f', fragment = 'g' };

// Makes keys for one deployment. `secret` (from the store) keys the shard map, so nobody outside can aim at one shard;
// `seed` (per process) keys the hash tables.
class Keys {
 public:
  Keys(std::uint32_t deployment, std::uint64_t secret, std::uint64_t seed);
  // Flow key; sets packet.from_low. The record's 5-tuple must be complete (not a later fragment's).
  void flow(PacketRecord& packet, Key& key) const;
  // Key of a fragmented datagram: addresses, protocol, identification; directional.
  void fragment(const PacketRecord& packet, const Layout& layout, Key& key) const;
  std::uint64_t hash(const Key& key) const;
  // Keyed by the deployment's secret and not by the process: the same in every instance.
  std::uint64_t shared_hash(const Key& key) const;
  std::uint8_t shard(std::uint16_t port1, std::uint16_t port2) const;

 private:
  struct HashSecret {
    explicit HashSecret(std::uint64_t secret);
    std::uint64_t words[3];
  };
  static std::uint64_t keyed_hash(const Key& key, const HashSecret& secret);
  void begin(Key& key, std::uint8_t shard, KeyKind kind, const PacketRecord& packet) const;
  std::uint32_t deployment_;
  HashSecret shared_, local_;  // from secret and seed
  std::array<std::uint8_t, 65536> port_map_;
};

}  // namespace snf
