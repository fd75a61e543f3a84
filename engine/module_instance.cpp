// statelessnf._engine.Instance: pipes on DPDK ports, each with its own threads, store connection and cache.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "dpdk_eal.hpp"
#include "dpdk_port.hpp"
#include "module.hpp"
#include "worker.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

class Instance {
 public:
  Instance(const nb::dict& options, const DpdkLink& link)
      : options_(read_options(options)), keys_(options_.deployment, options_.secret, options_.remote), link_(link) {
    options_.pipe.clock = &monotonic_ns;
    for (unsigned i = 0; i < link_.pipes(); ++i) {
      ports_.push_back(std::make_unique<DpdkPort>(link_, i));
      PipeOptions pipe = options_.pipe;
      pipe.nonce = random_nonce();
      if (pipe.neighbours) share_neighbours(*pipe.neighbours, i);
      workers_.push_back(std::make_unique<Worker>(
          pipe, options_.threads, *ports_.back(), keys_, [this](Stats& stats) { return make_store(options_, stats); },
          options_.program, options_.tables, &register_eal_thread));
      if (options_.beats) let_beat(*workers_.back(), *options_.beats, i);
    }
  }
  Instance(const Instance&) = delete;
  void start() {
    for (auto& worker : workers_) worker->start();
  }
  void stop() {
    const nb::gil_scoped_release unlocked;
    for (auto& worker : workers_) worker->stop();
  }
  nb::dict stats() const {
    std::vector<const Stats*> all;
    std::uint64_t scattered = 0;
    for (unsigned i = 0; i < workers_.size(); ++i) {
      all.push_back(&workers_[i]->stats());
      scattered += ports_[i]->scattered();
    }
    nb::dict result = stats_dict(all);
    result["drops"]["scattered"] = scattered;
    result["port_lost"] = link_.device(Side::inside).lost() + link_.device(Side::outside).lost();
    return result;
  }
  nb::list events() {
    nb::list list;
    for (auto& worker : workers_) list.extend(events_list(worker->pipe().outlet().take_events()));
    return list;
  }
  nb::list dropped() {
    nb::list list;
    for (auto& worker : workers_) list.extend(dropped_list(worker->pipe().outlet().take_dropped()));
    return list;
  }
  void swap_tables(nb::handle tables, nb::handle rules, nb::handle owned) {
    const auto set = read_tables(tables, rules, owned, options_.acl);
    for (auto& worker : workers_) worker->pipe().swap_tables(set);
  }
  void admit(bool new_flows) {
    for (auto& worker : workers_) worker->pipe().admit(new_flows);
  }
  bool link_up() const { return link_.link_up(); }
  bool available() const {
    for (const auto& worker : workers_) {
      if (worker->stats().available.get() == 0) return false;
    }
    return true;
  }

 private:
  // One pipe announces for all of them, and each hears what the others hear.
  void share_neighbours(NeighbourOptions& neighbours, unsigned pipe) {
    if (link_.pipes() > 1 && !board_) board_ = std::make_shared<NeighbourBoard>(link_.pipes());
    neighbours.board = board_;
    neighbours.pipe = pipe;
    if (pipe > 0) neighbours.announced = 0;
  }

  void let_beat(Worker& worker, BeatOptions beats, unsigned pipe) {
    beats.pipe = static_cast<std::uint16_t>(pipe);
    beats.pipes = static_cast<std::uint16_t>(link_.pipes());
    worker.beat(beats);
  }

  BuildOptions options_;
  Keys keys_;
  const DpdkLink& link_;
  std::shared_ptr<NeighbourBoard> board_;
  std::vector<std::unique_ptr<DpdkPort>> ports_;
  std::vector<std::unique_ptr<Worker>> workers_;  // before the ports: ends first
};

}  // namespace

void bind_instance(nb::module_& module) {
  nb::class_<DpdkLink>(module, "Link")
      .def(nb::init<const std::string&, const std::string&, unsigned>(), nb::arg("inside"), nb::arg("outside"),
           nb::arg("pipes") = 1, nb::call_guard<nb::gil_scoped_release>());
  nb::class_<Instance>(module, "Instance")
      .def(nb::init<const nb::dict&, const DpdkLink&>(), nb::arg("options"), nb::arg("link"), nb::keep_alive<1, 3>())
      .def("start", &Instance::start)
      .def("stop", &Instance::stop)
      .def("stats", &Instance::stats)
      .def("events", &Instance::events)
      .def("dropped", &Instance::dropped)
      .def("swap_tables", &Instance::swap_tables, nb::arg("tables"), nb::arg("rules").none(),
           nb::arg("owned").none() = nb::none())
      .def("admit", &Instance::admit, nb::arg("new_flows"))
      .def("link_up", &Instance::link_up)
      .def("available", &Instance::available);
  module.def(
      "start_eal", [](unsigned memory_mb) { start_eal({memory_mb}); }, nb::arg("memory_mb") = 512,
      nb::call_guard<nb::gil_scoped_release>());
}

}  // namespace snf
