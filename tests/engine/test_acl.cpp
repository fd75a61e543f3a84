// Rules: the reference does what it says, and rte_acl answers as the reference for random rules and packets.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "acl.hpp"
#ifdef SNF_DPDK
#include "dpdk_eal.hpp"
#endif

using namespace snf;

namespace {

constexpr std::uint64_t mapped = 0xffff00000000ULL;

RuleRow any_row(std::uint32_t rule, std::uint8_t version = 4) {
  RuleRow row{};
  row.rule = rule;
  row.version = version;
  if (version == 4) {
    row.source_low = row.destination_low = mapped;
    row.source_prefix = row.destination_prefix = 96;
  }
  row.source_port_last = row.destination_port_last = 65535;
  row.icmp_type_last = 255;
  row.direction = any_direction;
  return row;
}

PacketRecord packet_to(std::uint32_t address, std::uint16_t port) {
  PacketRecord packet{};
  packet.version = 4;
  packet.protocol = 6;
  packet.source_low = mapped | 0x0a000001;
  packet.destination_low = mapped | address;
  packet.destination_port = port;
  return packet;
}

}  // namespace

TEST_CASE("rules: the first row that matches gives the answer") {
  std::vector<RuleRow> rows = {any_row(0), any_row(1), any_row(2)};
  rows[0].destination_port_first = 80;
  rows[0].destination_port_last = 89;
  rows[1].destination_low = mapped | 0xc0a80000;
  rows[1].destination_prefix = 96 + 16;
  rows[1].direction = 0;
  rows[2].protocol = 17;
  rows[2].protocol_mask = 255;
  const auto rules = make_linear_rules(rows);
  CHECK(rules->classify(packet_to(0xc0a80101, 80)) == 0);
  CHECK(rules->classify(packet_to(0xc0a80101, 89)) == 0);
  CHECK(rules->classify(packet_to(0xc0a80101, 90)) == 1);
  CHECK(rules->classify(packet_to(0xc0a90101, 79)) == -1);
  PacketRecord packet = packet_to(0xc0a80101, 90);
  packet.direction = 1;
  CHECK(rules->classify(packet) == -1);
  packet.protocol = 17;
  CHECK(rules->classify(packet) == 2);
  packet.version = 6;
  CHECK(rules->classify(packet) == -1);
}

TEST_CASE("rules: IPv6 networks of every prefix length") {
  for (unsigned prefix = 0; prefix <= 128; ++prefix) {
    RuleRow row = any_row(7, 6);
    row.source_prefix = static_cast<std::uint8_t>(prefix);
    const std::uint64_t high = prefix == 0 ? 0 : prefix >= 64 ? ~0ULL : ~0ULL << (64 - prefix);
    row.source_high = 0x20010db8aaaaaaaaULL & high;
    row.source_low = prefix > 64 ? 0x5555555555555555ULL & (~0ULL << (128 - prefix)) : 0;
    const auto rules = make_linear_rules(std::vector{row});
    PacketRecord packet{};
    packet.version = 6;
    packet.source_high = 0x20010db8aaaaaaaaULL;
    packet.source_low = 0x5555555555555555ULL;
    CHECK(rules->classify(packet) == 7);
    if (prefix == 0) continue;
    (prefix > 64 ? packet.source_low : packet.source_high) ^= 1ULL << (prefix > 64 ? 128 - prefix : 64 - prefix);
    CHECK(rules->classify(packet) == -1);
  }
}

TEST_CASE("rules: no rows match nothing; broken rows are refused") {
  CHECK(make_linear_rules({})->classify(packet_to(1, 1)) == -1);
  std::vector<RuleRow> rows = {any_row(0)};
  rows[0].source_prefix = 95;
  CHECK_THROWS_AS(make_linear_rules(rows), std::invalid_argument);
  rows[0] = any_row(0, 5);
  CHECK_THROWS_AS(make_linear_rules(rows), std::invalid_argument);
}

#ifdef SNF_DPDK
namespace {

// Few values, so that packets meet rules and rules overlap.
class Draw {
 public:
  explicit Draw(unsigned seed) : random_(seed) {}
  unsigned below(unsigned n) { return static_cast<unsigned>(random_() % n); }

  RuleRow row(std::uint32_t rule) {
    RuleRow row = any_row(rule, below(2) ? 4 : 6);
    network(row.version, row.source_high, row.source_low, row.source_prefix);
    network(row.version, row.destination_high, row.destination_low, row.destination_prefix);
    ports(row.source_port_first, row.source_port_last);
    ports(row.destination_port_first, row.destination_port_last);
    if (below(2)) {
      row.protocol = protocol();
      row.protocol_mask = 255;
    }
    row.direction = static_cast<std::uint8_t>(below(3));
    if (below(4) == 0) row.icmp_type_first = row.icmp_type_last = type();
    return row;
  }

  PacketRecord packet() {
    PacketRecord packet{};
    packet.version = below(2) ? 4 : 6;
    address(packet.version, packet.source_high, packet.source_low);
    address(packet.version, packet.destination_high, packet.destination_low);
    packet.source_port = port();
    packet.destination_port = port();
    packet.protocol = protocol();
    packet.direction = static_cast<std::uint8_t>(below(2));
    packet.icmp_type = type();
    return packet;
  }

 private:
  std::uint16_t port() { return static_cast<std::uint16_t>(below(2) ? below(8) : 65535 - below(8)); }
  std::uint8_t protocol() { return std::array<std::uint8_t, 4>{0, 1, 6, 17}[below(4)]; }
  std::uint8_t type() { return static_cast<std::uint8_t>(below(2) ? 8 : 128); }

  void ports(std::uint16_t& first, std::uint16_t& last) {
    if (below(3) == 0) return;
    const std::uint16_t one = port(), other = port();
    first = std::min(one, other);
    last = std::max(one, other);
  }

  void address(std::uint8_t version, std::uint64_t& high, std::uint64_t& low) {
    high = version == 4 ? 0 : 0x20010db800000000ULL | below(2) << 4 | below(2);
    low = version == 4 ? mapped | 0x0a000000 | below(2) << 20 | below(4) : std::uint64_t{below(2)} << 60 | below(4);
  }

  void network(std::uint8_t version, std::uint64_t& high, std::uint64_t& low, std::uint8_t& prefix) {
    address(version, high, low);
    const unsigned bits = version == 4 ? 96 + below(33) : below(129);
    prefix = static_cast<std::uint8_t>(bits);
    high &= bits == 0 ? 0 : bits >= 64 ? ~0ULL : ~0ULL << (64 - bits);
    low &= bits <= 64 ? 0 : ~0ULL << (128 - bits);
  }

  std::mt19937 random_;
};

}  // namespace

TEST_CASE("rules: rte_acl answers as the reference") {
  start_eal();
  unsigned matched = 0, unmatched = 0;
  for (unsigned seed = 0; seed < 60; ++seed) {
    Draw draw(seed);
    std::vector<RuleRow> rows;
    for (unsigned i = 0, n = draw.below(40); i < n; ++i) rows.push_back(draw.row(i / 2));
    const auto linear = make_linear_rules(rows), acl = make_acl_rules(rows);
    for (unsigned i = 0; i < 2000; ++i) {
      const PacketRecord packet = draw.packet();
      const std::int64_t expected = linear->classify(packet);
      REQUIRE(acl->classify(packet) == expected);
      ++(expected < 0 ? unmatched : matched);
    }
  }
  CHECK(matched > 10'000);
  CHECK(unmatched > 10'000);
}
#endif
