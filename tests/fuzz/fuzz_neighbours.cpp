// Any sequence of frames, look-ups and pauses: nothing reads outside of a frame, every answer and question can be read
// back and is in the deployment's name, bounds hold, and each packet that waited comes back once.
// Input: steps of [what, argument, length, frame bytes]; checksums of solicitations are put right, as none guesses
// them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>

#include "checksum.hpp"
#include "neighbours.hpp"
#include "wire.hpp"

namespace snf {
namespace {

constexpr Mac our_mac{0x02, 0x53, 0x4e, 0x46, 0x12, 0x34};
constexpr std::uint32_t room = 128;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// As in the tests of the engine: 192.0.2.16/28 and 2001:db8::100/120 outside, whose subnets are on-link.
NeighbourOptions options() {
  NeighbourOptions options;
  options.mac = our_mac;
  options.secret = 0x5eed;
  options.limits = {.entries = 16, .unresolved = 6, .held = 12, .questions_per_second = 20};
  NeighbourSide& outside = options.sides[1];
  outside.owned = {{ipv4_address(0xc0000210), ipv4_address(0xc000021f)},
                   {{0x2001'0db8'0000'0000, 0x100}, {0x2001'0db8'0000'0000, 0x1ff}}};
  outside.on_link = {{ipv4_address(0xc0000200), ipv4_address(0xc00002ff)},
                     {{0x2001'0db8'0000'0000, 0}, {0x2001'0db8'0000'0000, ~0ull}}};
  outside.gateway4 = ipv4_address(0xc0000201);
  return options;
}

struct Input {
  const std::uint8_t* data;
  std::size_t size;
  std::uint8_t octet() {
    if (size == 0) return 0;
    --size;
    return *data++;
  }
};

class Play {
 public:
  void step(Input& input) {
    const std::uint8_t what = input.octet() % 8;
    const std::uint8_t argument = input.octet();
    if (what < 3) hear(input, what == 0 ? Side::inside : Side::outside, what == 1);
    if (what == 3) resolve(ipv4_address(0xc0000200u | argument));
    if (what == 4) resolve({0x2001'0db8'0000'0000, argument});
    if (what == 5) ask();
    if (what == 6) now_ += argument * 100u;
    if (what == 7) take_back();
  }
  void end() {
    for (int second = 0; second < 12; ++second, now_ += 1000) {
      for (int i = 0; i < 20; ++i) ask();
    }
    take_back();
    require(waiting_.empty(), "each packet comes back");
  }

 private:
  // A frame that is read back by parse, and so has right lengths; with the deployment's MAC as its sender.
  void check_said(const Frame& said, Side side) {
    require(said.length >= 60 && said.length <= room && said.side == opposite(side), "it fits, and leaves on its side");
    require(std::equal(our_mac.begin(), our_mac.end(), said.data + 6), "it is from the deployment");
    const Frame frame{said.data, said.length, said.length, nullptr, side};
    PacketRecord packet;
    Layout layout;
    require(parse(frame, packet, layout).what == Parsed::pass, "it can be read");
    if (packet.version == 6) require(checksums_hold(frame, packet, layout), "its checksum is right");
    Frame answer = lend(second_);
    const auto what = neighbours_.hear(frame, packet, layout, now_, answer).what;
    require(what == Hearing::What::taken, "another instance takes it, and says nothing");
  }

  static Frame lend(std::uint8_t* block) { return {block, 0, room, nullptr, Side::inside}; }

  static void fix_sum(const Frame& frame, const Layout& layout) {
    std::uint8_t* icmp = frame.data + layout.transport;
    const std::uint32_t length = layout.end - layout.transport;
    std::memset(icmp + 2, 0, 2);
    const std::uint64_t pseudo = pseudo_header_sum(frame.data + layout.network, protocol::icmpv6, length);
    const auto sum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(pseudo, icmp, length)));
    std::memcpy(icmp + 2, &sum, 2);
  }

  void hear(Input& input, Side side, bool fix) {
    const std::size_t size = std::min<std::size_t>(input.octet(), input.size);
    const auto block = std::make_unique<std::uint8_t[]>(size);  // exact, so that ASan sees any read behind it
    if (size != 0) std::memcpy(block.get(), input.data, size);
    input.data += size, input.size -= size;
    const Frame frame{block.get(), static_cast<std::uint32_t>(size), static_cast<std::uint32_t>(size), nullptr, side};
    PacketRecord packet;
    Layout layout;
    if (parse(frame, packet, layout).what != Parsed::pass) return;
    if (fix && packet.version == 6) fix_sum(frame, layout);
    Frame answer = lend(first_);
    const Hearing hearing = neighbours_.hear(frame, packet, layout, now_, answer);
    require((hearing.what == Hearing::What::answered) == (answer.length != 0), "written if answered");
    if (hearing.what == Hearing::What::answered) check_said(answer, side);
    require(side == Side::outside || answer.length == 0, "nothing is owned inside");
  }

  void resolve(const Address& address) {
    const Resolution resolution = neighbours_.resolve(Side::outside, address, now_);
    const bool resolved = resolution.what == Resolution::What::resolved;
    require(!resolved || (is_one_interface(resolution.mac) && resolution.mac != our_mac), "one other interface's MAC");
    require(!resolved || !neighbours_.owns(Side::outside, address), "owned addresses are no neighbours");
    require(stats_.known.get() <= 16, "the table is bounded");
    if (resolution.what != Resolution::What::pending) return;
    waiting_.insert(++packet_);
    if (const std::uint32_t gone = neighbours_.hold(resolution, packet_); gone != none) back(gone);
    require(waiting_.size() <= 12, "what waits is bounded");
  }

  void ask() {
    const bool due = neighbours_.step(now_);
    Frame question = lend(first_);
    require(neighbours_.ask(now_, question) == due, "a question that is due is asked");
    if (due) check_said(question, Side::outside);
  }

  void back(std::uint32_t packet) { require(waiting_.erase(packet) == 1, "each packet comes back once"); }
  void take_back() {
    for (std::uint32_t packet = neighbours_.take_ready(); packet != none; packet = neighbours_.take_ready())
      back(packet);
    for (std::uint32_t packet = neighbours_.take_failed(); packet != none; packet = neighbours_.take_failed())
      back(packet);
  }

  NeighbourStats stats_;
  Neighbours neighbours_{options(), stats_};
  std::uint64_t now_ = 1'000'000;
  std::uint32_t packet_ = 0;
  std::set<std::uint32_t> waiting_;
  std::uint8_t first_[room] = {}, second_[room] = {};
};

}  // namespace
}  // namespace snf

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  snf::Play play;
  snf::Input input{data, size};
  while (input.size != 0) play.step(input);
  play.end();
  return 0;
}
