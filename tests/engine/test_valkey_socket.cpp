// The Valkey store over a real Unix socket, with the test as the server at its other end: connecting, losing, coming
// back.
#include <doctest/doctest.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>

#include "store_recorder.hpp"
#include "valkey_socket.hpp"

using namespace snf;

namespace {

const std::string handshake_reply = "%1\r\n+proto\r\n:3\r\n+OK\r\n+OK\r\n*2\r\n$4\r\n1000\r\n$1\r\n0\r\n";

struct Server {
  std::string path;
  Descriptor listener, link;

  Server() : path("/tmp/snf-test-" + std::to_string(getpid()) + ".sock") { listen(); }
  ~Server() { ::unlink(path.c_str()); }
  void listen() {
    ::unlink(path.c_str());
    SocketAddress address("unix:" + path);
    listener.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address.storage), address.size) == 0);
    REQUIRE(::listen(listener.get(), 8) == 0);
  }
  bool accept() {
    link.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK));
    return link.open();
  }
  std::string received() {
    std::string text(65536, 0);
    const ssize_t got = ::recv(link.get(), text.data(), text.size(), 0);
    text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return text;
  }
  void reply(const std::string& text) {
    REQUIRE(::send(link.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
  }
};

struct Fixture {
  Server server;
  Stats stats;
  StoreRecorder events;
  std::uint64_t now = 1'000'000;
  ValkeyStore store{options(server.path), stats};

  static ValkeyOptions options(const std::string& path) {
    ValkeyOptions options;
    options.address = "unix:" + path;
    return options;
  }
  std::string poll() {
    store.poll(now, events);
    return events.take();
  }
  void up() {
    poll();
    REQUIRE(server.accept());
    CHECK(server.received().starts_with("*2\r\n$5\r\nHELLO\r\n"));
    server.reply(handshake_reply);
    REQUIRE(poll() == "!all");
    REQUIRE(store.available());
  }
};

}  // namespace

TEST_CASE("valkey socket: addresses") {
  CHECK(SocketAddress("unix:/run/x.sock").storage.ss_family == AF_UNIX);
  CHECK(SocketAddress("tcp:127.0.0.1:6379").storage.ss_family == AF_INET);
  CHECK(SocketAddress("tcp:[::1]:6379").storage.ss_family == AF_INET6);
  for (const std::string bad : {"", "unix:", "tcp:localhost:1", "tcp:127.0.0.1", "tcp:127.0.0.1:0", "tcp:127.0.0.1:x",
                                "tcp:127.0.0.1:65536", "tcp:::1:6379", "/run/x.sock"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(SocketAddress{bad}, std::invalid_argument);
  }
  CHECK_THROWS_AS(SocketAddress("unix:/" + std::string(200, 'x')), std::invalid_argument);
}

TEST_CASE_FIXTURE(Fixture, "valkey socket: connects, asks, answers") {
  up();
  store.read(1, key_of("k"), true);
  CHECK(poll() == "");
  CHECK(server.received().ends_with("*2\r\n$4\r\nMGET\r\n$1\r\nk\r\n"));
  server.reply("+OK\r\n*1\r\n$1\r\nv\r\n");
  CHECK(poll() == "r1=found(v)*");
  CHECK(store.last_error().empty());
}

TEST_CASE_FIXTURE(Fixture, "valkey socket: a cut connection is answered, and comes back by itself") {
  up();
  store.read(1, key_of("k"), false);
  poll();
  server.received();
  server.link.reset();
  CHECK(poll() == "r1=unknown");
  CHECK(!store.available());
  CHECK(store.descriptor() == -1);
  CHECK(store.last_error() == "the store closed the connection");
  CHECK(!server.accept());
  now += 10'000;
  up();
  CHECK(store.last_error().empty());
  CHECK(stats.reconnects.get() == 1);
}

TEST_CASE_FIXTURE(Fixture, "valkey socket: attempts become rarer, and never stop") {
  poll();
  unsigned attempts = 0;
  for (const std::uint64_t end = now + 10'000'000; now < end; now += 1000) {
    if (server.accept()) ++attempts;  // and hung up on at once, by the next accept
    server.link.reset();
    poll();
  }
  CHECK(attempts >= 20);  // every 500 ms at least
  CHECK(attempts <= 50);  // every 250 ms at most, but for the first six
  server.listener.reset();
  ::unlink(server.path.c_str());
  for (const std::uint64_t end = now + 1'000'000; now < end; now += 1000) poll();
  CHECK(store.last_error() == "cannot connect: No such file or directory");
  server.listen();
  const std::uint64_t since = now;
  while (!server.accept() && now < since + 1'000'000) {
    now += 1000;
    poll();
  }
  CHECK(now - since <= 501'000);
  server.reply(handshake_reply);
  CHECK(poll() == "!all");
  server.received();
  server.link.reset();
  poll();
  now += 10'000;  // once it was up, the next attempt comes soon again
  up();
}

TEST_CASE_FIXTURE(Fixture, "valkey socket: a store that refuses is asked again, with its reason kept") {
  poll();
  REQUIRE(server.accept());
  server.reply("-WRONGPASS invalid username-password pair\r\n");
  poll();
  CHECK(store.descriptor() == -1);
  CHECK(store.last_error() == "the store refused the connection: WRONGPASS invalid username-password pair");
  now += 10'000;
  up();
}

TEST_CASE_FIXTURE(Fixture, "valkey socket: a store that does not read is waited for, then given up") {
  up();
  const std::string large(1 << 20, 'x');
  for (Ticket i = 0; i < 4; ++i) {
    store.commit(i, key_of("k" + std::to_string(i)), {},
                 {reinterpret_cast<const std::uint8_t*>(large.data()), large.size()}, 1);
  }
  CHECK(poll() == "");
  CHECK(store.available());
  now += 2'000'001;
  CHECK(poll() == "c0=unknown c1=unknown c2=unknown c3=unknown");
}
