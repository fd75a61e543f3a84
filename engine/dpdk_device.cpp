#include "dpdk_device.hpp"

#include <linux/if_xdp.h>
#include <net/if.h>
#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <future>
#include <set>
#include <thread>

#include "dpdk_eal.hpp"
#include "port_error.hpp"

namespace snf {
namespace {

using namespace std::chrono_literals;

constexpr std::uint16_t ring_size = 2048;
constexpr std::uint16_t jumbo_mtu = 9000;
constexpr int frame_overhead = RTE_ETHER_HDR_LEN + 2 * RTE_VLAN_HLEN;
// An AF_XDP buffer lies within one page, behind the mempool's and the mbuf's header and two headrooms.
constexpr int kernel_headroom = 256;
constexpr int longest_af_xdp_mtu = 4096 - 64 - 128 - RTE_PKTMBUF_HEADROOM - kernel_headroom - frame_overhead;
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
  if (arguments.starts_with("net_memif")) remedy = "start the side with role=server first";
  if (arguments.starts_with("net_af_xdp")) remedy = "see that no other program uses this queue of the interface";
  if (geteuid() != 0) remedy = "run as root, or with CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF";
  return {arguments, std::move(problem), std::move(remedy)};
}

struct QueueError : PortError {
  explicit QueueError(PortError error) : PortError(std::move(error)) {}
};

// The AF_XDP driver loses the buffers that it took when setting up a queue fails. While nothing runs yet they can be
// found: taking a buffer resets its port.
constexpr std::uint16_t marked = RTE_MBUF_PORT_INVALID - 1;

void mark_buffers(rte_mempool* pool) {
  rte_mempool_obj_iter(
      pool, [](rte_mempool*, void*, void* object, unsigned) { static_cast<rte_mbuf*>(object)->port = marked; },
      nullptr);
}

void reclaim_buffers(rte_mempool* pool) {
  std::vector<rte_mbuf*> lost;
  rte_mempool_obj_iter(
      pool,
      [](rte_mempool*, void* list, void* object, unsigned) {
        rte_mbuf* mbuf = static_cast<rte_mbuf*>(object);
        if (mbuf->port != marked) static_cast<std::vector<rte_mbuf*>*>(list)->push_back(mbuf);
      },
      &lost);
  if (!lost.empty()) rte_mempool_put_bulk(pool, reinterpret_cast<void**>(lost.data()), lost.size());
}

int mtu_of(const std::string& interface) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  const int mtu = ioctl(socket, SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : 0;
  close(socket);
  return mtu;
}

bool is_af_xdp(int descriptor) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_XDP;
}

std::set<int> af_xdp_sockets() {
  std::set<int> sockets;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename());
    if (is_af_xdp(descriptor)) sockets.insert(descriptor);
  }
  return sockets;
}

void close_device(std::uint16_t id) {
  rte_eth_dev_stop(id);
  rte_eth_dev_info info{};
  const bool known = rte_eth_dev_info_get(id, &info) == 0;
  rte_eth_dev_close(id);
  if (known) rte_dev_remove(info.device);
}

// In DPDK's interrupt thread: that takes a memif apart when its peer leaves, and what ran beside it would free memory
// twice, or close a descriptor that it is about to wait for.
void close_in_interrupt_thread(std::uint16_t id) {
  std::packaged_task<void()> task([id] { close_device(id); });
  const auto run = [](void* task) { (*static_cast<std::packaged_task<void()>*>(task))(); };
  if (rte_eal_alarm_set(1, run, &task) != 0) task();
  task.get_future().wait();
}

}  // namespace

unsigned DpdkDevice::buffer_room(const std::string& arguments) {
  const int mtu = arguments.starts_with("net_af_xdp") ? mtu_of(argument_of(arguments, "iface")) : 0;
  if (mtu > longest_af_xdp_mtu) {
    throw PortError(arguments, "an MTU of " + std::to_string(mtu) + " is more than AF_XDP can carry",
                    "set it to at most " + std::to_string(longest_af_xdp_mtu) + " (`ip link set dev ... mtu ...`)");
  }
  return std::max(RTE_MBUF_DEFAULT_DATAROOM, mtu + frame_overhead + kernel_headroom);
}

DpdkDevice::DpdkDevice(const std::string& arguments, unsigned queues, rte_mempool* pool)
    : arguments_(arguments), name_(arguments.substr(0, arguments.find(','))), descriptors_(queues, -1) {
  const auto give_up = std::chrono::steady_clock::now() + busy_patience;
  while (!open(queues, pool, std::chrono::steady_clock::now() < give_up)) std::this_thread::sleep_for(50ms);
}

// False: busy, and `patient`. A failed AF_XDP queue cannot be set up again, only with the device opened anew.
bool DpdkDevice::open(unsigned queues, rte_mempool* pool, bool patient) {
  probe();
  mark_buffers(pool);
  try {
    configure(queues, pool);
    start();
    return true;
  } catch (const QueueError&) {
    remove();
    if (is("net_af_xdp")) reclaim_buffers(pool);
    if (!patient || !is("net_af_xdp") || geteuid() != 0) throw;
    return false;
  } catch (...) {
    remove();
    throw;
  }
}

DpdkDevice::~DpdkDevice() { remove(); }

void DpdkDevice::remove() {
  if (is("net_memif")) {
    close_in_interrupt_thread(id_);
  } else {
    close_device(id_);
  }
  // libxdp 1.3 leaves the socket open, and with it the queue bound.
  for (int& descriptor : descriptors_) {
    if (is_af_xdp(descriptor)) close(descriptor);
    descriptor = -1;
  }
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
  const std::set<int> before = af_xdp_sockets();
  const int result = rte_eth_rx_queue_setup(id_, queue, descriptors, rte_socket_id(), nullptr, pool);
  if (result < 0) {
    throw QueueError(error(arguments_, "cannot set up receive queue " + std::to_string(queue), result));
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
  longest_ = std::max<std::uint32_t>(mtu, RTE_ETHER_MTU) + frame_overhead;
}

bool DpdkDevice::link_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(id_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

rte_eth_stats DpdkDevice::stats() const {
  const std::lock_guard lock(asking_);
  rte_eth_stats stats{};
  return rte_eth_stats_get(id_, &stats) == 0 ? stats : rte_eth_stats{};
}

std::uint64_t DpdkDevice::lost() const {
  const rte_eth_stats found = stats();
  return found.imissed + found.ierrors + found.rx_nombuf;
}

// The AF_XDP driver (22.11) asks all queues, and leaves out what the kernel counts as a full ring.
std::uint64_t DpdkDevice::missed(unsigned queue) const {
  xdp_statistics counted{};
  socklen_t size = sizeof counted;
  if (getsockopt(descriptors_[queue], SOL_XDP, XDP_STATISTICS, &counted, &size) == 0) {
    return counted.rx_dropped + counted.rx_ring_full;
  }
  if (queue > 0) return 0;
  const rte_eth_stats found = stats();
  return found.imissed + found.rx_nombuf;
}

}  // namespace snf

// All of DPDK's calls come here (dpdk.cmake). A memif server that cannot send its greeting, because the client has left
// already, closes a descriptor that its interrupt thread still waits for, and DPDK aborts (22.11). What nobody receives
// counts as sent: the end of the connection is the next thing that the driver reads, and that it handles.
extern "C" ssize_t __real_sendmsg(int socket, const msghdr* message, int flags);

extern "C" ssize_t __wrap_sendmsg(int socket, const msghdr* message, int flags) {
  const ssize_t sent = __real_sendmsg(socket, message, flags | MSG_NOSIGNAL);
  if (sent >= 0 || (errno != EPIPE && errno != ECONNRESET)) return sent;
  ssize_t size = 0;
  for (std::size_t i = 0; i < message->msg_iovlen; ++i) size += static_cast<ssize_t>(message->msg_iov[i].iov_len);
  return size;
}
