// One DPDK Ethernet device, from its arguments to running queues, and back. Set-up errors are PortErrors that say what
// to do.
#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

struct rte_eth_stats;
struct rte_mempool;

namespace snf {

class DpdkDevice {
 public:
  // `arguments` are DPDK's: "net_af_xdp0,iface=in0", "net_memif0,role=client,socket=/run/m.sock", "0000:03:00.0" ...
  // An AF_XDP queue that is still busy from an earlier binding is tried again for two seconds.
  DpdkDevice(const std::string& arguments, unsigned queues, rte_mempool* pool);
  ~DpdkDevice();
  DpdkDevice(const DpdkDevice&) = delete;
  DpdkDevice& operator=(const DpdkDevice&) = delete;

  // Bytes that a packet buffer needs for this device: a kernel interface's MTU tells. Throws where AF_XDP cannot carry
  // it.
  static unsigned buffer_room(const std::string& arguments);

  std::uint16_t id() const { return id_; }
  // Socket of an AF_XDP queue: readable when packets wait. -1: this device can only be polled.
  int descriptor(unsigned queue) const { return descriptors_[queue]; }
  // Longest frame it can send, in bytes without FCS.
  std::uint32_t longest() const { return longest_; }
  bool link_up() const;
  // Frames that the device lost before we saw them.
  std::uint64_t lost() const;
  // Of them, those that found no free buffer in `queue`. Where the device counts for all queues together, the first one
  // has them.
  std::uint64_t missed(unsigned queue) const;

 private:
  bool open(unsigned queues, rte_mempool* pool, bool patient);
  void probe();
  void configure(unsigned queues, rte_mempool* pool);
  void set_up_receive(std::uint16_t queue, std::uint16_t descriptors, rte_mempool* pool);
  void start();
  void remove();
  rte_eth_stats stats() const;
  bool is(const char* driver) const { return arguments_.starts_with(driver); }

  const std::string arguments_, name_;
  std::uint16_t id_ = 0;
  std::uint32_t longest_ = 0;
  std::vector<int> descriptors_;
  mutable std::mutex asking_;  // some drivers add up what they read
};

}  // namespace snf
