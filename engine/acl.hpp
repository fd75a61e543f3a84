// Static rules: which one decides about a packet that would open a flow. `Rules` is the seam behind `tables.services`;
// the linear form is the reference, rte_acl the fast one. Rows come from statelessnf/functions/rules.py, in the order
// of the rules; the first row that matches decides, and its rule's index is the answer. Look-ups are thread-safe.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "packet.hpp"

namespace snf {

inline constexpr std::uint8_t any_direction = 2;

// One combination of what a rule lists; mirrors ROW in statelessnf/functions/rules.py. Ranges hold both of their ends.
struct RuleRow {
  std::uint64_t source_high, source_low;  // networks as in PacketRecord: IPv4 as ::ffff:a.b.c.d
  std::uint64_t destination_high, destination_low;
  std::uint32_t rule;
  std::uint16_t source_port_first, source_port_last;
  std::uint16_t destination_port_first, destination_port_last;
  std::uint8_t source_prefix, destination_prefix;  // bits of 128: 96 to 128 for IPv4
  std::uint8_t version;                            // 4 or 6
  std::uint8_t protocol, protocol_mask;            // mask 0: any protocol
  std::uint8_t direction;                          // or any_direction
  std::uint8_t icmp_type_first, icmp_type_last;
  std::uint8_t reserved[4];
};
static_assert(sizeof(RuleRow) == 56);

class Rules {
 public:
  virtual ~Rules() = default;
  virtual std::int64_t classify(const PacketRecord& packet) const = 0;  // index of the first rule; -1: none matches
};

// A copy of the rows. Throws std::invalid_argument: values that no rule has.
std::vector<RuleRow> checked_rows(std::span<const RuleRow> rows);

std::unique_ptr<const Rules> make_linear_rules(std::span<const RuleRow> rows);

// Needs EAL and SNF_DPDK. Throws std::runtime_error: rte_acl cannot build its tables (memory).
std::unique_ptr<const Rules> make_acl_rules(std::span<const RuleRow> rows);

}  // namespace snf
