// statelessnf._engine.Pipe: one pipe on a memory port, driven step by step from Python.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <optional>

#include "link_store.hpp"
#include "memory_port.hpp"
#include "module.hpp"
#include "worker.hpp"

namespace nb = nanobind;

namespace snf {

namespace {

class SteppedPipe {
 public:
  explicit SteppedPipe(const nb::dict& options)
      : options_(read_options(options)),
        keys_(options_.deployment, options_.secret, options_.remote),
        port_(options_.frames, options_.frame_size),
        stats_(std::make_unique<Stats>()) {
    auto store = make_store(options_, *stats_);
    link_ = options_.link ? static_cast<LinkStore*>(store.get()) : nullptr;
    pipe_ = std::make_unique<Pipe>(options_.pipe, port_, keys_, std::move(store), options_.program, options_.tables,
                                   *stats_);
  }
  bool inject(const nb::bytes& frame, unsigned side, std::uint64_t token) {
    const Bytes bytes(static_cast<const std::uint8_t*>(frame.data()), frame.size());
    return port_.inject(bytes, side == 0 ? Side::inside : Side::outside, token);
  }
  void set_clock(std::uint64_t ms) { pipe_->set_clock(ms); }
  unsigned step(std::optional<std::uint64_t> now_us) { return pipe_->step(now_us ? *now_us * 1000 : monotonic_ns()); }
  nb::list collect() {
    nb::list list;
    for (const auto& sent : port_.collect()) {
      list.append(
          nb::make_tuple(sent.token, static_cast<int>(sent.side), nb::bytes(sent.bytes.data(), sent.bytes.size())));
    }
    return list;
  }
  nb::list dropped() { return dropped_list(pipe_->outlet().take_dropped()); }
  nb::list events() { return events_list(pipe_->outlet().take_events()); }
  nb::dict stats() const {
    const Stats* one[] = {stats_.get()};
    return stats_dict(one);
  }
  bool idle() const { return pipe_->idle() && port_.waiting() == 0; }
  std::size_t waiting() const { return port_.waiting(); }
  void swap_tables(nb::handle tables, nb::handle rules, nb::handle owned) {
    pipe_->swap_tables(read_tables(tables, rules, owned, options_.acl));
  }
  void admit(bool new_flows) { pipe_->admit(new_flows); }
  void abandon() { pipe_->abandon(); }
  bool available() const { return pipe_->store() == nullptr || pipe_->store()->available(); }
  std::string last_error() const { return store_error(pipe_->store(), options_); }

  void link_connected(std::uint64_t now_us) { link().connected(now_us); }
  void link_lost(std::uint64_t) { link().lose(); }
  nb::bytes link_output() {
    const std::string bytes = link().output();
    return nb::bytes(bytes.data(), bytes.size());
  }
  void link_input(const nb::bytes& bytes) {
    link().input(Bytes(static_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
  }

 private:
  LinkStore& link() {
    if (link_ == nullptr) throw nb::value_error("this pipe was made without the option `link`");
    return *link_;
  }

  BuildOptions options_;
  Keys keys_;
  MemoryPort port_;
  std::unique_ptr<Stats> stats_;
  LinkStore* link_ = nullptr;
  std::unique_ptr<Pipe> pipe_;
};

nb::tuple describe(const nb::bytes& bytes, std::uint32_t deployment, std::uint64_t secret) {
  static thread_local std::optional<std::tuple<std::uint32_t, std::uint64_t, Keys>> made;
  if (!made || std::get<0>(*made) != deployment || std::get<1>(*made) != secret) {
    made.emplace(deployment, secret, Keys(deployment, secret));
  }
  Frame frame;
  frame.data = const_cast<std::uint8_t*>(static_cast<const std::uint8_t*>(bytes.data()));  // parse only reads
  frame.length = frame.capacity = static_cast<std::uint32_t>(bytes.size());
  PacketRecord record{};
  Layout layout;
  Key key;
  const ParseResult result = parse(frame, record, layout);
  if (result.what == Parsed::drop) return nb::make_tuple(name_of(result.reason).data(), nb::bytes(""), nb::bytes(""));
  if (result.what == Parsed::pass) return nb::make_tuple("pass", nb::bytes(""), nb::bytes(""));
  const Keys& keys = std::get<2>(*made);
  const bool fragment = record.kind == static_cast<std::uint8_t>(Kind::fragment) || layout.first_fragment;
  fragment ? keys.fragment(record, layout, key) : keys.flow(record, key);
  return nb::make_tuple("flow", nb::bytes(key.bytes, key.size), nb::bytes(&record, sizeof record));
}

nb::list drop_reasons() {
  nb::list list;
  for (std::size_t i = 0; i < drop_count; ++i) {
    const auto drop = static_cast<Drop>(i);
    list.append(nb::make_tuple(name_of(drop).data(), meaning_of(drop).data()));
  }
  return list;
}

}  // namespace

void bind_pipe(nb::module_& module) {
  nb::class_<SteppedPipe>(module, "Pipe")
      .def(nb::init<const nb::dict&>(), nb::arg("options"))
      .def("inject", &SteppedPipe::inject, nb::arg("frame"), nb::arg("side"), nb::arg("token"))
      .def("set_clock", &SteppedPipe::set_clock, nb::arg("ms"))
      .def("step", &SteppedPipe::step, nb::arg("now_us") = nb::none())
      .def("collect", &SteppedPipe::collect)
      .def("dropped", &SteppedPipe::dropped)
      .def("events", &SteppedPipe::events)
      .def("stats", &SteppedPipe::stats)
      .def("idle", &SteppedPipe::idle)
      .def("waiting", &SteppedPipe::waiting)
      .def("swap_tables", &SteppedPipe::swap_tables, nb::arg("tables"), nb::arg("rules").none(),
           nb::arg("owned").none() = nb::none())
      .def("admit", &SteppedPipe::admit, nb::arg("new_flows"))
      .def("abandon", &SteppedPipe::abandon)
      .def("available", &SteppedPipe::available)
      .def("last_error", &SteppedPipe::last_error)
      .def("link_connected", &SteppedPipe::link_connected, nb::arg("now_us"))
      .def("link_lost", &SteppedPipe::link_lost, nb::arg("now_us"))
      .def("link_output", &SteppedPipe::link_output)
      .def("link_input", &SteppedPipe::link_input, nb::arg("data"));
  module.def("describe", &describe, nb::arg("frame"), nb::arg("deployment"), nb::arg("secret"));
  module.def("drop_reasons", &drop_reasons);
  module.attr("GENERATED") = MemoryPort::generated;
}

}  // namespace snf
