// The Valkey client under a hostile store: whatever comes, each request is answered exactly once, and nothing crashes.
// Input: a script. Each step is one byte (what, two bits; how much, six bits) and, to feed, that many bytes.
#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "valkey_client.hpp"

namespace {

using namespace snf;

class Answers final : public StoreEvents {
 public:
  std::vector<bool> open;
  void on_read(Ticket ticket, Answer, Bytes value, bool) override { close(ticket, value); }
  void on_commit(Ticket ticket, Answer, Bytes value) override { close(ticket, value); }
  void on_invalidate(Bytes key) override { touch(key); }
  void on_invalidate_all() override {}
  Ticket next() {
    open.push_back(true);
    return static_cast<Ticket>(open.size() - 1);
  }
  std::size_t count() const { return static_cast<std::size_t>(std::count(open.begin(), open.end(), true)); }

 private:
  void close(Ticket ticket, Bytes value) {
    if (ticket >= open.size() || !open[ticket]) std::abort();
    open[ticket] = false;
    touch(value);
  }
  void touch(Bytes bytes) {
    for (const std::uint8_t byte : bytes) sum_ = sum_ + byte;
  }
  volatile unsigned sum_ = 0;
};

constexpr std::string_view old_value = "old", fresh_value = "fresh";

void request(ValkeyClient& client, Answers& answers, unsigned how) {
  Key key = {};
  key.size = 1;
  key.bytes[0] = static_cast<std::uint8_t>('a' + how % 8);
  if (how & 32) return client.read(answers.next(), key, how & 16);
  client.commit(answers.next(), key, how & 16 ? bytes_of(old_value) : Bytes(), bytes_of(fresh_value), 1);
}

void control(ValkeyClient& client, Answers& answers, std::uint64_t now, unsigned how) {
  if (how == 0) client.lost(now, "cut", answers);
  if (how == 1 && !client.alive()) client.connected(now);
  if (how > 1) client.poll(now, answers);
  client.sent(client.pending().size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto stats = std::make_unique<Stats>();  // large: not on the stack
  ValkeyClient client({}, *stats);
  Answers answers;
  std::uint64_t now = 1;
  client.connected(now);
  while (size > 0) {
    const unsigned step = data[0] >> 6, how = data[0] & 63;
    ++data, --size;
    now += how * 1000;
    if (step == 0) request(client, answers, how);
    if (step == 1) control(client, answers, now, how);
    if (step < 2) continue;
    const std::size_t count = std::min<std::size_t>(how + 1, size);
    client.feed({data, count}, now, answers);
    data += count, size -= count;
  }
  if (client.outstanding() != answers.count()) std::abort();
  client.lost(now, "end", answers);
  client.poll(now, answers);
  if (answers.count() != 0 || client.outstanding() != 0) std::abort();
  return 0;
}
