// What is heard of others: questions for owned addresses are answered, claims to them are defended against, and
// answers go to the resolver.
#include "neighbours.hpp"

namespace snf {
namespace {
constexpr Hearing other{Hearing::What::other}, taken{Hearing::What::taken};
constexpr std::uint64_t defend_interval_ms = 10'000;  // DEFEND_INTERVAL, RFC 5227 section 1.1
}  // namespace

Hearing Neighbours::hear(const Frame& frame, const PacketRecord& packet, const Layout& layout, std::uint64_t now,
                         Frame& answer) {
  const std::uint16_t vlan = place(frame.side).vlan;
  if (vlan != 0 && vlan != packet.vlan) return other;
  const Message message{
      frame, frame.side,         tags_of(frame, layout), load_mac(frame.data), load_mac(frame.data + 6),
      now,   vlan == packet.vlan};
  if (message.from == mac_) return taken;  // another instance's, or one's own that came back
  if (!message.to_group() && message.to != mac_) return other;
  if (is_solicitation_or_advertisement(packet)) return hear_discovery(message, packet, layout, answer);
  Arp arp;
  if (packet.version != 0 || !read_arp(frame.data + layout.network, arp)) return other;
  return hear_arp(message, arp, answer);
}

void Neighbours::tell(const Message& message, const Address& address, const Mac* mac, bool solicited) {
  if (!message.our_vlan) return;
  resolver_.told(message.side, address, mac, solicited, message.now);
  if (board_) board_->tell(pipe_, {message.side, solicited, address, mac ? std::optional(*mac) : std::nullopt});
}

void Neighbours::listen(std::uint64_t now) {
  if (!board_) return;
  for (const NeighbourNews& news : board_->take(pipe_)) {
    if (!resolver_.knows(news.side, news.address)) continue;  // nothing that was unasked for: the others count that
    resolver_.told(news.side, news.address, news.mac ? &*news.mac : nullptr, news.solicited, now);
  }
}

// RFC 4861 section 7.2.4, RFC 826: the answer leaves on the side and with the tags of the question.
Hearing Neighbours::answered(const Message& message, Frame& answer, bool written) {
  if (!written) return taken;
  answer.side = opposite(message.side);
  stats_.answers.add();
  return {Hearing::What::answered};
}

bool Neighbours::may_defend(const Address& address, std::uint64_t now) {
  std::uint64_t& again = defended_[(address.low ^ address.high) % defended_.size()];
  if (now < again || !answers_.take(now)) return false;
  again = now + defend_interval_ms;
  return true;
}

// RFC 5227 section 2.4 (c): the deployment keeps its addresses, and says so, but not in a shouting match.
Hearing Neighbours::defend(const Message& message, const Address& address, Frame& answer) {
  stats_.conflicts.add();
  if (!may_defend(address, message.now)) return taken;
  return answered(message, answer, announce(message.side, message.tags, address, answer));
}

Hearing Neighbours::hear_arp(const Message& message, const Arp& arp, Frame& answer) {
  if (arp.sender_mac == mac_) return taken;
  if (owns(message.side, arp.sender)) return defend(message, arp.sender, answer);
  if (!arp.request) return hear_reply(message, arp);
  tell(message, arp.sender, &arp.sender_mac, false);
  if (!owns(message.side, arp.target)) return other;
  if (!answers_.take(message.now)) return stats_.answers_limited.add(), taken;
  const LinkHeader header{arp.sender_mac, mac_, message.tags};
  return answered(message, answer, write_arp(answer, header, {false, mac_, arp.target, arp.sender_mac, arp.sender}));
}

// Hosts may broadcast their answers (RFC 5227 section 2.6), so what names the asker is an answer, too.
Hearing Neighbours::hear_reply(const Message& message, const Arp& arp) {
  const bool to_us = !message.to_group() || arp.target == arp_source(message.side, arp.sender);
  tell(message, arp.sender, &arp.sender_mac, to_us);
  return message.to_group() ? other : taken;
}

Hearing Neighbours::hear_discovery(const Message& message, const PacketRecord& packet, const Layout& layout,
                                   Frame& answer) {
  Discovery heard;
  const ParseResult result = read_discovery(message.frame, packet, layout, heard);
  if (heard.has_mac && heard.mac == mac_) return taken;
  if (result.what == Parsed::drop) {
    return owns(message.side, heard.target) ? Hearing{Hearing::What::refused, result.reason} : other;
  }
  return heard.solicitation ? hear_solicitation(message, heard, answer) : hear_advertisement(message, heard, answer);
}

Hearing Neighbours::hear_solicitation(const Message& message, const Discovery& asked, Frame& answer) {
  const bool free = is_unspecified(asked.source);  // asks whether the address is free
  if (asked.has_mac && owns(message.side, asked.source)) return defend(message, asked.source, answer);
  if (asked.has_mac) tell(message, asked.source, &asked.mac, false);
  if (!owns(message.side, asked.target)) return other;
  if (!answers_.take(message.now)) return stats_.answers_limited.add(), taken;
  const Discovery reply{false, !free, true, true, mac_, asked.target, free ? all_nodes : asked.source, asked.target};
  const Mac to = free ? group_mac(all_nodes) : asked.has_mac ? asked.mac : message.from;
  return answered(message, answer, write_discovery(answer, {to, mac_, message.tags}, reply));
}

Hearing Neighbours::hear_advertisement(const Message& message, const Discovery& told, Frame& answer) {
  if (owns(message.side, told.target)) return defend(message, told.target, answer);
  const Mac* mac = told.has_mac ? &told.mac : nullptr;
  tell(message, told.target, mac, told.solicited);
  return message.to_group() ? other : taken;
}

}  // namespace snf
