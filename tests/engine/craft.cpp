#include "craft.hpp"

#include <algorithm>

#include "wire.hpp"

namespace snf::craft {
namespace {

constexpr std::uint8_t fragment_header = 44;

void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

Bytes random_bytes(std::mt19937& random, std::size_t size) {
  Bytes data(size);
  for (auto& byte : data) byte = static_cast<std::uint8_t>(random());
  return data;
}

Bytes address(bool four, std::uint64_t high, std::uint64_t low) {
  Bytes out(16);
  store64(&out[0], high);
  store64(&out[8], low);
  return four ? Bytes(out.begin() + 12, out.end()) : out;
}

std::uint8_t icmp_of(const Recipe& recipe) { return recipe.four ? protocol::icmp : protocol::icmpv6; }

std::uint8_t protocol_of(const Recipe& recipe) {
  switch (recipe.payload) {
    case Payload::tcp:
      return protocol::tcp;
    case Payload::udp:
    case Payload::udp_without_sum:
      return protocol::udp;
    case Payload::gre:
      return 47;
    default:
      return icmp_of(recipe);
  }
}

// The checksum at `at`, over `data` and, but for ICMPv4, the pseudo header.
void sum(Bytes& data, std::size_t at, const Recipe& recipe, std::uint8_t protocol, const Bytes& addresses) {
  Bytes all;
  if (protocol != protocol::icmp) {
    all = addresses;
    all.resize(all.size() + 8);
    store32(&all[all.size() - 8], static_cast<std::uint32_t>(data.size()));
    all.back() = protocol;
  }
  store16(&data[at], 0);
  append(all, data);
  const auto checksum = static_cast<std::uint16_t>(~plain_sum(all));
  store16(&data[at], checksum == 0 && protocol == protocol::udp ? 0xffff : checksum);
  if (recipe.payload == Payload::udp_without_sum && protocol == protocol::udp) store16(&data[at], 0);
}

void make_tcp(Bytes& data) {
  data[12] = 0x80;  // 12 bytes of options
  data[13] = syn;
  const Bytes options = {1, 2, 4, 0x05, 0xb4, 1, 1, 3, 3, 7, 0, 0};  // the MSS at an odd distance
  std::copy(options.begin(), options.end(), data.begin() + 20);
}

void make_icmp(Bytes& data, const Recipe& recipe) {
  const bool query = recipe.payload == Payload::echo, reply = data[1] & 1;
  data[0] = query ? (recipe.four ? (reply ? 0 : 8) : 128 + reply) : (recipe.four ? 9 : 130);
  data[1] = 0;
}

// The transport header and its data: at least 56 bytes, so that fragments and quotes have something to cut.
Bytes transport(const Recipe& recipe, std::mt19937& random, const Tuple& tuple, const Bytes& addresses) {
  Bytes data = random_bytes(random, 56 + random() % 40);
  const std::uint8_t protocol = protocol_of(recipe);
  if (protocol == protocol::tcp || protocol == protocol::udp) {
    store16(&data[0], tuple.source_port);
    store16(&data[2], tuple.destination_port);
  }
  if (protocol == protocol::tcp) make_tcp(data), sum(data, 16, recipe, protocol, addresses);
  if (protocol == protocol::udp) store16(&data[4], static_cast<std::uint16_t>(data.size()));
  if (protocol == protocol::udp) sum(data, 6, recipe, protocol, addresses);
  if (protocol == icmp_of(recipe)) {
    make_icmp(data, recipe);
    if (recipe.payload == Payload::echo) store16(&data[4], tuple.source_port);
    sum(data, 2, recipe, protocol, addresses);
  }
  return data;
}

Bytes ipv4(const Recipe& recipe, std::mt19937& random, const Bytes& addresses, std::uint8_t protocol,
           std::uint16_t fragment, const Bytes& data) {
  Bytes ip = random_bytes(random, recipe.options ? 28 : 20);
  if (recipe.options) std::fill(ip.begin() + 20, ip.end(), 1);
  ip[0] = static_cast<std::uint8_t>(0x40 + ip.size() / 4);
  store16(&ip[2], static_cast<std::uint16_t>(ip.size() + data.size()));
  store16(&ip[6], fragment);
  ip[9] = protocol;
  std::copy(addresses.begin(), addresses.end(), ip.begin() + 12);
  store16(&ip[10], 0);
  store16(&ip[10], static_cast<std::uint16_t>(~plain_sum(ip)));
  append(ip, data);
  return ip;
}

Bytes ipv6(const Recipe& recipe, std::mt19937& random, const Bytes& addresses, std::uint8_t protocol,
           std::uint16_t fragment, const Bytes& data) {
  Bytes ip = random_bytes(random, 8);
  append(ip, addresses);
  std::size_t next = 6;
  const auto extend = [&](std::uint8_t kind, const Bytes& header) {
    ip[next] = kind;
    next = ip.size();
    append(ip, header);
  };
  ip[0] = 0x60 | (ip[0] & 15);
  if (recipe.options) extend(0, {0, 0, 1, 4, 0, 0, 0, 0});
  if (recipe.options) extend(60, {0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  if (recipe.cut != Cut::whole)
    extend(fragment_header,
           {0, 0, static_cast<std::uint8_t>(fragment >> 8), static_cast<std::uint8_t>(fragment), 9, 8, 7, 6});
  ip[next] = protocol;
  append(ip, data);
  store16(&ip[4], static_cast<std::uint16_t>(ip.size() - 40));
  return ip;
}

// The packet or the fragment of it that the recipe asks for: the first 40 bytes, or those from 40 on.
Bytes packet(const Recipe& recipe, std::mt19937& random, const Tuple& tuple) {
  Bytes addresses = address(recipe.four, tuple.source_high, tuple.source_low);
  append(addresses, address(recipe.four, tuple.destination_high, tuple.destination_low));
  Bytes data = transport(recipe, random, tuple, addresses);
  std::uint16_t fragment = 0;
  if (recipe.cut == Cut::first_fragment) data.resize(40), fragment = recipe.four ? 0x2000 : 1;
  if (recipe.cut == Cut::later_fragment) data.erase(data.begin(), data.begin() + 40), fragment = recipe.four ? 5 : 40;
  return (recipe.four ? ipv4 : ipv6)(recipe, random, addresses, protocol_of(recipe), fragment, data);
}

std::size_t transport_at(const Recipe& recipe) {
  if (recipe.four) return recipe.options ? 28 : 20;
  return 40u + (recipe.options ? 24 : 0) + (recipe.cut == Cut::whole ? 0 : 8);
}

Bytes error(const Recipe& recipe, std::mt19937& random, const Tuple& tuple) {
  const Bytes quoted = packet(recipe, random, tuple);
  const std::size_t size = std::min(quoted.size(), transport_at(recipe) + recipe.quoted);
  Bytes icmp = {static_cast<std::uint8_t>(recipe.four ? 3 : 1), 1, 0, 0, 0, 0, 0, 0};
  icmp.insert(icmp.end(), quoted.begin(), quoted.begin() + static_cast<std::ptrdiff_t>(size));
  const Bytes router = random_bytes(random, recipe.four ? 4 : 16);
  const Bytes host = address(recipe.four, tuple.destination_high, tuple.destination_low);
  Bytes addresses = recipe.from_quoted ? host : router;
  append(addresses, address(recipe.four, tuple.source_high, tuple.source_low));
  sum(icmp, 2, recipe, icmp_of(recipe), addresses);
  Recipe outer = recipe;
  outer.cut = Cut::whole;
  return (recipe.four ? ipv4 : ipv6)(outer, random, addresses, icmp_of(recipe), 0, icmp);
}

}  // namespace

std::uint16_t plain_sum(const Bytes& data) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < data.size(); ++i) sum += i % 2 == 0 ? data[i] << 8 : data[i];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

Recipe random_recipe(std::mt19937& random) {
  Recipe recipe{.seed = static_cast<std::uint32_t>(random()), .four = random() % 2 == 0};
  recipe.payload = static_cast<Payload>(random() % 6);
  recipe.cut = static_cast<Cut>(random() % 4);
  recipe.tags = random() % 4;
  recipe.options = random() % 2 == 0;
  recipe.error = random() % 2 == 0;
  recipe.from_quoted = random() % 2 == 0;
  recipe.quoted = 8 + random() % 100;
  if (recipe.quoted == 17) recipe.quoted = 16;  // half a TCP checksum: has its own test
  recipe.trailer = random() % 2 * (random() % 20);
  if (recipe.error && recipe.cut == Cut::later_fragment) recipe.cut = Cut::whole;  // nobody answers those
  if (recipe.error && recipe.payload == Payload::other_icmp) recipe.payload = Payload::echo;
  return recipe;
}

Tuple random_tuple(std::mt19937& random, const Recipe& recipe) {
  const auto wide = [&] { return std::uint64_t{random()} << 32 | random(); };
  const auto low = [&] { return recipe.four ? mapped_prefix << 32 | random() : wide(); };
  const auto high = [&] { return recipe.four ? 0 : std::uint64_t{0x20} << 56 | wide() >> 8; };
  Tuple tuple{high(), low(), high(), low(), static_cast<std::uint16_t>(random()), static_cast<std::uint16_t>(random())};
  const bool none = recipe.payload == Payload::gre || recipe.payload == Payload::other_icmp;
  if (recipe.payload == Payload::echo) tuple.destination_port = tuple.source_port;
  if (none || recipe.cut == Cut::later_fragment) tuple.source_port = tuple.destination_port = 0;
  return tuple;
}

Bytes frame(const Recipe& recipe, const Tuple& tuple) {
  std::mt19937 random(recipe.seed);
  Bytes out = random_bytes(random, 12);
  for (unsigned tag = 0; tag < recipe.tags; ++tag)
    append(out, {0x81, 0x00, static_cast<std::uint8_t>(random()), static_cast<std::uint8_t>(random())});
  append(out, recipe.four ? Bytes{0x08, 0x00} : Bytes{0x86, 0xdd});
  append(out, (recipe.error ? error : packet)(recipe, random, tuple));
  append(out, random_bytes(random, recipe.trailer));
  return out;
}

}  // namespace snf::craft
