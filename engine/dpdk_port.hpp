// Packet I/O on DPDK: two devices, inside and outside, with one queue each for every pipe.
// Frames are mbufs. Frames in several segments are joined by a copy; what does not fit a jumbo frame is dropped,
// counted. A frame that a device does not take at once waits in a bounded buffer, so that no frame is lost unaccounted
// for.
#pragma once
#include <array>
#include <memory>
#include <string>

#include "dpdk_device.hpp"
#include "dpdk_pool.hpp"
#include "port.hpp"
#include "stats.hpp"

struct rte_mbuf;

namespace snf {

// The two devices of an instance and the memory for their packets.
class DpdkLink {
 public:
  // Starts EAL if nobody did. `pipes`: queues of each device. Throws PortError.
  DpdkLink(const std::string& inside, const std::string& outside, unsigned pipes = 1);
  DpdkLink(const DpdkLink&) = delete;
  unsigned pipes() const { return pipes_; }
  const DpdkDevice& device(Side side) const { return *devices_[static_cast<int>(side)]; }
  bool link_up() const { return device(Side::inside).link_up() && device(Side::outside).link_up(); }

 private:
  friend class DpdkPort;
  const unsigned pipes_;
  Pool pool_, jumbo_pool_;
  std::array<std::unique_ptr<DpdkDevice>, 2> devices_;  // after the pools: goes first
};

class DpdkPort final : public Port {
 public:
  // `link` must outlive the port; each queue belongs to one port.
  DpdkPort(const DpdkLink& link, unsigned queue);
  ~DpdkPort() override;
  DpdkPort(const DpdkPort&) = delete;
  DpdkPort& operator=(const DpdkPort&) = delete;

  unsigned receive(Frame* frames, unsigned room) override;
  unsigned transmit(Side to, const Frame* frames, unsigned count) override;
  void release(const Frame* frames, unsigned count) override;
  Frame allocate() override;
  void flush() override;
  bool link_up(Side side) const override { return link_.device(side).link_up(); }
  std::uint64_t missed() override;
  int wait_descriptor(Side side) override;
  bool prepare_wait() override;

  // Received frames that could not be joined (drop reason `scattered`).
  std::uint64_t scattered() const { return scattered_.get(); }

 private:
  static constexpr unsigned burst = 32;
  static constexpr unsigned backlog = 512;
  struct Outgoing {
    std::array<rte_mbuf*, backlog> frames;
    unsigned count = 0;
  };
  unsigned receive_from(Side side, Frame* frames, unsigned room);
  rte_mbuf* joined(rte_mbuf* scattered);
  void push(Side to);

  const DpdkLink& link_;
  const std::uint16_t queue_;
  bool outside_first_ = false;
  std::array<Outgoing, 2> outgoing_;
  Counter scattered_;
};

}  // namespace snf
