#include "dpdk_forwarder.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "dpdk_eal.hpp"
#include "worker.hpp"

namespace snf {
namespace {

constexpr unsigned burst = 32;
constexpr int longest_wait_ms = 100;

}  // namespace

DpdkForwarder::DpdkForwarder(const std::string& inside, const std::string& outside)
    : link_(inside, outside), port_(link_, 0), stop_event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!stop_event_.open()) throw std::system_error(errno, std::generic_category(), "eventfd");
  thread_ = std::thread([this] { loop(); });
}

DpdkForwarder::~DpdkForwarder() {
  stopping_ = true;
  const std::uint64_t one = 1;
  if (write(stop_event_.get(), &one, sizeof one) < 0) stopping_ = true;  // the time-out of poll ends the wait, too
  thread_.join();
}

void DpdkForwarder::loop() {
  register_eal_thread();
  Idler idler(port_, stop_event_.get());
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (forward() > 0) {
      idler.busy();
    } else {
      idler.idle(monotonic_ns(), -1, longest_wait_ms);
    }
  }
}

unsigned DpdkForwarder::forward() {
  std::array<Frame, burst> received;
  std::array<std::array<Frame, burst>, 2> out;
  std::array<unsigned, 2> sending{};
  const unsigned count = port_.receive(received.data(), burst);
  for (unsigned i = 0; i < count; ++i) {
    const auto to = static_cast<unsigned>(opposite(received[i].side));
    out[to][sending[to]++] = received[i];
  }
  for (const unsigned to : {0u, 1u}) {
    if (sending[to] > 0) port_.transmit(static_cast<Side>(to), out[to].data(), sending[to]);
  }
  port_.flush();
  if (count > 0) forwarded_.store(forwarded() + count, std::memory_order_relaxed);
  return count;
}

}  // namespace snf
