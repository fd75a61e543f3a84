#include "dpdk_port.hpp"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "dpdk_eal.hpp"
#include "port_error.hpp"

namespace snf {
namespace {

constexpr unsigned buffers_per_pipe = 16384;  // two devices' rings (2,048 each way), and packets in flight
constexpr unsigned jumbo_buffers = 1024;
constexpr unsigned jumbo_room = 9728;

rte_mbuf* mbuf_of(const Frame& frame) { return static_cast<rte_mbuf*>(frame.handle); }

Frame frame_of(rte_mbuf* mbuf, Side side) {
  return {rte_pktmbuf_mtod(mbuf, std::uint8_t*), mbuf->data_len,
          static_cast<std::uint32_t>(mbuf->buf_len - mbuf->data_off), mbuf, side};
}

bool is_af_xdp(const std::string& arguments) { return arguments.starts_with("net_af_xdp"); }

}  // namespace

DpdkLink::DpdkLink(const std::string& inside, const std::string& outside, unsigned pipes) : pipes_(pipes) {
  start_eal();
  const unsigned room = std::max(DpdkDevice::buffer_room(inside), DpdkDevice::buffer_room(outside));
  const unsigned count = buffers_per_pipe * pipes - 1;
  pool_ =
      is_af_xdp(inside) || is_af_xdp(outside) ? make_page_pool("packets", count) : make_pool("packets", count, room);
  jumbo_pool_ = make_pool("jumbo", jumbo_buffers - 1, jumbo_room);
  devices_[0] = std::make_unique<DpdkDevice>(inside, pipes, pool_.get());
  devices_[1] = std::make_unique<DpdkDevice>(outside, pipes, pool_.get());
}

DpdkPort::DpdkPort(const DpdkLink& link, unsigned queue) : link_(link), queue_(static_cast<std::uint16_t>(queue)) {}

DpdkPort::~DpdkPort() {
  for (Outgoing& outgoing : outgoing_) rte_pktmbuf_free_bulk(outgoing.frames.data(), outgoing.count);
}

// The side that comes first changes from call to call: neither can starve the other.
unsigned DpdkPort::receive(Frame* frames, unsigned room) {
  register_eal_thread();
  const Side first = outside_first_ ? Side::outside : Side::inside;
  outside_first_ = !outside_first_;
  const unsigned count = receive_from(first, frames, room);
  return count + receive_from(opposite(first), frames + count, room - count);
}

unsigned DpdkPort::receive_from(Side side, Frame* frames, unsigned room) {
  rte_mbuf* mbufs[burst];
  const auto wanted = static_cast<std::uint16_t>(std::min(room, burst));
  if (wanted == 0) return 0;
  const unsigned received = rte_eth_rx_burst(link_.device(side).id(), queue_, mbufs, wanted);
  unsigned count = 0;
  for (rte_mbuf* mbuf : std::span(mbufs, received)) {
    if (mbuf->nb_segs > 1) mbuf = joined(mbuf);
    if (mbuf != nullptr) frames[count++] = frame_of(mbuf, side);
  }
  return count;
}

rte_mbuf* DpdkPort::joined(rte_mbuf* scattered) {
  const std::uint32_t length = scattered->pkt_len;
  rte_mbuf* whole = length <= jumbo_room ? rte_pktmbuf_alloc(link_.jumbo_pool_.get()) : nullptr;
  if (whole != nullptr) {
    char* to = rte_pktmbuf_append(whole, static_cast<std::uint16_t>(length));
    for (const rte_mbuf* part = scattered; part != nullptr; part = part->next) {
      std::memcpy(to, rte_pktmbuf_mtod(part, const char*), part->data_len);
      to += part->data_len;
    }
  } else {
    scattered_.add();
  }
  rte_pktmbuf_free(scattered);
  return whole;
}

unsigned DpdkPort::transmit(Side to, const Frame* frames, unsigned count) {
  register_eal_thread();
  Outgoing& outgoing = outgoing_[static_cast<int>(to)];
  const std::uint32_t longest = link_.device(to).longest();
  unsigned taken = 0;
  for (const Frame& frame : std::span(frames, count)) {
    if (outgoing.count == backlog) push(to);
    rte_mbuf* mbuf = mbuf_of(frame);
    if (outgoing.count == backlog || frame.length > longest) {
      rte_pktmbuf_free(mbuf);
      continue;
    }
    mbuf->pkt_len = frame.length;
    mbuf->data_len = static_cast<std::uint16_t>(frame.length);
    mbuf->ol_flags = 0;
    outgoing.frames[outgoing.count++] = mbuf;
    ++taken;
  }
  if (outgoing.count >= burst) push(to);
  return taken;
}

// Offers the backlog; what the device does not take stays, in order.
void DpdkPort::push(Side to) {
  Outgoing& outgoing = outgoing_[static_cast<int>(to)];
  const unsigned sent = rte_eth_tx_burst(link_.device(to).id(), queue_, outgoing.frames.data(),
                                         static_cast<std::uint16_t>(outgoing.count));
  std::copy(outgoing.frames.begin() + sent, outgoing.frames.begin() + outgoing.count, outgoing.frames.begin());
  outgoing.count -= sent;
}

void DpdkPort::flush() {
  for (const Side side : {Side::inside, Side::outside}) {
    if (outgoing_[static_cast<int>(side)].count > 0) push(side);
  }
}

void DpdkPort::release(const Frame* frames, unsigned count) {
  for (const Frame& frame : std::span(frames, count)) rte_pktmbuf_free(mbuf_of(frame));
}

Frame DpdkPort::allocate() {
  rte_mbuf* mbuf = rte_pktmbuf_alloc(link_.pool_.get());
  return mbuf == nullptr ? Frame{} : frame_of(mbuf, Side::inside);
}

int DpdkPort::wait_descriptor(Side side) { return link_.device(side).descriptor(queue_); }

std::uint64_t DpdkPort::missed() {
  return link_.device(Side::inside).missed(queue_) + link_.device(Side::outside).missed(queue_);
}

bool DpdkPort::prepare_wait() {
  flush();
  return outgoing_[0].count == 0 && outgoing_[1].count == 0;
}

}  // namespace snf
