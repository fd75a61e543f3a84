#include "traffic_tcp.hpp"

#include <arpa/inet.h>

#include <cstring>
#include <stdexcept>
#include <utility>

#include "checksum.hpp"
#include "packet.hpp"

namespace snf {
namespace {

constexpr std::uint32_t frame_check = 4, shortest_frame = 64, longest_frame = 1518;

// Ethernet, IPv4 (RFC 791) and TCP (RFC 9293) headers as they lie in the frame; multi-byte fields in network order.
struct __attribute__((packed)) Headers {
  std::uint8_t destination_mac[6] = {2, 0, 0, 0, 0, 2};
  std::uint8_t source_mac[6] = {2, 0, 0, 0, 0, 1};
  std::uint16_t ethertype = htons(0x0800);
  std::uint16_t version_and_tos = htons(0x4500);
  std::uint16_t total_length = 0;
  std::uint16_t identification = 0;
  std::uint16_t dont_fragment = htons(0x4000);
  std::uint16_t ttl_and_protocol = htons(64 << 8 | 6);
  std::uint16_t ip_checksum = 0;
  std::uint32_t source = 0, destination = 0;
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint32_t sequence = 0, acknowledgement = 0;
  std::uint16_t offset_and_flags = 0;
  std::uint16_t window = 0xffff;
  std::uint16_t checksum = 0;
  std::uint16_t urgent = 0;
};
static_assert(sizeof(Headers) == 54);
constexpr std::uint32_t ip_and_tcp_size = 40;

enum Party : unsigned { client = 0, server = 1 };

// What packet `step` of a flow of `length` is. Inlined by force: asked for every packet, in more than one place.
struct Step {
  Party sender;
  std::uint8_t flags;
  bool data;
};

[[gnu::always_inline]] inline Step step_of(std::uint32_t step, std::uint32_t length) {
  if (step == 0) return {client, syn, false};
  if (step == 1) return {server, syn | ack, false};
  if (step == 2) return {client, ack, false};
  if (step + 3 == length) return {client, fin | ack, false};
  if (step + 2 == length) return {server, fin | ack, false};
  if (step + 1 == length) return {client, ack, false};
  return {step % 4 == 3 ? client : server, psh | ack, true};  // a request, three packets of answer, and so on
}

std::uint64_t mixed(std::uint64_t x) {  // SplitMix64 (Steele, Lea, Flood 2014)
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

std::uint16_t checksum_of(std::uint64_t sum) { return static_cast<std::uint16_t>(~checksum_fold(sum)); }

}  // namespace

template <bool translated>
TcpFlowsOf<translated>::TcpFlowsOf(std::uint32_t packets, unsigned open_flows, std::uint32_t frame_bytes,
                                   std::uint64_t seed, Service service)
    : packets_(packets),
      data_length_(frame_bytes - frame_check),
      service_(service),
      shorter_(open_flows),
      next_flow_(mixed(seed)),
      random_(mixed(seed + 1)) {
  if (packets != 1 && packets < fewest_packets) throw std::invalid_argument("a TCP flow has 1 or at least 7 packets");
  if (frame_bytes < shortest_frame || frame_bytes > longest_frame) {
    throw std::invalid_argument("a frame has 64 to 1518 bytes");
  }
  if (!translated && service.clients != Side::inside) throw std::invalid_argument("clients are inside");
}

template <bool translated>
std::uint64_t TcpFlowsOf<translated>::random() {
  return mixed(random_ += 0x9e3779b97f4a7c15u);
}

template <bool translated>
std::uint32_t TcpFlowsOf<translated>::chosen_length() {
  if (packets_ == 1) return 1;
  const bool under_way = shorter_ > 0 && shorter_-- > 0;
  const std::uint32_t spread = packets_ - fewest_packets;
  return fewest_packets + static_cast<std::uint32_t>(random() % ((under_way ? spread : 2 * spread) + 1));
}

// Client address and port are a bijection of the low 24 bits and the rest of the flow's number.
template <bool translated>
void TcpFlowsOf<translated>::open(FlowSlot& slot) {
  const std::uint64_t number = next_flow_++;
  const auto low = static_cast<std::uint32_t>(number * 0x9e3779b1u & 0xffffff);
  const std::uint64_t servers = mixed(number);
  const std::uint32_t one_of_many = (198u << 24 | 18u << 16) + static_cast<std::uint32_t>(servers % (1 << 17));
  const std::uint16_t web = servers >> 32 & 1 ? 443 : 80;
  slot.address[client] = htonl(10u << 24 | low);
  slot.address[server] = htonl(service_.address != 0 ? service_.address : one_of_many);
  slot.port[client] = htons(static_cast<std::uint16_t>(1024 + (mixed(low) + (number >> 24)) % 64512));
  slot.port[server] = htons(service_.port != 0 ? service_.port : web);
  slot.sequence[client] = static_cast<std::uint32_t>(random());
  slot.sequence[server] = static_cast<std::uint32_t>(random());
  slot.step = 0;
  slot.length = chosen_length();
  slot.sum = std::uint64_t{slot.address[client]} + slot.address[server];
  this->count_opened();
}

template <bool translated>
void TcpFlowsOf<translated>::make(FlowSlot* const* slots, Frame* frames, unsigned count) {
  for (unsigned i = 0; i < count; ++i) make_one(*slots[i], frames[i]);
}

// What has become of the flow's previous packet, which lies in the frame.
template <bool translated>
void TcpFlowsOf<translated>::learn(FlowSlot& slot, const Frame& frame) {
  const bool dropped = std::exchange(slot.dropped, false);
  if (slot.step == slot.length) return;
  if (dropped) {
    if (slot.step == 1) slot.step = slot.length;
    return;
  }
  if (step_of(slot.step - 1, slot.length).sender != client) return;
  Headers left;
  std::memcpy(&left, frame.data, sizeof left);
  slot.far_address[client] = left.source;
  slot.far_address[server] = left.destination;
  slot.far_port[client] = left.source_port;
  slot.far_port[server] = left.destination_port;
}

template <bool translated>
void TcpFlowsOf<translated>::make_one(FlowSlot& slot, Frame& frame) {
  if constexpr (translated) learn(slot, frame);
  if (slot.step == slot.length) open(slot);
  const Step what = step_of(slot.step++, slot.length);
  const unsigned sender = what.sender, receiver = 1 - sender;
  frame.side = static_cast<Side>(sender);
  frame.length = what.data ? data_length_ : shortest_frame - frame_check;
  const std::uint32_t payload = what.data ? data_length_ - static_cast<std::uint32_t>(sizeof(Headers)) : 0;

  Headers headers;
  if (sender == server) std::swap(headers.destination_mac[5], headers.source_mac[5]);
  const bool far = translated && sender == server;  // no pointers to what is chosen: 10 instructions a packet
  const auto address = [&](unsigned party) { return far ? slot.far_address[party] : slot.address[party]; };
  const auto port = [&](unsigned party) { return far ? slot.far_port[party] : slot.port[party]; };
  const std::uint64_t sum = far ? std::uint64_t{address(client)} + address(server) : slot.sum;
  if (translated && service_.clients == Side::outside) frame.side = opposite(frame.side);
  headers.total_length = htons(static_cast<std::uint16_t>(ip_and_tcp_size + payload));
  headers.identification = static_cast<std::uint16_t>(slot.step);
  headers.source = address(sender);
  headers.destination = address(receiver);
  headers.source_port = port(sender);
  headers.destination_port = port(receiver);
  headers.sequence = htonl(slot.sequence[sender]);
  headers.acknowledgement = what.flags & ack ? htonl(slot.sequence[receiver]) : 0;
  headers.offset_and_flags = htons(static_cast<std::uint16_t>(5 << 12 | what.flags));
  // The payload is zeros, which no checksum sees.
  headers.ip_checksum = checksum_of(sum + headers.version_and_tos + headers.total_length + headers.identification +
                                    headers.dont_fragment + headers.ttl_and_protocol);
  headers.checksum = checksum_of(sum + port(client) + port(server) + headers.sequence + headers.acknowledgement +
                                 headers.offset_and_flags + headers.window + htons(6) +
                                 htons(static_cast<std::uint16_t>(20 + payload)));
  std::memcpy(frame.data, &headers, sizeof headers);
  slot.sequence[sender] += payload + ((what.flags & (syn | fin)) != 0);
}

template class TcpFlowsOf<false>;
template class TcpFlowsOf<true>;

}  // namespace snf
