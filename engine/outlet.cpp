#include "outlet.hpp"

#include <utility>

#include "function.hpp"
#include "gateway.hpp"

namespace snf {

namespace {
constexpr std::uint32_t answers_per_second = 10'000;  // of one pipe
}

Outlet::Outlet(Port& port, PacketPool& pool, Stats& stats, std::size_t events, std::size_t captured)
    : port_(port),
      pool_(pool),
      stats_(stats),
      captured_(captured),
      answers_(answers_per_second),
      events_(events),
      dropped_(captured) {}

// Packets of one burst were received at the same time, so most of them fall into one bucket: count runs.
void Outlet::measure(const Buffer& buffer) {
  for (unsigned i = 0; i < buffer.count;) {
    unsigned run = i + 1;
    while (run < buffer.count && buffer.received[run] == buffer.received[i]) ++run;
    if (buffer.received[i] != 0) stats_.latency.add(now_ns_ - buffer.received[i], run - i);
    i = run;
  }
}

void Outlet::transmit(Side to) {
  Buffer& buffer = buffers_[static_cast<unsigned>(to)];
  const auto side = static_cast<unsigned>(to);
  std::uint64_t bytes = 0;
  for (unsigned i = 0; i < buffer.count; ++i) bytes += buffer.frames[i].length;
  const unsigned sent = port_.transmit(to, buffer.frames.data(), buffer.count);
  stats_.forwarded[side].add(sent);
  stats_.forwarded_bytes[side].add(bytes);
  if (sent < buffer.count) stats_.drops[static_cast<unsigned>(Drop::transmit_full)].add(buffer.count - sent);
  measure(buffer);
  buffer.count = 0;
}

void Outlet::flush(std::uint64_t now_ns) {
  now_ns_ = now_ns;
  if (buffers_[0].count > 0) transmit(Side::inside);
  if (buffers_[1].count > 0) transmit(Side::outside);
  port_.flush();
}

void Outlet::pass(const Frame& frame) {
  stats_.passed.add();
  send(opposite(frame.side), frame, 0);
}

void Outlet::say(const Frame& frame) {
  stats_.generated.add();
  send(opposite(frame.side), frame, 0);
}

bool Outlet::lead(std::uint32_t packet) { return gateway_->lead(packet); }

void Outlet::drop_frame(const Frame& frame, Drop reason, std::uint64_t now, std::uint8_t function_reason) {
  if (reason == Drop::denied && function_reason != 0) {
    stats_.function_drops[(function_reason - 1u) % function_drop_count].add();
  } else {
    stats_.drops[static_cast<unsigned>(reason)].add();
  }
  if (captured_ > 0) {
    dropped_.push({port_.token(frame), now, reason, function_reason, frame.side,
                   std::vector<std::uint8_t>(frame.data, frame.data + frame.length)});
  }
  port_.release(&frame, 1);
}

void Outlet::drop(std::uint32_t index, Drop reason, std::uint8_t function_reason) {
  Packet& packet = pool_[index];
  drop_frame(packet.frame, reason, packet.header.now, function_reason);
  pool_.release(index);
}

void Outlet::drop_all(PacketQueue& queue, Drop reason) {
  while (!queue.empty()) drop(queue.pop(pool_), reason);
}

// RFC 1812 4.3.2.8, RFC 4443 2.4(f): answers are limited in rate.
void Outlet::answer(const Packet& packet, Refusal kind) {
  if (!answers_.take(packet.header.now)) return stats_.answers_limited.add();
  Frame frame = port_.allocate();
  if (frame.data == nullptr) return;
  frame.side = packet.frame.side;
  if (!build_reject(packet.frame, packet.header, packet.layout, kind, frame)) return port_.release(&frame, 1);
  stats_.generated.add();
  send(packet.frame.side, frame, 0);
}

void Outlet::carry_out(const Packet& packet, Bytes record) {
  const unsigned count = packet.header.effect_count < max_effects ? packet.header.effect_count : max_effects;
  for (unsigned i = 0; i < count; ++i) {
    const std::uint32_t argument = packet.header.effects[i] & 0xffffff;
    switch (static_cast<Effect>(packet.header.effects[i] >> 24)) {
      case Effect::reject:
        answer(packet, argument == 0 ? Refusal::rejected : Refusal::prohibited);
        break;
      case Effect::event:
        if (!events_.push({packet.header,
                           static_cast<std::uint8_t>(argument >> 16),
                           static_cast<std::uint16_t>(argument),
                           {record.begin(), record.end()}})) {
          stats_.effects_lost.add();
        }
        break;
      case Effect::count:
        if (argument < function_counter_count) stats_.function_counters[argument].add();
        break;
      case Effect::none:
        break;
    }
  }
}

}  // namespace snf
