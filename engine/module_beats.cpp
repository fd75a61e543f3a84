// Options of an instance's heartbeats from a Python dictionary.
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>

#include "module.hpp"
#include "option_dict.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

constexpr std::size_t most_targets = 8;
constexpr std::uint64_t longest_interval_ms = 10'000, ns_per_ms = 1'000'000;

std::vector<SocketAddress> read_targets(Options& options) {
  std::vector<std::pair<std::string, std::uint16_t>> targets;
  options.take("targets", targets);
  if (targets.empty() || targets.size() > most_targets) options.fail("targets: must be 1 to 8");
  std::vector<SocketAddress> addresses;
  for (const auto& [host, port] : targets) {
    const std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
    try {
      addresses.emplace_back("tcp:" + text + ":" +
                             std::to_string(port));  // how an address is written; no TCP is spoken
    } catch (const std::invalid_argument&) {
      options.fail("targets: '" + host + "' is no numeric address, or the port is 0");
    }
  }
  return addresses;
}

}  // namespace

BeatOptions read_beats(const nb::dict& dict) {
  BeatOptions beats;
  Options options(dict, "beats");
  beats.targets = read_targets(options);
  nb::bytes token;
  options.take("token", token);
  if (token.size() != beats.token.size()) options.fail("token: must be 16 bytes");
  std::copy_n(static_cast<const std::uint8_t*>(token.data()), token.size(), beats.token.begin());
  std::uint64_t interval_ms = beats.interval_ns / ns_per_ms;
  options.take("interval_ms", interval_ms);
  if (interval_ms == 0 || interval_ms > longest_interval_ms) options.fail("interval_ms: must be 1 to 10000");
  beats.interval_ns = interval_ms * ns_per_ms;
  options.finish();
  return beats;
}

}  // namespace snf
