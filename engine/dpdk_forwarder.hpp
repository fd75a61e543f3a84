// The least that a process between two ports can do: every frame out of the other side, unread. Benchmarks compare an
// instance with it; it polls, yields and sleeps as an instance does.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "dpdk_port.hpp"
#include "valkey_socket.hpp"

namespace snf {

class DpdkForwarder {
 public:
  // Device arguments as for DpdkLink. Throws PortError, std::system_error.
  DpdkForwarder(const std::string& inside, const std::string& outside);
  ~DpdkForwarder();
  DpdkForwarder(const DpdkForwarder&) = delete;
  DpdkForwarder& operator=(const DpdkForwarder&) = delete;
  std::uint64_t forwarded() const { return forwarded_.load(std::memory_order_relaxed); }

 private:
  void loop();
  unsigned forward();

  DpdkLink link_;
  DpdkPort port_;
  Descriptor stop_event_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> forwarded_{0};
  std::thread thread_;  // after all that it uses
};

}  // namespace snf
