// Flow keys and their hashes. The tags are computed when compiling, so that each virtual shard owns its own 64 of the
// 16,384 slots of a cluster; the hashes are keyed multiplications, folded, 16 bytes a step (as in wyhash).
#include "flow.hpp"

#include <bit>

#include "wire.hpp"

namespace snf {
namespace {

__extension__ typedef unsigned __int128 Wide;  // ISO C++ has none; GCC and Clang do

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

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t word(const std::uint8_t* from) {
  std::uint64_t value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// A second secret from the first (the SplitMix64 finalizer), never even.
std::uint64_t stretch(std::uint64_t secret) {
  secret += 0x9e3779b97f4a7c15;
  secret = (secret ^ (secret >> 30)) * 0xbf58476d1ce4e5b9;
  secret = (secret ^ (secret >> 27)) * 0x94d049bb133111eb;
  return (secret ^ (secret >> 31)) | 1;
}

void append_address(Key& key, std::uint8_t version, std::uint64_t high, std::uint64_t low) {
  if (version == 6) {
    store64(key.bytes + key.size, high);
    store64(key.bytes + key.size + 8, low);
  } else {
    store32(key.bytes + key.size, static_cast<std::uint32_t>(low));
  }
  key.size = static_cast<std::uint8_t>(key.size + (version == 6 ? 16 : 4));
}

void append_port(Key& key, std::uint16_t port) {
  store16(key.bytes + key.size, port);
  key.size = static_cast<std::uint8_t>(key.size + 2);
}

void append_source(Key& key, const PacketRecord& packet) {
  append_address(key, packet.version, packet.source_high, packet.source_low);
}

void append_destination(Key& key, const PacketRecord& packet) {
  append_address(key, packet.version, packet.destination_high, packet.destination_low);
}

bool source_is_low(const PacketRecord& packet) {
  if (packet.source_high != packet.destination_high) return packet.source_high < packet.destination_high;
  if (packet.source_low != packet.destination_low) return packet.source_low < packet.destination_low;
  return packet.source_port <= packet.destination_port;
}

}  // namespace

Keys::HashSecret::HashSecret(std::uint64_t secret) : words{secret, stretch(secret), stretch(stretch(secret))} {}

// Keys have at least 23 bytes, so the last step may overlap the one before it.
std::uint64_t Keys::keyed_hash(const Key& key, const HashSecret& secret) {
  std::uint64_t state = secret.words[0] ^ key.size;
  for (std::size_t at = 0; at + 16 < key.size; at += 16)
    state = fold(word(key.bytes + at) ^ secret.words[1], word(key.bytes + at + 8) ^ state);
  const std::uint8_t* last = key.bytes + key.size - 16;
  state = fold(word(last) ^ secret.words[1], word(last + 8) ^ state);
  return fold(state ^ secret.words[1], secret.words[2]);
}

Keys::Keys(std::uint32_t deployment, std::uint64_t secret, std::uint64_t seed)
    : deployment_(deployment), shared_(secret), local_(seed) {
  for (std::size_t port = 0; port < port_map_.size(); ++port)
    port_map_[port] = static_cast<std::uint8_t>(stretch(secret ^ stretch(port)) >> 56);
}

std::uint8_t Keys::shard(std::uint16_t port1, std::uint16_t port2) const { return port_map_[port1] ^ port_map_[port2]; }

void Keys::begin(Key& key, std::uint8_t shard, KeyKind kind, const PacketRecord& packet) const {
  std::uint8_t* to = key.bytes;
  to[0] = '{';
  std::memcpy(to + 1, tags[shard].data(), 2);
  to[3] = '}';
  std::memcpy(to + 4, &deployment_, 4);
  to[8] = static_cast<std::uint8_t>(kind);
  to[9] = packet.version;
  to[10] = packet.protocol;
  key.size = 11;
}

void Keys::flow(PacketRecord& packet, Key& key) const {
  // An ICMP identifier stands in both ports, which would cancel out.
  const bool query = packet.protocol == (packet.version == 4 ? protocol::icmp : protocol::icmpv6);
  begin(key, shard(packet.source_port, query ? 0 : packet.destination_port), KeyKind::flow, packet);
  packet.from_low = source_is_low(packet);
  packet.from_low ? append_source(key, packet) : append_destination(key, packet);
  append_port(key, packet.from_low ? packet.source_port : packet.destination_port);
  packet.from_low ? append_destination(key, packet) : append_source(key, packet);
  append_port(key, packet.from_low ? packet.destination_port : packet.source_port);
}

void Keys::fragment(const PacketRecord& packet, const Layout& layout, Key& key) const {
  const auto low = static_cast<std::uint16_t>(layout.fragment_id);
  begin(key, shard(low, static_cast<std::uint16_t>(layout.fragment_id >> 16)), KeyKind::fragment, packet);
  // RFC 8200 section 4.5: in IPv6 the protocol is no part of a fragment's identity, and only the first one knows it.
  if (packet.version == 6) key.bytes[10] = 0;
  append_source(key, packet);
  append_destination(key, packet);
  store32(key.bytes + key.size, layout.fragment_id);
  key.size = static_cast<std::uint8_t>(key.size + 4);
}

std::uint64_t Keys::hash(const Key& key) const { return keyed_hash(key, local_); }

std::uint64_t Keys::shared_hash(const Key& key) const { return keyed_hash(key, shared_); }

}  // namespace snf
