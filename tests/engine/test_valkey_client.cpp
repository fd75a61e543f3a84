// The Valkey client over scripted bytes: what it sends, how replies and pushes are handed over, and every way to lose.
#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "store_recorder.hpp"
#include "valkey_client.hpp"

using namespace snf;

namespace {

const std::string hello = "%1\r\n+proto\r\n:3\r\n";
const std::string time_reply = "*2\r\n$4\r\n1000\r\n$6\r\n500000\r\n";  // 1,000,500,000 us
const std::string handshake_reply = hello + "+OK\r\n+OK\r\n" + time_reply;

std::string wire(std::initializer_list<std::string_view> words) {
  ByteQueue to;
  put_words(to, {words.begin(), words.size()});
  return {reinterpret_cast<const char*>(to.view().data()), to.size()};
}

const std::string caching = wire({"CLIENT", "CACHING", "YES"});

struct Session {
  Stats stats;
  ValkeyOptions options;
  std::unique_ptr<ValkeyClient> client;
  StoreRecorder events;
  std::uint64_t now = 1000;

  explicit Session(bool tracked = true) {
    options.tracked = tracked;
    options.stale_limit_us = 1'000'000;
    client = std::make_unique<ValkeyClient>(options, stats);
  }
  std::string sent() {
    const Bytes bytes = client->pending();
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    client->sent(bytes.size());
    return text;
  }
  std::string poll() {
    client->poll(now, events);
    return sent();
  }
  std::string feed(const std::string& bytes) {
    client->feed(bytes_of(bytes), now, events);
    return events.take();
  }
  void up() {
    client->connected(now);
    sent();
    REQUIRE(feed(options.tracked ? handshake_reply : hello + "+OK\r\n" + time_reply) == "!all");
    REQUIRE(client->available());
  }
  void read(Ticket ticket, const std::string& key, bool tracked = false) { client->read(ticket, key_of(key), tracked); }
  void commit(Ticket ticket, const std::string& key, std::string_view old, std::string_view fresh) {
    client->commit(ticket, key_of(key), bytes_of(old), bytes_of(fresh), 5000);
  }
};

}  // namespace

TEST_CASE("valkey client: the handshake is one flight, and sets the clock") {
  Session session;
  session.options.user = "ann";
  session.options.password = "secret";
  session.options.database = 2;
  session.client = std::make_unique<ValkeyClient>(session.options, session.stats);
  session.client->connected(session.now);
  CHECK(session.sent() == wire({"HELLO", "3", "AUTH", "ann", "secret"}) + wire({"CLIENT", "SETNAME", "statelessnf"}) +
                              wire({"SELECT", "2"}) + wire({"CLIENT", "TRACKING", "ON", "OPTIN", "NOLOOP"}) +
                              wire({"TIME"}));
  CHECK(!session.client->available());
  session.now += 100;
  session.read(1, "k");
  CHECK(session.poll() == "");  // nothing before the handshake is through
  CHECK(session.feed(hello + "+OK\r\n+OK\r\n+OK\r\n" + time_reply) == "!all");
  CHECK(session.client->available());
  CHECK(session.client->clock_offset() == 1'000'500'000 - 1050);
  CHECK(session.client->trusted_until() == 1000 + 1'000'000);
  CHECK(session.poll() == wire({"MGET", "k"}));
}

TEST_CASE("valkey client: untracked mode neither tracks nor says so") {
  Session session(false);
  session.client->connected(session.now);
  CHECK(session.sent() == wire({"HELLO", "3"}) + wire({"CLIENT", "SETNAME", "statelessnf"}) + wire({"TIME"}));
  CHECK(session.feed(hello + "+OK\r\n" + time_reply) == "!all");
  session.read(1, "k", true);
  CHECK(session.poll() == wire({"MGET", "k"}));
  CHECK(session.feed("*1\r\n$1\r\nv\r\n") == "r1=found(v)");
}

TEST_CASE("valkey client: a refused handshake is given up, with the store's words") {
  for (const std::string words : {"-LOADING busy", "-NOAUTH Authentication required.", "-WRONGPASS invalid"}) {
    Session session;
    session.client->connected(session.now);
    session.read(9, "k");
    CHECK(session.feed(words + "\r\n") == "r9=unknown");
    CHECK(!session.client->alive());
    CHECK(session.client->trusted_until() == 0);
    CHECK(session.client->last_error() == "the store refused the connection: " + words.substr(1));
  }
  Session old;
  old.client->connected(old.now);
  CHECK(old.feed("*0\r\n") == "");
  CHECK(old.client->last_error() == "the store does not speak RESP3");
}

TEST_CASE("valkey client: commits, then reads, then tracked reads behind CACHING YES; whatever the split") {
  const std::string replies =
      ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\nx\r\n$1\r\ny\r\n"
      "$3\r\nold\r\n"
      "_\r\n"
      "$5\r\nother\r\n"
      "$5\r\nother\r\n"
      "_\r\n"
      "*2\r\n$1\r\nv\r\n_\r\n"
      ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
      "+OK\r\n"
      ">2\r\n$7\r\nmessage\r\n+x\r\n"
      "*2\r\n$3\r\nnew\r\n_\r\n"
      ">2\r\n$10\r\ninvalidate\r\n_\r\n";
  const std::string expected =
      "!x !y c1=written c2=vanished c3=conflict(other) c4=conflict(other) c5=written r6=found(v) r7=absent !a "
      "r8=found(new)* r9=absent* !all";
  for (std::size_t split = 0; split <= replies.size(); ++split) {
    Session session;
    session.up();
    session.read(8, "a", true);
    session.read(6, "g");
    session.commit(1, "a", "old", "new");
    session.commit(2, "b", "old", "new");
    session.commit(3, "c", "old", "new");
    session.commit(4, "d", "", "new");
    session.commit(5, "e", "", "new");
    session.read(7, "h");
    session.read(9, "i", true);
    CHECK(session.client->outstanding() == 9);
    const std::string out = session.poll();
    std::string commits;
    for (const char* key : {"a", "b", "c"}) {
      commits += wire({"SET", key, "new", "IFEQ", "old", "GET", "PXAT", "5000"});
    }
    for (const char* key : {"d", "e"}) commits += wire({"SET", key, "new", "NX", "GET", "PXAT", "5000"});
    REQUIRE(out == commits + wire({"MGET", "g", "h"}) + caching + wire({"MGET", "a", "i"}));
    std::string log = session.feed(replies.substr(0, split));
    const std::string rest = session.feed(replies.substr(split));
    log += (log.empty() || rest.empty() ? "" : " ") + rest;
    REQUIRE(log == expected);
    CHECK(session.client->outstanding() == 0);
    CHECK(session.client->available());
  }
}

TEST_CASE("valkey client: errors answer the request, and cost nothing else") {
  Session session;
  session.up();
  session.commit(1, "a", "", "new");
  session.commit(2, "b", "", "new");
  session.commit(3, "c", "old", "new");
  session.read(4, "d");
  session.read(5, "e", true);
  session.poll();
  CHECK(session.feed("-OOM command not allowed\r\n-WRONGTYPE no\r\n-MOVED 1 h:1\r\n-NOPERM no\r\n-ERR off\r\n"
                     "*1\r\n$1\r\nv\r\n") == "c1=full c2=error c3=error r4=error r5=found(v)");
  CHECK(session.client->available());
}

TEST_CASE("valkey client: replies that answer something else end the connection; each request is answered once") {
  for (const std::string bad : {":1\r\n", "*1\r\n_\r\n", "%0\r\n", "+OK\r\n"}) {
    Session session;
    session.up();
    session.commit(1, "a", "", "new");
    session.commit(2, "b", "", "new");
    session.read(3, "c", true);
    session.poll();
    CHECK(session.feed("_\r\n" + bad) == "c1=written c2=unknown r3=unknown");
    CHECK(!session.client->alive());
    CHECK(session.client->outstanding() == 0);
  }
  for (const std::string bad : {"*2\r\n_\r\n_\r\n", "*1\r\n:1\r\n", "$1\r\nv\r\n", "*1\r\n*0\r\n", "*0\r\n"}) {
    Session session;
    session.up();
    session.read(3, "c");
    session.poll();
    CHECK(session.feed(bad) == "r3=unknown");
  }
  for (const std::string bad : {"+OK\r\n", "?", ">1\r\n:1\r\n", ">0\r\n", ">2\r\n+invalidate\r\n:1\r\n",
                                ">2\r\n+invalidate\r\n*1\r\n:1\r\n", ">3\r\n+invalidate\r\n_\r\n_\r\n"}) {
    CAPTURE(bad);
    Session session;
    session.up();
    session.feed(bad);
    CHECK(!session.client->alive());
  }
}

TEST_CASE("valkey client: one batch at once, up to eight when full, the rest gathers") {
  Session session;
  session.up();
  const auto is_batch = [](const std::string& out, std::size_t keys) {
    return out.starts_with("*" + std::to_string(keys + 1) + "\r\n$4\r\nMGET");
  };
  session.read(0, "k");
  CHECK(is_batch(session.poll(), 1));
  session.read(1, "k");
  CHECK(session.poll() == "");
  session.read(2, "k");
  CHECK(session.poll() == "");
  CHECK(session.feed("*1\r\n_\r\n") == "r0=absent");
  CHECK(is_batch(session.poll(), 2));
  for (Ticket i = 0; i < 1000; ++i) session.read(100 + i, "k");
  std::string out = session.poll();
  std::size_t batches = 0;
  for (std::size_t at = 0; (at = out.find("*101\r\n$4\r\nMGET", at)) != std::string::npos; ++at) ++batches;
  CHECK(batches == 7);
  CHECK(session.client->outstanding() == 1002);
}

TEST_CASE("valkey client: lost in the middle, everything is answered once, then again after the next connection") {
  Session session;
  session.up();
  session.commit(1, "a", "x", "y");
  session.read(2, "b");
  session.read(3, "c", true);
  session.poll();
  CHECK(session.feed("$1\r\nx\r\n") == "c1=written");
  session.read(4, "d");
  const std::uint64_t trusted = session.client->trusted_until();
  session.client->lost(session.now, "gone", session.events);
  CHECK(session.events.take() == "r2=unknown r3=unknown r4=unknown");
  CHECK(session.client->trusted_until() == trusted);  // cached records live on
  CHECK(session.client->last_error() == "gone");
  session.read(5, "e");
  session.poll();
  CHECK(session.events.take() == "r5=unknown");
  CHECK(session.feed("+OK\r\n") == "");  // bytes of the dead connection
  session.client->connected(session.now);
  session.sent();
  CHECK(session.feed(handshake_reply) == "!all");
  CHECK(session.stats.reconnects.get() == 1);
  CHECK(session.client->last_error().empty());
  session.read(6, "f");
  CHECK(session.poll() == wire({"MGET", "f"}));
  CHECK(session.feed("*1\r\n_\r\n") == "r6=absent");
}

TEST_CASE("valkey client: what was answered before the loss is not answered again, and its batches count no more") {
  Session session;
  session.up();
  session.read(1, "a");
  session.read(2, "b", true);
  session.poll();
  session.read(3, "c");
  session.poll();
  CHECK(session.feed("*1\r\n_\r\n") == "r1=absent");
  session.client->lost(session.now, "gone", session.events);
  CHECK(session.events.take() == "r2=unknown r3=unknown");
  CHECK(session.client->outstanding() == 0);
  session.up();
  session.read(4, "d");
  CHECK(session.poll() == wire({"MGET", "d"}));
}

TEST_CASE("valkey client: half a reply of a dead connection does not reach the next one") {
  Session session;
  session.up();
  session.feed("*2\r\n$4\r\n10");
  session.client->lost(session.now, "gone", session.events);
  session.client->connected(session.now);
  CHECK(session.feed(handshake_reply) == "!all");
  CHECK(session.client->available());
}

TEST_CASE("valkey client: silence becomes a ping, no answer becomes a loss") {
  Session session;
  session.up();
  session.now += 249'999;
  CHECK(session.poll() == "");
  session.now += 1;
  CHECK(session.poll() == wire({"TIME"}));
  session.now += 10;
  session.feed("*2\r\n$4\r\n1000\r\n$6\r\n750000\r\n");
  CHECK(session.client->trusted_until() == 1000 + 250'000 + 1'000'000);
  session.read(1, "k");
  session.poll();
  session.now += 1'000'000;
  session.poll();
  CHECK(session.client->alive());
  session.now += 1;
  session.poll();
  CHECK(!session.client->alive());
  CHECK(session.events.take() == "r1=unknown");
}

TEST_CASE("valkey client: no staleness allowed is no reason to hurry") {
  Session session;
  session.options.stale_limit_us = 0;
  session.client = std::make_unique<ValkeyClient>(session.options, session.stats);
  session.up();
  session.now += 24'999;
  CHECK(session.poll() == "");
  session.read(1, "k");
  session.poll();
  session.now += 400'000;
  session.poll();
  CHECK(session.client->alive());
  CHECK(session.client->trusted_until() <= session.now);
}

TEST_CASE("valkey client: the clock keeps the sample of the shortest round trip until drift outweighs it") {
  ClockOffset clock;
  clock.sample(1000, 1100, 5050);
  CHECK(clock.offset() == 4000);
  clock.sample(2000, 2400, 6300);  // longer round trip, soon after: not believed
  CHECK(clock.offset() == 4000);
  clock.sample(3000, 3020, 7110);
  CHECK(clock.offset() == 4100);
  clock.sample(10'003'000, 10'004'000, 10'007'700);  // 10 s later: 2000 us of drift allowed
  CHECK(clock.offset() == 4200);
  clock.sample(20'003'000, 20'003'400, 20'007'700);
  CHECK(clock.offset() == 4500);
}

TEST_CASE("valkey client: a clock known well is asked every 5 s, one known badly five times a second") {
  ClockOffset good, bad;
  good.asked(1000);
  good.sample(1000, 1100, 5000);
  bad.asked(1000);
  bad.sample(1000, 11'000, 5000);
  CHECK(!good.due(5'000'999));
  CHECK(good.due(5'001'000));
  CHECK(!bad.due(200'999));
  CHECK(bad.due(201'000));
}

TEST_CASE("valkey client: one latency sample for each batch") {
  Session session;
  session.up();
  session.read(1, "a");
  session.read(2, "b");
  session.poll();
  session.now += 50;
  session.feed("*2\r\n_\r\n_\r\n");
  CHECK(session.stats.store_latency.count(Histogram::bucket_of(50'000)) == 1);
}
