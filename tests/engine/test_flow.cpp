// Keys: the same for both directions, different for everything else; shards spread over the cluster's slots.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <unordered_set>

#include "flow.hpp"
#include "frames.hpp"
#include "wire.hpp"

namespace snf {
namespace {

using frames::Sample;

const Keys keys(0x01020304, 0xfeedface);

PacketRecord packet_of(std::uint8_t version, std::uint8_t protocol, std::uint64_t source, std::uint16_t source_port,
                       std::uint64_t destination, std::uint16_t destination_port) {
  PacketRecord packet{};
  packet.version = version;
  packet.protocol = protocol;
  packet.source_low = source;
  packet.source_port = source_port;
  packet.destination_low = destination;
  packet.destination_port = destination_port;
  return packet;
}

PacketRecord swapped(PacketRecord packet) {
  std::swap(packet.source_high, packet.destination_high);
  std::swap(packet.source_low, packet.destination_low);
  std::swap(packet.source_port, packet.destination_port);
  return packet;
}

Key key_of(PacketRecord packet) {
  Key key;
  keys.flow(packet, key);
  return key;
}

std::string text(const Key& key) { return {reinterpret_cast<const char*>(key.bytes), key.size}; }

// The cluster specification's slot of a hash tag: CRC16 (XMODEM), from its definition.
unsigned slot_of(const Key& key) {
  unsigned crc = 0;
  for (int i = 1; i <= 2; ++i) {
    crc ^= static_cast<unsigned>(key.bytes[i]) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc % 16384;
}

TEST_CASE("the bytes of a key") {
  Sample s(frames::ipv4_udp);
  REQUIRE(s.is_flow());
  Key key;
  keys.flow(s.record, key);
  REQUIRE(key.size == 24);
  CHECK(text(key).substr(4) == std::string("\x04\x03\x02\x01"
                                           "f\x04\x11\x00"
                                           "\x0a\x00\x00\x01\xc0\x00\x02\x09"
                                           "\x13\x88\x00\x35",
                                           20));
  CHECK(key.bytes[0] == '{');
  CHECK(key.bytes[3] == '}');
  CHECK(s.record.from_low == 1);
  Sample six(frames::ipv6_udp);
  REQUIRE(six.is_flow());
  keys.flow(six.record, key);
  CHECK(key.size == Key::capacity);
  CHECK(six.record.from_low == 0);  // 2001:… < fd00::…
}

TEST_CASE("both directions have one key, and know which end they come from") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 2000; ++round) {
    PacketRecord packet = packet_of(6, 6, random() % 4, random() % 3, random() % 4, random() % 3);
    packet.source_high = random() % 3, packet.destination_high = random() % 3;
    PacketRecord back = swapped(packet);
    Key key, other;
    keys.flow(packet, key);
    keys.flow(back, other);
    CHECK(key == other);
    const bool same_ends = packet.source_high == packet.destination_high &&
                           packet.source_low == packet.destination_low && packet.source_port == packet.destination_port;
    CHECK((packet.from_low != back.from_low) == !same_ends);
  }
}

TEST_CASE("every part of the tuple counts") {
  const PacketRecord packet = packet_of(4, 6, 1, 10, 2, 20);
  const Key key = key_of(packet);
  for (auto change :
       {+[](PacketRecord& p) { p.source_low = 3; }, +[](PacketRecord& p) { p.source_port = 11; },
        +[](PacketRecord& p) { p.destination_low = 4; }, +[](PacketRecord& p) { p.destination_port = 21; },
        +[](PacketRecord& p) { p.protocol = 17; }, +[](PacketRecord& p) { p.version = 6; },
        +[](PacketRecord& p) { std::swap(p.source_port, p.destination_port); }}) {
    PacketRecord other = packet;
    change(other);
    CHECK_FALSE(key_of(other) == key);
  }
  Key elsewhere;
  PacketRecord same = packet;
  Keys(5, 0xfeedface).flow(same, elsewhere);
  CHECK_FALSE(elsewhere == key);
}

TEST_CASE("an ICMP error has the key of the packet that it quotes") {
  Sample error(frames::ipv4_unreachable), quoted(frames::ipv4_udp);
  REQUIRE(error.is_flow());
  REQUIRE(quoted.is_flow());
  CHECK(key_of(error.record) == key_of(quoted.record));
}

TEST_CASE("all fragments of a datagram have one key") {
  const auto fragment_key = [](Sample& sample) {
    REQUIRE(sample.is_flow());
    Key key;
    keys.fragment(sample.record, sample.layout, key);
    return key;
  };
  Sample first(frames::ipv4_first), later(frames::ipv4_later), other(frames::ipv4_later);
  const Key key = fragment_key(first);
  CHECK(key == fragment_key(later));
  other.set(frames::ip_at + 4, {0x12, 0x35}).fix_ipv4();
  CHECK_FALSE(key == fragment_key(other));
  Sample other_protocol(frames::ipv4_later);
  other_protocol.set(frames::ip_at + 9, {47}).fix_ipv4();
  CHECK_FALSE(key == fragment_key(other_protocol));
  Sample first6(frames::ipv6_first), later6(frames::ipv6_later), lying6(frames::ipv6_later);
  const Key key6 = fragment_key(first6);
  CHECK(key6 == fragment_key(later6));
  CHECK(key6 == fragment_key(lying6.set(frames::v6_at, {60})));  // RFC 8200: its next header does not count
  CHECK(key.bytes[8] == 'g');
}

TEST_CASE("each shard has its own 64 slots, and all are reached") {
  std::set<unsigned> reached;
  for (unsigned port = 0; port < 65536; ++port) {
    const PacketRecord packet = packet_of(4, 17, 1, static_cast<std::uint16_t>(port), 2, 53);
    const Key key = key_of(packet);
    const unsigned shard = keys.shard(static_cast<std::uint16_t>(port), 53);
    if (!reached.insert(shard).second) continue;
    CHECK(slot_of(key) / 64 == shard);
    CHECK(std::all_of(key.bytes + 1, key.bytes + 3, [](int c) { return c != '{' && c != '}'; }));
  }
  CHECK(reached.size() == 256);
}

TEST_CASE("shards are symmetric, spread, and secret") {
  std::array<int, 256> count{}, pings{};
  int moved = 0;
  const Keys others(0x01020304, 0xfeedfacf);
  for (unsigned port = 0; port < 65536; ++port) {
    const auto p = static_cast<std::uint16_t>(port);
    CHECK(keys.shard(p, 443) == keys.shard(443, p));
    ++count[keys.shard(p, 443)];
    moved += keys.shard(p, 443) != others.shard(p, 443);
    ++pings[slot_of(key_of(packet_of(4, 1, 1, p, 2, p))) / 64];
  }
  for (const auto& counts : {count, pings}) {  // 256 each on average, standard deviation 16
    CHECK(*std::min_element(counts.begin(), counts.end()) > 160);
    CHECK(*std::max_element(counts.begin(), counts.end()) < 352);
  }
  CHECK(moved > 65000);
}

TEST_CASE("hashes spread, differ by secret, and are shared where they should be") {
  const Keys same_secret(0x01020304, 0xfeedface), other_secret(0x01020304, 0xfeedfacf);
  std::unordered_set<std::uint64_t> hashes;
  std::array<int, 64> ones{};
  for (std::uint64_t source = 0; source < 100; ++source)
    for (std::uint16_t port = 0; port < 100; ++port)
      for (std::uint8_t version : {4, 6}) {
        const Key key = key_of(packet_of(version, 6, source, port, 1000, 443));
        const std::uint64_t hash = keys.hash(key);
        hashes.insert(hash);
        for (unsigned bit = 0; bit < 64; ++bit) ones[bit] += hash >> bit & 1;
        CHECK(hash != other_secret.hash(key));
        CHECK(hash == same_secret.hash(key));
      }
  CHECK(hashes.size() == 20000);
  for (int count : ones) CHECK(std::abs(count - 10000) < 400);  // standard deviation 71
}

TEST_CASE("every byte of a key changes its hash") {
  for (std::uint8_t version : {4, 6}) {
    const Key key = key_of(packet_of(version, 6, 1, 10, 2, 20));
    for (unsigned at = 0; at < key.size; ++at)
      for (unsigned bit = 0; bit < 8; ++bit) {
        Key other = key;
        other.bytes[at] = static_cast<std::uint8_t>(other.bytes[at] ^ (1 << bit));
        CHECK(std::popcount(keys.hash(key) ^ keys.hash(other)) > 8);
      }
  }
}

}  // namespace
}  // namespace snf
