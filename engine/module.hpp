// What the parts of the Python module share: options read from dictionaries, statistics written into them.
#pragma once
#include <nanobind/nanobind.h>

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "beat.hpp"
#include "pipe.hpp"
#include "traffic.hpp"
#include "valkey_client.hpp"

namespace snf {

// Everything a pipe is made of, from a Python dictionary. Each key is read once; a key nobody reads is an error.
struct BuildOptions {
  PipeOptions pipe;
  std::shared_ptr<const Program> program;
  std::shared_ptr<const TableSet> tables;
  std::uint32_t deployment = 0;
  std::uint64_t secret = 0;
  Remote remote = Remote::endpoint;
  bool has_store = false, link = false, acl = false;
  ValkeyOptions store;
  unsigned frames = 4096, frame_size = 9728;
  // An instance's own.
  unsigned threads = 1;
  std::optional<BeatOptions> beats;
};

// Throws nanobind::value_error naming the key.
BuildOptions read_options(const nanobind::dict& options);
// `secret`: the deployment's.
NeighbourOptions read_neighbours(const nanobind::dict& options, std::uint64_t secret);
BeatOptions read_beats(const nanobind::dict& options);
std::shared_ptr<const TableSet> read_tables(nanobind::handle tables, nanobind::handle rules, nanobind::handle owned,
                                            bool acl);
std::unique_ptr<Store> make_store(const BuildOptions& options, Stats& stats);
std::string store_error(Store* store, const BuildOptions& options);
std::uint64_t random_nonce();

// The sum over all pipes, as nested dictionaries; latencies in microseconds.
nanobind::dict stats_dict(std::span<const Stats* const> pipes);
nanobind::list events_list(const std::vector<Event>& events);
nanobind::list dropped_list(const std::vector<DroppedFrame>& dropped);

// `service`: None, or for a function that rewrites (side of the clients, address, port): see TcpFlows and Service.
std::unique_ptr<FlowSource> tcp_flows(unsigned packets, unsigned open_flows, unsigned frame_bytes, std::uint64_t seed,
                                      const nanobind::object& service);

void bind_pipe(nanobind::module_& module);
void bind_instance(nanobind::module_& module);
void bind_bench(nanobind::module_& module);
void bind_ports(nanobind::module_& module);

}  // namespace snf
