// Rules looked up by comparing a packet with each row in turn: as simple as the definition, and its reference.
#include <algorithm>
#include <stdexcept>
#include <utility>

#include "acl.hpp"

namespace snf {

namespace {

std::uint64_t high_mask(unsigned prefix) {
  if (prefix == 0) return 0;
  return prefix >= 64 ? ~0ULL : ~0ULL << (64 - prefix);
}

std::uint64_t low_mask(unsigned prefix) { return prefix <= 64 ? 0 : ~0ULL << (128 - prefix); }

bool in_network(std::uint64_t high, std::uint64_t low, std::uint64_t row_high, std::uint64_t row_low, unsigned prefix) {
  return (high & high_mask(prefix)) == row_high && (low & low_mask(prefix)) == row_low;
}

bool within(unsigned value, unsigned first, unsigned last) { return first <= value && value <= last; }

bool matches(const RuleRow& row, const PacketRecord& packet) {
  return row.version == packet.version && (packet.protocol & row.protocol_mask) == row.protocol &&
         (row.direction == any_direction || row.direction == packet.direction) &&
         within(packet.source_port, row.source_port_first, row.source_port_last) &&
         within(packet.destination_port, row.destination_port_first, row.destination_port_last) &&
         within(packet.icmp_type, row.icmp_type_first, row.icmp_type_last) &&
         in_network(packet.source_high, packet.source_low, row.source_high, row.source_low, row.source_prefix) &&
         in_network(packet.destination_high, packet.destination_low, row.destination_high, row.destination_low,
                    row.destination_prefix);
}

bool possible(const RuleRow& row) {
  const unsigned shortest = row.version == 4 ? 96 : 0;
  return (row.version == 4 || row.version == 6) && within(row.source_prefix, shortest, 128) &&
         within(row.destination_prefix, shortest, 128) && row.direction <= any_direction &&
         (row.protocol & row.protocol_mask) == row.protocol;
}

class LinearRules final : public Rules {
 public:
  explicit LinearRules(std::vector<RuleRow> rows) : rows_(std::move(rows)) {}

  std::int64_t classify(const PacketRecord& packet) const override {
    const auto found = std::ranges::find_if(rows_, [&](const RuleRow& row) { return matches(row, packet); });
    return found == rows_.end() ? -1 : static_cast<std::int64_t>(found->rule);
  }

 private:
  const std::vector<RuleRow> rows_;
};

}  // namespace

std::vector<RuleRow> checked_rows(std::span<const RuleRow> rows) {
  if (!std::ranges::all_of(rows, possible)) throw std::invalid_argument("rules: a row with impossible values");
  return {rows.begin(), rows.end()};
}

std::unique_ptr<const Rules> make_linear_rules(std::span<const RuleRow> rows) {
  return std::make_unique<LinearRules>(checked_rows(rows));
}

}  // namespace snf
