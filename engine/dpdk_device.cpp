#include "dpdk_device.hpp"

#include <net/if.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <thread>

#include "dpdk_eal.hpp"
#include "port_error.hpp"

namespace snf {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t ring_size = 2048;
constexpr std::uint16_t jumbo_mtu = 9000;
constexpr auto busy_patience = 2s;  // a closed AF_XDP binding stays busy for 0.6 to 0.8 s (measured)

std::string argument_of(const std::string& arguments, const std::string& name) {
  const std::size_t at = arguments.find("," + name + "=");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 2;
  return arguments.substr(begin, arguments.find(',', begin) - begin);
}

// `result`: negative errno of a DPDK call.
PortError error(const std::string& arguments, const std::string& step, int result) {
  const std::string said = take_eal_error();
  std::string problem = step + ": " + rte_strerror(-result) + (said.empty() ? "" : " (" + said + ")");
  std::string remedy = "check the device arguments";
  if (geteuid() != 0) remedy = "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF";
  return {arguments, std::move(problem), std::move(remedy)};
}

std::set<int> af_xdp_sockets() {
  std::set<int> sockets;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename());
    int domain = 0;
    socklen_t size = sizeof domain;
    if (getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_XDP) {
      sockets.insert(descriptor);
    }
  }
  return sockets;
}

}  // namespace

DpdkDevice::DpdkDevice(const std::string& arguments, unsigned queues, rte_mempool* pool)
    : arguments_(arguments), name_(arguments.substr(0, arguments.find(','))), descriptors_(queues, -1) {
  probe();
  try {
    configure(queues, pool);
    start();
  } catch (...) {
    remove();
    throw;
  }
}

DpdkDevice::~DpdkDevice() {
  rte_eth_dev_stop(id_);
  remove();
}

void DpdkDevice::remove() {
  rte_eth_dev_info info{};
  const bool known = rte_eth_dev_info_get(id_, &info) == 0;
  rte_eth_dev_close(id_);
  if (known) rte_dev_remove(info.device);
}

void DpdkDevice::probe() {
  const std::string interface = argument_of(arguments_, "iface");
  if ((is("net_af_xdp") || is("net_af_packet")) && !interface.empty() && if_nametoindex(interface.c_str()) == 0) {
    throw PortError(arguments_, "network interface " + interface + " does not exist",
                    "create it or correct iface= (`ip link` lists what there is)");
  }
  if (rte_eth_dev_get_port_by_name(name_.c_str(), &id_) == 0) {
    throw PortError(arguments_, "device " + name_ + " is already in use",
                    "give every port a name of its own, as net_af_xdp0 and net_af_xdp1");
  }
  take_eal_error();
  if (const int result = rte_dev_probe(arguments_.c_str()); result < 0) {
    throw error(arguments_, "cannot open the device", result);
  }
  if (const int result = rte_eth_dev_get_port_by_name(name_.c_str(), &id_); result < 0) {
    throw error(arguments_, "is no Ethernet device", result);
  }
}

void DpdkDevice::configure(unsigned queues, rte_mempool* pool) {
  rte_eth_dev_info info{};
  if (const int result = rte_eth_dev_info_get(id_, &info); result < 0) throw error(arguments_, "cannot ask", result);
  if (queues > std::min(info.max_rx_queues, info.max_tx_queues)) {
    const unsigned offered = std::min(info.max_rx_queues, info.max_tx_queues);
    throw PortError(arguments_, "has " + std::to_string(offered) + " queues, " + std::to_string(queues) + " are needed",
                    "lower `pipes`, or give it more queues (net_af_xdp: queue_count=N, as the interface has)");
  }
  rte_eth_conf conf{};
  conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
  conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
  const auto count = static_cast<std::uint16_t>(queues);
  int result = rte_eth_dev_configure(id_, count, count, &conf);
  if (result < 0) throw error(arguments_, "cannot configure", result);
  // A kernel interface keeps the MTU that its owner gave it.
  if (info.if_index == 0) rte_eth_dev_set_mtu(id_, std::min(info.max_mtu, jumbo_mtu));
  std::uint16_t receive_ring = ring_size, transmit_ring = ring_size;
  rte_eth_dev_adjust_nb_rx_tx_desc(id_, &receive_ring, &transmit_ring);
  for (std::uint16_t queue = 0; queue < count; ++queue) {
    set_up_receive(queue, receive_ring, pool);
    result = rte_eth_tx_queue_setup(id_, queue, transmit_ring, rte_socket_id(), nullptr);
    if (result < 0) throw error(arguments_, "cannot set up transmit queue " + std::to_string(queue), result);
  }
}

void DpdkDevice::set_up_receive(std::uint16_t queue, std::uint16_t descriptors, rte_mempool* pool) {
  const auto give_up = std::chrono::steady_clock::now() + busy_patience;
  const std::set<int> before = af_xdp_sockets();
  int result;
  while ((result = rte_eth_rx_queue_setup(id_, queue, descriptors, rte_socket_id(), nullptr, pool)) < 0) {
    const bool again = is("net_af_xdp") && geteuid() == 0 && std::chrono::steady_clock::now() < give_up;
    if (!again) throw error(arguments_, "cannot set up receive queue " + std::to_string(queue), result);
    std::this_thread::sleep_for(20ms);
  }
  // The driver has no receive interrupts (22.11), but its queue is a socket that can be waited for.
  for (const int descriptor : af_xdp_sockets()) {
    if (!before.contains(descriptor)) descriptors_[queue] = descriptor;
  }
}

void DpdkDevice::start() {
  if (const int result = rte_eth_dev_start(id_); result < 0) throw error(arguments_, "cannot start", result);
  rte_eth_promiscuous_enable(id_);  // a bump in the wire takes all frames; drivers without addresses refuse, rightly
  std::uint16_t mtu = RTE_ETHER_MTU;
  rte_eth_dev_get_mtu(id_, &mtu);
  longest_ = std::max<std::uint32_t>(mtu, RTE_ETHER_MTU) + RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN;
}

bool DpdkDevice::link_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

std::uint64_t DpdkDevice::lost() const {
  rte_eth_stats stats{};
  if (rte_eth_stats_get(id_, &stats) != 0) return 0;
  return stats.imissed + stats.ierrors + stats.rx_nombuf + stats.oerrors;
}

}  // namespace snf
