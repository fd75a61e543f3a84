// statelessnf._engine.Traffic: a pipe that eats packets made on the fly, as fast as it can, for a given time.
// Sides of a comparison are objects of this class that run in turns, so that both see the same noise.
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <sched.h>

#include "module.hpp"
#include "traffic_capture.hpp"
#include "traffic_tcp.hpp"
#include "worker.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

constexpr unsigned steps_a_look = 16;  // at the clock

// What every function needs, and nothing else: parse, make the key, say FORWARD. The bar for the baseline.
class Reference {
 public:
  Reference(Port& port, const Keys& keys) : port_(port), keys_(keys) {}
  unsigned step() {
    const unsigned count = port_.receive(frames_.data(), Pipe::burst);
    std::array<unsigned, 2> sending{};
    for (unsigned i = 0; i < count; ++i) {
      PacketRecord record;
      Layout layout;
      Key key;
      if (parse(frames_[i], record, layout).what != Parsed::flow) {
        port_.release(&frames_[i], 1);
        continue;
      }
      keys_.flow(record, key);
      hashes_ += keys_.hash(key);  // kept, so that it is made
      const auto side = static_cast<unsigned>(frames_[i].side);
      out_[side][sending[side]++] = frames_[i];
    }
    for (const unsigned side : {0u, 1u}) {
      if (sending[side] > 0) port_.transmit(opposite(static_cast<Side>(side)), out_[side].data(), sending[side]);
    }
    return count;
  }

 private:
  Port& port_;
  const Keys& keys_;
  std::array<Frame, Pipe::burst> frames_;
  std::array<std::array<Frame, Pipe::burst>, 2> out_;
  std::uint64_t hashes_ = 0;
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

class Traffic {
 public:
  Traffic(const nb::dict& options, std::unique_ptr<FlowSource> source, unsigned open_flows, std::uint64_t seed)
      : options_(read_options(options)),
        keys_(options_.deployment, options_.secret),
        port_(std::move(source), open_flows, seed),
        stats_(std::make_unique<Stats>()),
        pipe_(options_.pipe, port_, keys_, make_store(options_, *stats_), options_.program, options_.tables, *stats_),
        reference_(port_, keys_) {}

  // Runs for about `seconds`; returns (packets forwarded, dropped, ns).
  nb::tuple run(double seconds, bool reference) {
    const std::uint64_t forwarded = port_.forwarded(), dropped = port_.dropped();
    std::uint64_t elapsed = 0;
    {
      const nb::gil_scoped_release unlocked;
      elapsed = reference ? loop(seconds, [this](std::uint64_t) { return reference_.step(); })
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

void bind_bench(nb::module_& module) {
  nb::class_<Traffic>(module, "Traffic")
      .def_static(
          "flows",
          [](const nb::dict& options, unsigned packets, unsigned open_flows, unsigned frame_bytes, std::uint64_t seed) {
            auto source = std::make_unique<TcpFlows>(packets, open_flows, frame_bytes, seed);
            return std::make_unique<Traffic>(options, std::move(source), open_flows, seed);
          },
          nb::arg("options"), nb::arg("packets"), nb::arg("open_flows"), nb::arg("frame_bytes"), nb::arg("seed") = 1)
      .def_static(
          "capture",
          [](const nb::dict& options, const nb::list& frames, unsigned open_flows, std::uint64_t seed) {
            return std::make_unique<Traffic>(options, captured_flows(frames), open_flows, seed);
          },
          nb::arg("options"), nb::arg("frames"), nb::arg("open_flows"), nb::arg("seed") = 1)
      .def("run", &Traffic::run, nb::arg("seconds"), nb::arg("reference") = false)
      .def("stats", &Traffic::stats)
      .def("connect", &Traffic::connect);
}

}  // namespace snf
