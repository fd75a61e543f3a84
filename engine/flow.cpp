// Flow keys and their hashes. The tags are computed when compiling, so that each virtual shard owns its own 64 of the
// 16,384 slots of a cluster; the hashes are keyed multiplications, folded (as in wyhash).
#include "flow.hpp"

#include <compare>

#include "wire.hpp"

namespace snf {
namespace {

constexpr std::size_t shards = 256;
using Tags = std::array<std::array<char, 2>, shards>;

// CRC16-CCITT (XMODEM), as in the Valkey cluster specification, of two bytes.
constexpr std::uint16_t crc16(char first, char second) {
  std::uint16_t crc = 0;
  for (char byte : {first, second}) {
    crc = static_cast<std::uint16_t>(crc ^ (static_cast<unsigned char>(byte) << 8));
    for (int bit = 0; bit < 8; ++bit) crc = static_cast<std::uint16_t>((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0));
  }
  return crc;
}

// For each shard the first pair of letters and digits whose slot lies in its range.
constexpr Tags make_tags() {
  constexpr std::string_view letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  Tags tags{};
  for (char first : letters)
    for (char second : letters) {
      auto& tag = tags[crc16(first, second) % 16384 / 64];
      if (tag[0] == 0) tag = {first, second};
    }
  return tags;
}

constexpr bool complete(const Tags& tags) {
  for (const auto& tag : tags)
    if (tag[0] == 0) return false;
  return true;
}

constexpr Tags tags = make_tags();
static_assert(complete(tags));

// A second secret from the first (the SplitMix64 finalizer), never even.
std::uint64_t stretch(std::uint64_t secret) {
  secret += 0x9e3779b97f4a7c15;
  secret = (secret ^ (secret >> 30)) * 0xbf58476d1ce4e5b9;
  secret = (secret ^ (secret >> 27)) * 0x94d049bb133111eb;
  return (secret ^ (secret >> 31)) | 1;
}

void store_word(std::uint8_t* to, std::uint64_t value) { std::memcpy(to, &value, sizeof value); }

struct Endpoint {
  std::uint64_t high, low;
  std::uint16_t port;
  auto operator<=>(const Endpoint&) const = default;
};

// The tuple of an ICMP error is that of the packet it quotes, which went the other way.
bool is_towards_remote(const PacketRecord& packet) {
  return (packet.direction == 0) == (packet.kind != static_cast<std::uint8_t>(Kind::icmp_error));
}

// What stays of a remote endpoint in a key.
void forget(Remote remote, Endpoint& endpoint) {
  endpoint.port = 0;
  if (remote == Remote::nothing) endpoint.high = endpoint.low = 0;
}

// Whole words that do not overlap: hashing and comparing load them again and need not wait for the stores.
void append_ipv4(Key& key, std::uint64_t kinds, const Endpoint& low, const Endpoint& high) {
  const std::uint64_t low_address = __builtin_bswap32(static_cast<std::uint32_t>(low.low));
  const std::uint64_t high_address = __builtin_bswap32(static_cast<std::uint32_t>(high.low));
  const std::uint64_t low_port = __builtin_bswap16(low.port), high_port = __builtin_bswap16(high.port);
  store_word(key.bytes + 8, kinds | low_address << 32);
  store_word(key.bytes + 16, high_address | low_port << 32 | high_port << 48);
  key.size = 24;
}

void append_ipv6(Key& key, std::uint64_t kinds, const Endpoint& low, const Endpoint& high) {
  store_word(key.bytes + 8, kinds);
  store64(key.bytes + 11, low.high);
  store64(key.bytes + 19, low.low);
  store16(key.bytes + 27, low.port);
  store64(key.bytes + 29, high.high);
  store64(key.bytes + 37, high.low);
  store16(key.bytes + 45, high.port);
  key.size = 47;
}

void append(Key& key, KeyKind kind, std::uint8_t version, std::uint8_t protocol, const Endpoint& low,
            const Endpoint& high) {
  const std::uint64_t kinds = static_cast<std::uint64_t>(kind) | static_cast<std::uint64_t>(version) << 8 |
                              static_cast<std::uint64_t>(protocol) << 16;
  version == 6 ? append_ipv6(key, kinds, low, high) : append_ipv4(key, kinds, low, high);
}

}  // namespace

Keys::Keys(std::uint32_t deployment, std::uint64_t secret, Remote remote)
    : secrets_{secret, stretch(secret), stretch(stretch(secret))}, remote_(remote) {
  for (std::size_t shard = 0; shard < shards; ++shard) {
    const std::array<char, 4> tag = {'{', tags[shard][0], tags[shard][1], '}'};
    std::memcpy(&heads_[shard], tag.data(), 4);
    std::memcpy(reinterpret_cast<std::uint8_t*>(&heads_[shard]) + 4, &deployment, 4);
  }
}

// Computed: a table of all ports would take more of the first-level cache than there is.
std::uint8_t Keys::shard(std::uint16_t port1, std::uint16_t port2) const {
  const auto map = [this](std::uint64_t port) { return fold(port ^ secrets_[1], secrets_[2]) >> 56; };
  return static_cast<std::uint8_t>(map(port1) ^ map(port2));
}

// An ICMP identifier stands in both ports, where it would cancel out, or in the one that is not forgotten.
std::uint8_t Keys::shard_of(std::uint8_t version, std::uint8_t protocol, std::uint16_t one, std::uint16_t other) const {
  const bool query = protocol == (version == 4 ? protocol::icmp : protocol::icmpv6);
  return query ? shard(one | other, 0) : shard(one, other);
}

void Keys::flow(PacketRecord& packet, Key& key) const {
  Endpoint source{packet.source_high, packet.source_low, packet.source_port};
  Endpoint destination{packet.destination_high, packet.destination_low, packet.destination_port};
  if (remote_ != Remote::endpoint) forget(remote_, is_towards_remote(packet) ? destination : source);
  packet.from_low = source <= destination;
  store_word(key.bytes, heads_[shard_of(packet.version, packet.protocol, source.port, destination.port)]);
  append(key, KeyKind::flow, packet.version, packet.protocol, packet.from_low ? source : destination,
         packet.from_low ? destination : source);
}

void Keys::retag(Key& key) const {
  const std::size_t ports = key.bytes[Key::kind_offset + 1] == 4 ? 20 : 27, next = key.size - 2u;
  const std::uint16_t one = load16(key.bytes + ports), other = load16(key.bytes + next);
  store_word(key.bytes, heads_[shard_of(key.bytes[Key::kind_offset + 1], key.bytes[Key::kind_offset + 2], one, other)]);
}

// The identification takes the place of the ports.
void Keys::fragment(const PacketRecord& packet, const Layout& layout, Key& key) const {
  const auto low = static_cast<std::uint16_t>(layout.fragment_id);
  const auto high = static_cast<std::uint16_t>(layout.fragment_id >> 16);
  store_word(key.bytes, heads_[shard(low, high)]);
  // RFC 8200 section 4.5: in IPv6 the protocol is no part of a fragment's identity, and only the first one knows it.
  append(key, KeyKind::fragment, packet.version, packet.version == 6 ? 0 : packet.protocol,
         {packet.source_high, packet.source_low, high}, {packet.destination_high, packet.destination_low, low});
}

}  // namespace snf
