// Statistics, events and dropped frames as Python values.
#include <nanobind/stl/string.h>

#include <algorithm>

#include "module.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

using Member = const Counter Stats::*;

template <typename Get>
std::uint64_t sum(std::span<const Stats* const> pipes, Get get) {
  std::uint64_t total = 0;
  for (const Stats* stats : pipes) total += get(*stats).get();
  return total;
}

// Upper bounds of the buckets that hold the quantiles, in microseconds; empty where nothing was measured.
nb::dict quantiles(std::span<const Stats* const> pipes, const Histogram Stats::*member) {
  std::uint64_t total = 0;
  std::array<std::uint64_t, Histogram::buckets> counts{};
  for (const Stats* stats : pipes) {
    for (unsigned i = 0; i < Histogram::buckets; ++i) counts[i] += (stats->*member).count(i);
  }
  for (const std::uint64_t count : counts) total += count;
  nb::dict result;
  result["count"] = total;
  for (const auto& [name, share] : {std::pair{"p50", 0.5}, {"p95", 0.95}, {"p99", 0.99}, {"max", 1.0}}) {
    std::uint64_t seen = 0;
    for (unsigned i = 0; i < Histogram::buckets && total > 0; ++i) {
      seen += counts[i];
      if (static_cast<double>(seen) < share * static_cast<double>(total)) continue;
      result[name] = static_cast<double>(Histogram::upper_bound(i)) / 1000;
      break;
    }
  }
  return result;
}

nb::list counted(std::span<const Stats* const> pipes, std::size_t count, auto member) {
  nb::list list;
  for (std::size_t i = 0; i < count; ++i)
    list.append(sum(
        pipes, [&](const Stats& s) -> auto& { return (s.*member)[i]; }));
  return list;
}

// Of the pipes that have neighbours.
nb::dict neighbours_dict(std::span<const Stats* const> pipes) {
  static constexpr std::pair<const char*, Counter NeighbourStats::*> counters[] = {
      {"taken", &NeighbourStats::taken},         {"questions", &NeighbourStats::questions},
      {"answers", &NeighbourStats::answers},     {"answers_limited", &NeighbourStats::answers_limited},
      {"conflicts", &NeighbourStats::conflicts}, {"unasked", &NeighbourStats::unasked},
      {"doubts", &NeighbourStats::doubts},       {"moves", &NeighbourStats::moves},
      {"failures", &NeighbourStats::failures},   {"evictions", &NeighbourStats::evictions}};
  nb::dict result;
  std::uint64_t known = 0;
  for (const auto& [name, member] : counters) {
    std::uint64_t total = 0;
    for (const Stats* stats : pipes) total += stats->neighbours ? (stats->neighbours.get()->*member).get() : 0;
    result[name] = total;
  }
  for (const Stats* stats : pipes) known += stats->neighbours ? stats->neighbours->known.get() : 0;
  result["known"] = known;
  return result;
}

}  // namespace

nb::dict stats_dict(std::span<const Stats* const> pipes) {
  nb::dict result;
  static constexpr std::pair<const char*, Counter Stats::*> single[] = {{"passed", &Stats::passed},
                                                                        {"generated", &Stats::generated},
                                                                        {"answers_limited", &Stats::answers_limited},
                                                                        {"cache_hits", &Stats::cache_hits},
                                                                        {"reads", &Stats::reads},
                                                                        {"tracked_reads", &Stats::tracked_reads},
                                                                        {"commits", &Stats::commits},
                                                                        {"refreshes", &Stats::refreshes},
                                                                        {"conflicts", &Stats::conflicts},
                                                                        {"unknown_outcomes", &Stats::unknown_outcomes},
                                                                        {"reruns", &Stats::reruns},
                                                                        {"invalidations", &Stats::invalidations},
                                                                        {"cache_flushes", &Stats::cache_flushes},
                                                                        {"reconnects", &Stats::reconnects},
                                                                        {"new_flows", &Stats::new_flows},
                                                                        {"refusals", &Stats::refusals},
                                                                        {"effects_lost", &Stats::effects_lost},
                                                                        {"beats", &Stats::beats},
                                                                        {"beats_lost", &Stats::beats_lost}};
  for (const auto& [name, member] : single) {
    result[name] = sum(
        pipes, [&](const Stats& s) -> auto& { return s.*member; });
  }
  result["received"] = counted(pipes, 2, &Stats::received);
  result["received_bytes"] = counted(pipes, 2, &Stats::received_bytes);
  result["forwarded"] = counted(pipes, 2, &Stats::forwarded);
  result["forwarded_bytes"] = counted(pipes, 2, &Stats::forwarded_bytes);
  result["function_drops"] = counted(pipes, function_drop_count, &Stats::function_drops);
  std::uint64_t records = 0, in_flight = 0;
  for (const Stats* stats : pipes) {
    records += stats->records.get();
    in_flight += stats->in_flight.get();
  }
  result["records"] = records;
  result["in_flight"] = in_flight;
  nb::dict drops, counters;
  for (std::size_t i = 0; i < drop_count; ++i) {
    drops[nb::str(name_of(static_cast<Drop>(i)).data())] = sum(
        pipes, [&](const Stats& s) -> auto& { return s.drops[i]; });
  }
  for (std::size_t i = 0; i < function_counter_count; ++i) {
    const std::uint64_t value = sum(
        pipes, [&](const Stats& s) -> auto& { return s.function_counters[i]; });
    if (value > 0) counters[nb::int_(i)] = value;
  }
  result["drops"] = drops;
  result["function_counters"] = counters;
  result["latency_us"] = quantiles(pipes, &Stats::latency);
  result["store_latency_us"] = quantiles(pipes, &Stats::store_latency);
  const bool any = std::any_of(pipes.begin(), pipes.end(), [](const Stats* s) { return s->neighbours != nullptr; });
  if (any) result["neighbours"] = neighbours_dict(pipes);
  return result;
}

nb::list events_list(const std::vector<Event>& events) {
  nb::list list;
  for (const Event& event : events) {
    list.append(nb::make_tuple(nb::bytes(&event.packet, sizeof(PacketRecord)), event.code, event.value,
                               nb::bytes(event.record.data(), event.record.size())));
  }
  return list;
}

nb::list dropped_list(const std::vector<DroppedFrame>& dropped) {
  nb::list list;
  for (const DroppedFrame& frame : dropped) {
    list.append(nb::make_tuple(frame.token, nb::str(name_of(frame.reason).data()), int{frame.function_reason} - 1,
                               nb::bytes(frame.bytes.data(), frame.bytes.size())));
  }
  return list;
}

}  // namespace snf
