// A pipe's options from a Python dictionary.
#include <nanobind/stl/string.h>

#include <cstring>
#include <random>

#include "acl.hpp"
#include "link_store.hpp"
#include "module.hpp"
#include "option_dict.hpp"
#include "valkey_socket.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

Mode mode_named(const std::string& name, const Options& options) {
  if (name == "baseline") return Mode::baseline;
  if (name == "off") return Mode::off;
  if (name == "tracked") return Mode::tracked;
  options.fail("mode: must be baseline, off or tracked");
}

void read_limits(const nb::dict& dict, Limits& limits) {
  Options options(dict, "limits");
  std::uint64_t stale_ms = limits.stale_us / 1000;
  options.take("packets", limits.packets);
  options.take("flows", limits.flows);
  options.take("flights", limits.flights);
  options.take("queue", limits.queue);
  options.take("conflicts", limits.conflicts);
  options.take("new_flows_per_s", limits.new_flows_per_s);
  options.take("guard_ms", limits.guard_ms);
  options.take("stale_ms", stale_ms);
  options.take("linger_ms", limits.linger_ms);
  options.finish();
  limits.stale_us = stale_ms * 1000;
  if (limits.packets == 0 || limits.flows == 0 || limits.flights == 0) options.fail("must be at least 1");
}

void read_store(const nb::dict& dict, BuildOptions& built) {
  Options options(dict, "store");
  std::uint64_t stale_ms = built.store.stale_limit_us / 1000;
  options.take("address", built.store.address);
  options.take("user", built.store.user);
  options.take("password", built.store.password);
  options.take("name", built.store.name);
  options.take("database", built.store.database);
  options.take("stale_ms", stale_ms);
  options.finish();
  built.store.stale_limit_us = stale_ms * 1000;
}

// (high, low, high, low) of the first and the last address of each.
std::vector<AddressRange> read_ranges(nb::handle rows) {
  std::vector<AddressRange> ranges;
  for (const nb::handle item : rows) {
    const auto row = nb::cast<nb::tuple>(item);
    const auto half = [&row](std::size_t at) { return nb::cast<std::uint64_t>(row[at]); };
    ranges.push_back({{half(0), half(1)}, {half(2), half(3)}});
  }
  return ranges;
}

// Offsets of the two fields, or nothing.
void read_counter(const nb::object& fields, Traits& traits, const Options& options) {
  if (fields.is_none()) return;
  const auto pair = nb::cast<nb::tuple>(fields);
  if (pair.size() != 2) options.fail("counter: must be two offsets");
  traits.counted = nb::cast<std::uint16_t>(pair[0]);
  traits.counter = nb::cast<std::uint16_t>(pair[1]);
}

void read_traits(const nb::dict& dict, Traits& traits, Remote& remote) {
  Options options(dict, "traits");
  std::string scope = "endpoint";
  options.take("rewrites", traits.rewrites);
  options.take("timed", traits.timed);
  options.take("remote", scope);
  read_counter(options.object("counter"), traits, options);
  const nb::object turned = options.object("turned");
  if (!turned.is_none()) traits.turned = AddressSet(read_ranges(turned));
  options.finish();
  if (scope != "endpoint" && scope != "address" && scope != "nothing")
    options.fail("remote: must be endpoint, address or nothing");
  remote = scope == "endpoint" ? Remote::endpoint : scope == "address" ? Remote::address : Remote::nothing;
}

}  // namespace

std::uint64_t random_nonce() {
  std::random_device device;
  return static_cast<std::uint64_t>(device()) << 32;
}

std::shared_ptr<const TableSet> read_tables(nb::handle tables, nb::handle rules, nb::handle owned, bool acl) {
  auto set = std::make_shared<TableSet>();
  for (const nb::handle item : tables) {
    const auto pair = nb::cast<nb::tuple>(item);
    const auto bytes = nb::cast<nb::bytes>(pair[0]);
    set->add(bytes.data(), nb::cast<std::uint64_t>(pair[1]), bytes.size());
  }
  if (!rules.is_none()) {
    const auto bytes = nb::cast<nb::bytes>(rules);
    if (bytes.size() % sizeof(RuleRow) != 0) throw nb::value_error("rules: not a whole number of rows");
    std::vector<RuleRow> rows(bytes.size() / sizeof(RuleRow));
    if (!rows.empty()) std::memcpy(rows.data(), bytes.data(), bytes.size());
    set->set_services(acl ? make_acl_rules(rows) : make_linear_rules(rows));
  }
  if (!owned.is_none()) set->set_owned(read_ranges(owned));
  return set;
}

BuildOptions read_options(const nb::dict& dict) {
  BuildOptions built;
  Options options(dict, "options");
  std::string program, mode = "tracked";
  options.take("program", program);
  options.take("mode", mode);
  options.take("acl", built.acl);
  options.take("deployment", built.deployment);
  options.take("secret", built.secret);
  options.take("link", built.link);
  options.take("events", built.pipe.events);
  options.take("captured", built.pipe.captured);
  options.take("frames", built.frames);
  options.take("frame_size", built.frame_size);
  options.take("threads", built.threads);
  built.pipe.mode = mode_named(mode, options);
  Traits traits;
  nb::object part = options.object("traits");
  if (!part.is_none()) read_traits(nb::cast<nb::dict>(part), traits, built.remote);
  part = options.object("limits");
  if (!part.is_none()) read_limits(nb::cast<nb::dict>(part), built.pipe.limits);
  part = options.object("store");
  built.has_store = !part.is_none();
  if (built.has_store) read_store(nb::cast<nb::dict>(part), built);
  part = options.object("neighbours");
  if (!part.is_none()) built.pipe.neighbours = read_neighbours(nb::cast<nb::dict>(part), built.secret);
  part = options.object("beats");
  if (!part.is_none()) built.beats = read_beats(nb::cast<nb::dict>(part));
  const nb::object tables = options.object("tables"), rules = options.object("rules");
  options.finish();
  if (program.empty()) options.fail("program: is missing");
  if ((built.pipe.mode == Mode::baseline) == (built.has_store || built.link))
    options.fail("store: does not fit the mode");
  built.store.tracked = built.pipe.mode == Mode::tracked;
  built.program = std::make_shared<Program>(program, traits);
  built.tables = read_tables(tables.is_none() ? nb::object(nb::list()) : tables, rules, nb::none(), built.acl);
  built.pipe.nonce = random_nonce();
  return built;
}

std::unique_ptr<Store> make_store(const BuildOptions& options, Stats& stats) {
  if (options.link) return std::make_unique<LinkStore>(options.store, stats);
  if (options.has_store) return std::make_unique<ValkeyStore>(options.store, stats);
  return nullptr;
}

std::string store_error(Store* store, const BuildOptions& options) {
  if (store == nullptr) return "";
  return options.link ? static_cast<LinkStore*>(store)->last_error() : static_cast<ValkeyStore*>(store)->last_error();
}

}  // namespace snf
