// The DPDK port on drivers that need neither root nor hardware (null, pcap, memif), and on AF_XDP where there is root.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <rte_mempool.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dpdk_port.hpp"
#include "port_error.hpp"

using namespace snf;
using namespace std::chrono_literals;

namespace {

using Octets = std::vector<std::uint8_t>;

Octets pattern(std::size_t size) {
  Octets octets(size);
  for (std::size_t i = 0; i < size; ++i) octets[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return octets;
}

bool within(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

std::optional<Frame> receive_one(Port& port) {
  Frame frame;
  const bool came = within(2000ms, [&] {
    port.flush();
    return port.receive(&frame, 1) == 1;
  });
  return came ? std::optional(frame) : std::nullopt;
}

Octets octets_of(const Frame& frame) { return {frame.data, frame.data + frame.length}; }

Frame filled(Port& port, const Octets& octets) {
  Frame frame = port.allocate();
  REQUIRE(frame.data != nullptr);
  REQUIRE(frame.capacity >= octets.size());
  std::memcpy(frame.data, octets.data(), octets.size());
  frame.length = static_cast<std::uint32_t>(octets.size());
  return frame;
}

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/snf_port_XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

// The text of the error that opening these two devices gives.
std::string failure(const std::string& inside, const std::string& outside, unsigned pipes = 1) {
  try {
    DpdkLink link(inside, outside, pipes);
  } catch (const PortError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE(text);
  return found;
}

void put32(Octets& to, std::uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) to.push_back(static_cast<std::uint8_t>(value >> shift));
}

Octets capture_of(const std::vector<Octets>& frames) {
  Octets file;
  for (const std::uint32_t word : {0xa1b2c3d4u, 0x00040002u, 0u, 0u, 65535u, 1u}) put32(file, word);
  for (const Octets& frame : frames) {
    const auto size = static_cast<std::uint32_t>(frame.size());
    for (const std::uint32_t word : {0u, 0u, size, size}) put32(file, word);
    file.insert(file.end(), frame.begin(), frame.end());
  }
  return file;
}

}  // namespace

TEST_CASE("dpdk port: no buffer is lost, whether sent, released or refused for its length") {
  const DpdkLink link("net_null0,size=60", "net_null1,size=60");
  DpdkPort port(link, 0);
  Frame frames[24];
  for (int round = 0; round < 4000; ++round) {  // 96,000 frames through 16,383 buffers
    const unsigned count = port.receive(frames, 24);
    REQUIRE(count == 24);
    frames[8].length = 9000 + 1;
    CHECK(port.transmit(opposite(frames[0].side), frames, 16) ==
          (link.device(Side::outside).longest() > 9001 ? 16 : 15));
    port.release(frames + 16, 8);
    port.flush();
  }
  CHECK(port.prepare_wait());
  CHECK(port.wait_descriptor(Side::inside) == -1);
}

TEST_CASE("dpdk port: neither side starves the other") {
  const DpdkLink link("net_null0,size=60", "net_null1,size=60");
  DpdkPort port(link, 0);
  unsigned seen[2] = {0, 0};
  Frame frames[32];
  for (int round = 0; round < 100; ++round) {
    const unsigned count = port.receive(frames, 32);
    for (unsigned i = 0; i < count; ++i) ++seen[static_cast<int>(frames[i].side)];
    port.release(frames, count);
  }
  CHECK(seen[0] == seen[1]);
}

TEST_CASE("dpdk port: bytes, side and order through capture files") {
  const Folder folder;
  const std::vector<Octets> sent = {pattern(60), pattern(61), pattern(1514)};
  const Octets file = capture_of(sent);
  const std::string in = folder.path / "in.pcap", out = folder.path / "out.pcap", empty = folder.path / "empty.pcap";
  std::ofstream(in, std::ios::binary).write(reinterpret_cast<const char*>(file.data()), static_cast<long>(file.size()));
  std::ofstream(empty, std::ios::binary).write(reinterpret_cast<const char*>(file.data()), 24);
  {
    const DpdkLink link("net_pcap0,rx_pcap=" + in + ",tx_pcap=" + folder.path.string() + "/x.pcap",
                        "net_pcap1,rx_pcap=" + empty + ",tx_pcap=" + out);
    DpdkPort port(link, 0);
    for (const Octets& octets : sent) {
      auto frame = receive_one(port);
      REQUIRE(frame);
      CHECK(frame->side == Side::inside);
      CHECK(octets_of(*frame) == octets);
      frame->data[0] = 0xee;
      CHECK(port.transmit(Side::outside, &*frame, 1) == 1);
    }
    port.flush();
  }
  std::ifstream written(out, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(written)), {});
  REQUIRE(bytes.size() == file.size());
  CHECK(static_cast<std::uint8_t>(bytes[24 + 16]) == 0xee);
  CHECK(std::memcmp(bytes.data() + 24 + 17, file.data() + 24 + 17, 59) == 0);
}

TEST_CASE("dpdk port: jumbo frames in several segments are joined; a peer that is away fills a bounded backlog") {
  const Folder folder;
  const std::string socket = folder.path / "m";
  const DpdkLink here("net_memif0,role=server,socket-abstract=no,socket=" + socket, "net_null0,size=60");
  DpdkPort port(here, 0);
  CHECK_FALSE(here.link_up());
  unsigned taken = 0;
  for (int i = 0; i < 1000; ++i) {
    Frame frame = filled(port, pattern(60));
    taken += port.transmit(Side::inside, &frame, 1);
  }
  CHECK(taken == 512);
  CHECK_FALSE(port.prepare_wait());

  {
    const DpdkLink there("net_memif1,role=client,socket-abstract=no,socket=" + socket, "net_null1,size=60");
    DpdkPort peer(there, 0);
    REQUIRE(within(3000ms, [&] { return here.link_up() && there.link_up(); }));
    unsigned came = 0;
    CHECK(within(3000ms, [&] {
      Frame frames[32];
      const unsigned count = peer.receive(frames, 32);
      for (unsigned i = 0; i < count; ++i) came += frames[i].side == Side::inside;
      peer.release(frames, count);
      port.flush();
      return came == 512;
    }));
    CHECK(port.prepare_wait());
  }
  // The driver notices the end of its peer in a thread of its own, and must not be taken down meanwhile.
  CHECK(within(3000ms, [&] { return !here.link_up(); }));
}

TEST_CASE("dpdk port: clients that leave a memif at once do it no harm") {
  const Folder folder;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  (folder.path / "m").string().copy(address.sun_path, sizeof address.sun_path - 1);
  const DpdkLink here("net_memif0,role=server,socket-abstract=no,socket=" + std::string(address.sun_path), "net_null0");
  for (int i = 0; i < 500; ++i) {
    const int client = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
    REQUIRE(connect(client, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    close(client);
  }
  const DpdkLink there("net_memif1,role=client,socket-abstract=no,socket=" + std::string(address.sun_path),
                       "net_null1");
  CHECK(within(3000ms, [&] { return here.link_up() && there.link_up(); }));
}

TEST_CASE("dpdk port: errors say which device, what, and what to do") {
  const std::string null = "net_null1";
  CHECK(contains(failure("net_af_xdp0,iface=nowhere0", null), "network interface nowhere0 does not exist; create it"));
  CHECK(contains(failure("net_nonsense0", null), "net_nonsense0: cannot open the device"));
  CHECK(contains(failure("net_null0", "net_null0"), "already in use; give every port a name of its own"));
  CHECK(contains(failure("net_pcap0,rx_pcap=/no/such,tx_pcap=/tmp/x", null), "net_pcap0"));
  CHECK(contains(failure("net_memif0,role=client,socket-abstract=no,socket=/tmp/nobody-there", null),
                 "Failed to connect socket: /tmp/nobody-there.); start the side with role=server first"));
  CHECK(failure("net_null0", null) == "no error");  // a failure leaves nothing behind that would be in the way
}

// AF_XDP, in a network namespace of a thread of its own.
namespace {

void in_new_namespace(const std::function<void()>& body) {
  std::thread([&] {
    REQUIRE(unshare(CLONE_NEWNET) == 0);
    REQUIRE(std::system("ip link add in0 type veth peer name client && ip link add out0 type veth peer name server &&"
                        "for i in in0 client out0 server; do "
                        "echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; ip link set $i up; done") == 0);
    body();
  }).join();
}

int packet_socket(const char* interface) {
  const int descriptor = ::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface));
  REQUIRE(::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return descriptor;
}

bool readable(int descriptor, int milliseconds) {
  pollfd wait{descriptor, POLLIN, 0};
  return poll(&wait, 1, milliseconds) == 1;
}

void forward_one_each_way(Port& port) {
  const int client = packet_socket("client"), server = packet_socket("server");
  const Octets octets = pattern(1514);
  CHECK_FALSE(readable(port.wait_descriptor(Side::inside), 50));
  REQUIRE(::send(client, octets.data(), octets.size(), 0) == 1514);
  CHECK(readable(port.wait_descriptor(Side::inside), 1000));
  CHECK_FALSE(readable(port.wait_descriptor(Side::outside), 0));
  const auto frame = receive_one(port);
  REQUIRE(frame);
  CHECK(frame->side == Side::inside);
  CHECK(octets_of(*frame) == octets);
  CHECK(port.transmit(Side::outside, &*frame, 1) == 1);
  port.flush();
  Octets arrived(2000);
  REQUIRE(readable(server, 1000));
  CHECK(::recv(server, arrived.data(), arrived.size(), 0) == 1514);
  arrived.resize(1514);
  CHECK(arrived == octets);
  close(client);
  close(server);
}

}  // namespace

// As when an instance is started again before the kernel has cleared up behind the old one.
TEST_CASE("dpdk port: an AF_XDP queue that is busy is waited for" * doctest::skip(geteuid() != 0)) {
  in_new_namespace([] {
    auto old = std::make_unique<DpdkLink>("net_af_xdp0,iface=in0", "net_af_xdp1,iface=out0");
    std::thread ending([&old] {
      std::this_thread::sleep_for(700ms);
      old.reset();
    });
    const std::string result = [] {
      try {
        const DpdkLink link("net_af_xdp2,iface=in0", "net_af_xdp3,iface=out0");
        DpdkPort port(link, 0);
        forward_one_each_way(port);
        return std::string("forwarded");
      } catch (const PortError& error) {
        return std::string(error.what());
      }
    }();
    ending.join();
    CHECK(result == "forwarded");
  });
}

TEST_CASE("dpdk port: AF_XDP carries frames, can be waited for, and can be bound again at once" *
          doctest::skip(geteuid() != 0)) {
  in_new_namespace([] {
    for (int binding = 0; binding < 3; ++binding) {
      const DpdkLink link("net_af_xdp0,iface=in0", "net_af_xdp1,iface=out0");
      DpdkPort port(link, 0);
      CHECK(link.link_up());
      CHECK(port.wait_descriptor(Side::inside) >= 0);
      CHECK(port.wait_descriptor(Side::outside) >= 0);
      CHECK(port.wait_descriptor(Side::outside) != port.wait_descriptor(Side::inside));
      forward_one_each_way(port);
      CHECK(link.device(Side::inside).lost() == 0);
    }
    CHECK(contains(failure("net_af_xdp0,iface=in0", "net_af_xdp1,iface=out0", 2), "has 1 queues, 2 are needed"));
    REQUIRE(std::system("ip link set in0 mtu 3600 2> /dev/null") == 0);
    CHECK(
        contains(failure("net_af_xdp0,iface=in0", "net_af_xdp1,iface=out0"), "more than AF_XDP can carry; set it to"));
  });
}

TEST_CASE("dpdk port: frames that an AF_XDP queue has no buffer for are missed by its own port" *
          doctest::skip(geteuid() != 0)) {
  in_new_namespace([] {
    const DpdkLink link("net_af_xdp0,iface=in0", "net_af_xdp1,iface=out0");
    DpdkPort port(link, 0);
    CHECK(port.missed() == 0);
    const int client = packet_socket("client");
    const Octets octets = pattern(60);
    constexpr std::uint64_t sent = 5000;  // more than a ring holds
    for (std::uint64_t i = 0; i < sent; ++i) REQUIRE(::send(client, octets.data(), octets.size(), 0) == 60);
    std::uint64_t received = 0;
    const auto take = [&] {
      std::array<Frame, 64> frames;
      const unsigned count = port.receive(frames.data(), frames.size());
      port.release(frames.data(), count);
      received += count;
    };
    CHECK(within(2000ms, [&] {
      take();
      return received + port.missed() == sent;
    }));
    CHECK(port.missed() > 0);
    CHECK(received > 0);
    close(client);
  });
}

// Frames that are kept for a while go through all buffers of the pool, not only through the last ones given back.
TEST_CASE("dpdk port: every AF_XDP buffer can be received into again and again" * doctest::skip(geteuid() != 0)) {
  in_new_namespace([] {
    const DpdkLink link("net_af_xdp0,iface=in0", "net_af_xdp1,iface=out0");
    DpdkPort port(link, 0);
    const int client = packet_socket("client");
    const Octets octets = pattern(60);
    constexpr std::size_t rounds = 200, each = 128, kept = 10'000;
    std::deque<Frame> held;
    std::size_t received = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < each; ++i) REQUIRE(::send(client, octets.data(), octets.size(), 0) == 60);
      std::array<Frame, each> frames;
      const bool all = within(2000ms, [&] {
        const unsigned count = port.receive(frames.data(), each);
        held.insert(held.end(), frames.begin(), frames.begin() + count);
        received += count;
        return received >= (round + 1) * each;
      });
      REQUIRE(all);
      for (; held.size() > kept; held.pop_front()) port.release(&held.front(), 1);
    }
    for (const Frame& frame : held) port.release(&frame, 1);
    close(client);
  });
}
