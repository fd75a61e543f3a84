// statelessnf._engine.RoundTrips and Forwarder: the two ends of a benchmark on real ports.
#include <nanobind/stl/string.h>

#include "dpdk_forwarder.hpp"
#include "module.hpp"
#include "round_trips.hpp"
#include "worker.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

constexpr double ns_per_s = 1e9;

// A link with its traffic.
class LinkTrips {
 public:
  LinkTrips(const std::string& inside, const std::string& outside, unsigned packets, unsigned open_flows,
            unsigned frame_bytes, std::uint64_t seed, const nb::object& service)
      : link_(inside, outside),
        port_(link_, 0),
        trips_(port_, tcp_flows(packets, open_flows, frame_bytes, seed, service), open_flows, &monotonic_ns,
               service.is_none() ? Marks::macs : Marks::payload) {}

  // (packets that came back, ns)
  nb::tuple saturate(double seconds, unsigned window) {
    const std::uint64_t before = trips_.counts().returned;
    std::uint64_t elapsed = 0, returned = 0;
    {
      const nb::gil_scoped_release unlocked;
      elapsed = trips_.saturate(static_cast<std::uint64_t>(seconds * ns_per_s), window);
      returned = trips_.counts().returned - before;
      trips_.settle();
    }
    return nb::make_tuple(returned, elapsed);
  }
  nb::bytes pace(double seconds, double rate) {
    std::vector<std::uint32_t> taken;
    taken.reserve(static_cast<std::size_t>(seconds * rate) + 1);
    {
      const nb::gil_scoped_release unlocked;
      trips_.pace(static_cast<std::uint64_t>(seconds * ns_per_s), static_cast<std::uint64_t>(ns_per_s / rate), taken);
      trips_.settle(&taken);
    }
    return nb::bytes(taken.data(), taken.size() * sizeof taken[0]);
  }
  nb::dict counts() const {
    const TripCounts& counts = trips_.counts();
    nb::dict result;
    result["made"] = counts.made;
    result["returned"] = counts.returned;
    result["resent"] = counts.resent;
    result["given_up"] = counts.given_up;
    result["strays"] = counts.strays;
    result["late"] = counts.late;
    result["flows"] = trips_.flows();
    return result;
  }
  bool link_up() const { return link_.link_up(); }

 private:
  DpdkLink link_;
  DpdkPort port_;
  RoundTrips trips_;
};

}  // namespace

void bind_ports(nb::module_& module) {
  nb::class_<LinkTrips>(module, "RoundTrips")
      .def(nb::init<const std::string&, const std::string&, unsigned, unsigned, unsigned, std::uint64_t,
                    const nb::object&>(),
           nb::arg("inside"), nb::arg("outside"), nb::arg("packets"), nb::arg("open_flows"), nb::arg("frame_bytes"),
           nb::arg("seed") = 1, nb::arg("service") = nb::none())
      .def("saturate", &LinkTrips::saturate, nb::arg("seconds"), nb::arg("window"))
      .def("pace", &LinkTrips::pace, nb::arg("seconds"), nb::arg("rate"))
      .def("counts", &LinkTrips::counts)
      .def("link_up", &LinkTrips::link_up);
  nb::class_<DpdkForwarder>(module, "Forwarder")
      .def(nb::init<const std::string&, const std::string&>(), nb::arg("inside"), nb::arg("outside"))
      .def("forwarded", &DpdkForwarder::forwarded);
}

}  // namespace snf
