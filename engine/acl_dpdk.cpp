// Rules looked up by rte_acl: one trie for IPv4 and one for IPv6, built once, read by any number of threads.
// rte_acl wants its input in network order, a first field of one byte, and the others in groups of four bytes.
#include <rte_acl.h>
#include <rte_byteorder.h>
#include <rte_errno.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "acl.hpp"

namespace snf {

namespace {

template <std::size_t Words>  // 32-bit words of an address
struct Input {
  std::uint8_t protocol;
  std::uint8_t unused[3];
  std::uint32_t source[Words], destination[Words];
  std::uint16_t source_port, destination_port;
  std::uint8_t direction, icmp_type;
  std::uint16_t zero;
};

template <std::size_t Words>
constexpr std::size_t field_count = 1 + 2 * Words + 5;

std::array<std::uint32_t, 4> words_of(std::uint64_t high, std::uint64_t low) {
  return {static_cast<std::uint32_t>(high >> 32), static_cast<std::uint32_t>(high),
          static_cast<std::uint32_t>(low >> 32), static_cast<std::uint32_t>(low)};
}

template <std::size_t Words>
std::array<rte_acl_field_def, field_count<Words>> fields() {
  std::array<rte_acl_field_def, field_count<Words>> made{};
  std::uint8_t index = 0, group = 0;
  const auto add = [&](std::uint8_t type, std::size_t size, std::size_t offset) {
    made[index] = {type, static_cast<std::uint8_t>(size), index, group, static_cast<std::uint32_t>(offset)};
    ++index;
  };
  using In = Input<Words>;
  add(RTE_ACL_FIELD_TYPE_BITMASK, 1, offsetof(In, protocol));
  for (std::size_t i = 0; i < 2 * Words; ++i) {
    ++group;
    add(RTE_ACL_FIELD_TYPE_MASK, 4, offsetof(In, source) + 4 * i);
  }
  ++group;
  add(RTE_ACL_FIELD_TYPE_RANGE, 2, offsetof(In, source_port));
  add(RTE_ACL_FIELD_TYPE_RANGE, 2, offsetof(In, destination_port));
  ++group;
  add(RTE_ACL_FIELD_TYPE_BITMASK, 1, offsetof(In, direction));
  add(RTE_ACL_FIELD_TYPE_RANGE, 1, offsetof(In, icmp_type));
  add(RTE_ACL_FIELD_TYPE_BITMASK, 2, offsetof(In, zero));
  return made;
}

template <std::size_t Words>
struct Rule {  // as RTE_ACL_RULE_DEF, which is not C++
  rte_acl_rule_data data;
  rte_acl_field field[field_count<Words>];
};

// The address words of one end, with their part of the prefix length.
template <std::size_t Words>
rte_acl_field* set_network(rte_acl_field* field, std::uint64_t high, std::uint64_t low, unsigned prefix) {
  const auto words = words_of(high, low);
  unsigned bits = prefix - (128 - 32 * Words);
  for (std::size_t i = 4 - Words; i < 4; ++i, ++field) {
    const unsigned here = bits < 32 ? bits : 32;
    field->value.u32 = words[i];
    field->mask_range.u32 = here;
    bits -= here;
  }
  return field;
}

template <std::size_t Words>
Rule<Words> rule_of(const RuleRow& row, std::size_t position) {
  Rule<Words> rule{};
  rule.data.category_mask = 1;
  rule.data.priority = static_cast<std::int32_t>(RTE_ACL_MAX_PRIORITY - position);  // the highest one is the answer
  rule.data.userdata = row.rule + 1;                                                // 0 means that nothing matches
  rte_acl_field* field = rule.field;
  field->value.u8 = row.protocol;
  (field++)->mask_range.u8 = row.protocol_mask;
  field = set_network<Words>(field, row.source_high, row.source_low, row.source_prefix);
  field = set_network<Words>(field, row.destination_high, row.destination_low, row.destination_prefix);
  field->value.u16 = row.source_port_first;
  (field++)->mask_range.u16 = row.source_port_last;
  field->value.u16 = row.destination_port_first;
  (field++)->mask_range.u16 = row.destination_port_last;
  field->value.u8 = row.direction == any_direction ? 0 : row.direction;
  (field++)->mask_range.u8 = row.direction == any_direction ? 0 : 0xff;
  field->value.u8 = row.icmp_type_first;
  (field++)->mask_range.u8 = row.icmp_type_last;
  return rule;  // the last field, of zeros, matches everything
}

struct Free {
  void operator()(rte_acl_ctx* context) const { rte_acl_free(context); }
};

[[noreturn]] void fail(const char* what, int error) {
  throw std::runtime_error(std::string("rules: rte_acl cannot ") + what + ": " +
                           rte_strerror(error < 0 ? -error : error));
}

// A trie for the rows of one IP version; empty without such rows.
template <std::size_t Words>
class Trie {
 public:
  Trie(const std::vector<RuleRow>& rows, std::uint8_t version) {
    std::vector<Rule<Words>> rules;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].version == version) rules.push_back(rule_of<Words>(rows[i], i));
    }
    if (!rules.empty()) build(rules);
  }

  std::int64_t classify(const PacketRecord& packet) const {
    if (!context_) return -1;
    const Input<Words> input = input_of(packet);
    const auto* data = reinterpret_cast<const std::uint8_t*>(&input);
    std::uint32_t found = 0;
    rte_acl_classify(context_.get(), &data, &found, 1, 1);
    return static_cast<std::int64_t>(found) - 1;
  }

 private:
  void build(const std::vector<Rule<Words>>& rules) {
    static std::atomic<unsigned> made{0};  // contexts are found by name; a new one is built while the old one serves
    const std::string name = "snf" + std::to_string(Words) + "_" + std::to_string(made++);
    const rte_acl_param parameters = {name.c_str(), -1, sizeof(Rule<Words>), static_cast<std::uint32_t>(rules.size())};
    context_.reset(rte_acl_create(&parameters));
    if (!context_) fail("make a table", rte_errno);
    const auto* first = reinterpret_cast<const rte_acl_rule*>(rules.data());
    if (int error = rte_acl_add_rules(context_.get(), first, parameters.max_rule_num)) fail("take the rules", error);
    rte_acl_config config{};
    config.num_categories = 1;
    config.num_fields = field_count<Words>;
    std::ranges::copy(fields<Words>(), config.defs);
    if (int error = rte_acl_build(context_.get(), &config)) fail("build its table", error);
  }

  static Input<Words> input_of(const PacketRecord& packet) {
    Input<Words> input{};
    const auto source = words_of(packet.source_high, packet.source_low);
    const auto destination = words_of(packet.destination_high, packet.destination_low);
    input.protocol = packet.protocol;
    for (std::size_t i = 0; i < Words; ++i) {
      input.source[i] = rte_cpu_to_be_32(source[4 - Words + i]);
      input.destination[i] = rte_cpu_to_be_32(destination[4 - Words + i]);
    }
    input.source_port = rte_cpu_to_be_16(packet.source_port);
    input.destination_port = rte_cpu_to_be_16(packet.destination_port);
    input.direction = packet.direction;
    input.icmp_type = packet.icmp_type;
    return input;
  }

  std::unique_ptr<rte_acl_ctx, Free> context_;
};

class AclRules final : public Rules {
 public:
  explicit AclRules(const std::vector<RuleRow>& rows) : v4_(rows, 4), v6_(rows, 6) {}

  std::int64_t classify(const PacketRecord& packet) const override {
    return packet.version == 4 ? v4_.classify(packet) : v6_.classify(packet);
  }

 private:
  const Trie<1> v4_;
  const Trie<4> v6_;
};

}  // namespace

std::unique_ptr<const Rules> make_acl_rules(std::span<const RuleRow> rows) {
  return std::make_unique<AclRules>(checked_rows(rows));
}

}  // namespace snf
