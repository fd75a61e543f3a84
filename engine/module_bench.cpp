// statelessnf._engine.Traffic: a pipe that eats packets made on the fly, as fast as it can, for a given time.
// Sides of a comparison are objects of this class that run in turns, so that both see the same noise.
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <sched.h>

#include "module.hpp"
#include "traffic_capture.hpp"
#include "traffic_mirror.hpp"
#include "traffic_tcp.hpp"
#include "worker.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

constexpr unsigned steps_a_look = 16;  // at the clock

// A function without state: parse, make the key, let the function say FORWARD, send. The bar for the baseline.
class Reference {
 public:
  Reference(Port& port, const Keys& keys, const BuildOptions& options, Stats& stats)
      : port_(port), keys_(keys), options_(options), pool_(Pipe::burst), outlet_(port, pool_, stats, 1, 0) {}
  unsigned step(std::uint64_t now_ns) {
    const unsigned count = port_.receive(frames_.data(), Pipe::burst);
    unsigned jobs = 0;
    for (unsigned i = 0; i < count; ++i) {
      if (prepare(frames_[i], now_ns, jobs)) ++jobs;
    }
    options_.program->run(jobs_.data(), jobs, *options_.tables);
    for (unsigned i = 0; i < jobs; ++i) {
      pool_[packets_[i]].verdict = jobs_[i].verdict;
      pool_[packets_[i]].fault = static_cast<Fault>(jobs_[i].fault);
      outlet_.finish(packets_[i]);
    }
    outlet_.flush(now_ns);
    return count;
  }

 private:
  bool prepare(const Frame& frame, std::uint64_t now_ns, unsigned job) {
    packets_[job] = pool_.acquire();
    Packet& packet = pool_[packets_[job]];
    packet.frame = frame;
    packet.received = now_ns;
    const ParseResult result = parse(frame, packet.header, packet.layout);
    if (result.what != Parsed::flow) {
      outlet_.drop(packets_[job], result.reason);
      return false;
    }
    Key key;
    keys_.flow(packet.header, key);
    packet.header.flow_hash = keys_.hash(key);
    packet.header.effect_count = 0;
    jobs_[job].packet = &packet.header;
    jobs_[job].before = nothing_.data();
    jobs_[job].after = after_.data();
    return true;
  }

  Port& port_;
  const Keys& keys_;
  const BuildOptions& options_;
  PacketPool pool_;
  Outlet outlet_;
  std::array<Frame, Pipe::burst> frames_;
  std::array<std::uint32_t, Pipe::burst> packets_;
  std::array<Job, Pipe::burst> jobs_;
  std::array<std::uint8_t, max_record_size> nothing_{}, after_{};
};

std::unique_ptr<FlowSource> captured_flows(const nb::list& frames) {
  std::vector<CapturedFrame> views;
  for (const nb::handle item : frames) {
    const auto frame = nb::cast<nb::tuple>(item);
    const auto bytes = nb::cast<nb::bytes>(frame[1]);  // the list keeps them alive
    views.push_back({nb::cast<unsigned>(frame[0]) == 0 ? Side::inside : Side::outside,
                     Bytes(static_cast<const std::uint8_t*>(bytes.data()), bytes.size()),
                     nb::cast<std::uint32_t>(frame[2])});
  }
  return std::make_unique<CaptureFlows>(views);
}

Service read_service(const nb::object& object) {
  const auto parts = nb::cast<nb::tuple>(object);
  return {nb::cast<unsigned>(parts[0]) == 0 ? Side::inside : Side::outside, nb::cast<std::uint32_t>(parts[1]),
          nb::cast<std::uint16_t>(parts[2])};
}

class Traffic {
 public:
  Traffic(const nb::dict& options, std::unique_ptr<FlowSource> source, unsigned open_flows, std::uint64_t seed)
      : options_(read_options(options)),
        keys_(options_.deployment, options_.secret, options_.remote),
        port_(std::move(source), open_flows, seed),
        stats_(std::make_unique<Stats>()),
        pipe_(options_.pipe, port_, keys_, make_store(options_, *stats_), options_.program, options_.tables, *stats_),
        reference_(port_, keys_, options_, *stats_) {}

  // Runs for about `seconds`; returns (packets forwarded, dropped, ns).
  nb::tuple run(double seconds, bool reference) {
    const std::uint64_t forwarded = port_.forwarded(), dropped = port_.dropped();
    std::uint64_t elapsed = 0;
    {
      const nb::gil_scoped_release unlocked;
      elapsed = reference ? loop(seconds, [this](std::uint64_t now) { return reference_.step(now); })
                          : loop(seconds, [this](std::uint64_t now) { return pipe_.step(now); });
    }
    return nb::make_tuple(port_.forwarded() - forwarded, port_.dropped() - dropped, elapsed);
  }
  nb::dict stats() const {
    const Stats* one[] = {stats_.get()};
    nb::dict result = stats_dict(one);
    result["flows_opened"] = port_.flows();
    return result;
  }
  // Lets the pipe talk to its store, without packets; true when it answers.
  bool connect() {
    pipe_.attend(monotonic_ns());
    return stats_->available.get() != 0;
  }

 private:
  template <typename Step>
  static std::uint64_t loop(double seconds, Step step) {
    const std::uint64_t start = monotonic_ns(), until = start + static_cast<std::uint64_t>(seconds * 1e9);
    std::uint64_t now = start;
    while (now < until) {
      for (unsigned i = 0; i < steps_a_look; ++i) {
        if (step(now) == 0) {
          sched_yield();
          now = monotonic_ns();
        }
      }
      now = monotonic_ns();
    }
    return now - start;
  }

  BuildOptions options_;
  Keys keys_;
  TrafficPort port_;
  std::unique_ptr<Stats> stats_;
  Pipe pipe_;
  Reference reference_;
};

}  // namespace

std::unique_ptr<FlowSource> tcp_flows(unsigned packets, unsigned open_flows, unsigned frame_bytes, std::uint64_t seed,
                                      const nb::object& service) {
  if (service.is_none()) return std::make_unique<TcpFlows>(packets, open_flows, frame_bytes, seed);
  return std::make_unique<TranslatedTcpFlows>(packets, open_flows, frame_bytes, seed, read_service(service));
}

void bind_bench(nb::module_& module) {
  nb::class_<Traffic>(module, "Traffic")
      .def_static(
          "flows",
          [](const nb::dict& options, unsigned packets, unsigned open_flows, unsigned frame_bytes, std::uint64_t seed,
             const nb::object& service) {
            auto source = tcp_flows(packets, open_flows, frame_bytes, seed, service);
            return std::make_unique<Traffic>(options, std::move(source), open_flows, seed);
          },
          nb::arg("options"), nb::arg("packets"), nb::arg("open_flows"), nb::arg("frame_bytes"), nb::arg("seed") = 1,
          nb::arg("service") = nb::none())
      .def_static(
          "capture",
          [](const nb::dict& options, const nb::list& frames, unsigned open_flows, std::uint64_t seed, bool mirrored) {
            auto source = captured_flows(frames);
            if (mirrored) source = std::make_unique<MirroredFlows>(std::move(source));
            return std::make_unique<Traffic>(options, std::move(source), open_flows, seed);
          },
          nb::arg("options"), nb::arg("frames"), nb::arg("open_flows"), nb::arg("seed") = 1,
          nb::arg("mirrored") = false)
      .def("run", &Traffic::run, nb::arg("seconds"), nb::arg("reference") = false)
      .def("stats", &Traffic::stats)
      .def("connect", &Traffic::connect);
}

}  // namespace snf
