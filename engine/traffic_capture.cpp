#include "traffic_capture.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>

#include "checksum.hpp"
#include "packet.hpp"

namespace snf {
namespace {

enum Protocol : std::uint8_t { tcp = 6, udp = 17, icmpv6 = 58 };

// Where the checksum over the pseudo header stands in a transport header of `length` bytes; -1: nowhere.
int checksum_offset(std::uint8_t protocol, std::uint32_t length) {
  if (protocol == tcp && length >= 18) return 16;
  if (protocol == udp && length >= 8) return 6;
  if (protocol == icmpv6 && length >= 4) return 2;
  return -1;
}

void update(std::uint8_t* checksum, const std::uint8_t* before, const std::uint8_t* after) {
  std::uint16_t value;
  std::memcpy(&value, checksum, sizeof value);
  value = checksum_update(value, before, after, 4);
  std::memcpy(checksum, &value, sizeof value);
}

}  // namespace

CaptureFlows::CaptureFlows(const std::vector<CapturedFrame>& frames) {
  if (frames.empty()) throw std::invalid_argument("a capture without frames makes no traffic");
  std::map<std::uint32_t, std::vector<const CapturedFrame*>> by_flow;
  std::vector<std::uint32_t> order;
  for (const CapturedFrame& frame : frames) {
    auto& list = by_flow[frame.flow];
    if (list.empty()) order.push_back(frame.flow);
    list.push_back(&frame);
  }
  for (const std::uint32_t flow : order) {
    first_.push_back(static_cast<std::uint32_t>(frames_.size()));
    for (const CapturedFrame* frame : by_flow[flow]) {
      frames_.push_back(plan(*frame, bytes_.size()));
      bytes_.insert(bytes_.end(), frame->bytes.begin(), frame->bytes.end());
      longest_ = std::max(longest_, frames_.back().length);
    }
  }
  first_.push_back(static_cast<std::uint32_t>(frames_.size()));
}

CaptureFlows::Stored CaptureFlows::plan(const CapturedFrame& captured, std::size_t begin) {
  Stored stored{begin, static_cast<std::uint32_t>(captured.bytes.size()), captured.side, {}};
  PacketRecord record;
  Layout layout;
  const Frame frame{const_cast<std::uint8_t*>(captured.bytes.data()), stored.length, stored.length, nullptr,
                    stored.side};
  if (parse(frame, record, layout).what != Parsed::flow) return stored;
  const bool error = static_cast<Kind>(record.kind) == Kind::icmp_error;
  const auto rewrite_of = [&](std::uint16_t network, std::uint16_t transport, bool source, std::uint8_t protocol) {
    const bool four = record.version == 4;
    Rewrite rewrite;
    rewrite.at = static_cast<std::uint16_t>(network + (four ? (source ? 12 : 16) : (source ? 8 : 24) + 4));
    rewrite.ip_checksum = four ? static_cast<std::uint16_t>(network + 10) : 0;
    const int offset = transport == 0 ? -1 : checksum_offset(protocol, layout.end - transport);
    rewrite.transport_checksum = offset < 0 ? 0 : static_cast<std::uint16_t>(transport + offset);
    rewrite.udp = protocol == udp;
    return rewrite;
  };
  const bool outbound = captured.side == Side::inside;
  // A checksum that an ICMP error carries of its own is made anew, last.
  stored.rewrites[0] = rewrite_of(layout.network, error ? 0 : layout.transport, outbound, record.protocol);
  if (error) {
    stored.rewrites[1] = rewrite_of(layout.quoted_network, layout.quoted_transport, !outbound, record.protocol);
    stored.icmp = layout.transport;
    stored.network = layout.network;
    stored.end = layout.end;
  }
  return stored;
}

// 65,536 passes differ, as the factor is odd. IPv4 clients keep their /8, IPv6 clients their /40.
void CaptureFlows::rewrite(std::uint8_t* frame, const Rewrite& where, std::uint32_t pass) {
  if (where.at == 0) return;
  const std::uint32_t bits = pass * 0x9e37u & 0xffff;
  std::uint8_t* address = frame + where.at;
  std::uint8_t before[4];
  std::memcpy(before, address, sizeof before);
  const std::uint8_t change[4] = {0, static_cast<std::uint8_t>(bits >> 8), static_cast<std::uint8_t>(bits), 0};
  for (unsigned i = 0; i < 4; ++i) address[i] ^= change[i];
  if (where.ip_checksum != 0) update(frame + where.ip_checksum, before, address);
  if (where.transport_checksum == 0) return;
  std::uint8_t* checksum = frame + where.transport_checksum;
  if (where.udp && checksum[0] == 0 && checksum[1] == 0) return;  // none (RFC 768)
  update(checksum, before, address);
  if (where.udp && checksum[0] == 0 && checksum[1] == 0) checksum[0] = checksum[1] = 0xff;
}

void CaptureFlows::sum_icmp(std::uint8_t* frame, const Stored& stored) {
  std::uint8_t* icmp = frame + stored.icmp;
  const std::uint8_t* ip = frame + stored.network;
  const std::uint32_t length = stored.end - stored.icmp;
  std::memset(icmp + 2, 0, 2);
  const std::uint64_t start = ip[0] >> 4 == 4 ? 0 : pseudo_header_sum(ip, icmpv6, length);
  const auto checksum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(start, icmp, length)));
  std::memcpy(icmp + 2, &checksum, sizeof checksum);
}

void CaptureFlows::open(FlowSlot& slot) {
  slot.flow = next_;
  slot.step = 0;
  slot.length = first_[next_ + 1] - first_[next_];
  slot.sum = pass_;
  if (++next_ == first_.size() - 1) {
    next_ = 0;
    ++pass_;
  }
  count_opened();
}

void CaptureFlows::make(FlowSlot* const* slots, Frame* frames, unsigned count) {
  for (unsigned i = 0; i < count; ++i) make_one(*slots[i], frames[i]);
}

void CaptureFlows::make_one(FlowSlot& slot, Frame& frame) {
  if (slot.step == slot.length) open(slot);
  const Stored& stored = frames_[first_[slot.flow] + slot.step++];
  std::memcpy(frame.data, bytes_.data() + stored.begin, stored.length);
  frame.length = stored.length;
  frame.side = stored.side;
  const auto pass = static_cast<std::uint32_t>(slot.sum);
  for (const Rewrite& where : stored.rewrites) rewrite(frame.data, where, pass);
  if (stored.icmp != 0) sum_icmp(frame.data, stored);
}

}  // namespace snf
