// The Valkey store over a socket; what it guarantees is said in valkey_socket.hpp.
#include "valkey_socket.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <random>
#include <stdexcept>

namespace snf {

namespace {

[[noreturn]] void refuse_address(const std::string& text) {
  throw std::invalid_argument("store address '" + text + "': want unix:/path, tcp:ADDRESS:PORT or tcp:[ADDRESS]:PORT");
}

template <typename Form>
void put_address(SocketAddress& to, const Form& form) {
  std::memcpy(&to.storage, &form, sizeof form);
  to.size = sizeof form;
}

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

bool parse_tcp(SocketAddress& to, std::string_view text) {
  const std::size_t colon = text.rfind(':');
  std::uint16_t port = 0;
  if (colon == std::string_view::npos || !parse_port(text.substr(colon + 1), port)) return false;
  std::string host(text.substr(0, colon));
  sockaddr_in v4 = {};
  sockaddr_in6 v6 = {};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    put_address(to, v4);
    return true;
  }
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') return false;
  host = host.substr(1, host.size() - 2);
  if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) != 1) return false;
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  put_address(to, v6);
  return true;
}

bool parse_unix(SocketAddress& to, std::string_view path) {
  sockaddr_un form = {};
  if (path.empty() || path.size() >= sizeof form.sun_path) return false;
  form.sun_family = AF_UNIX;
  std::memcpy(form.sun_path, path.data(), path.size());
  put_address(to, form);
  return true;
}

std::string message(const char* what, int error) { return std::string(what) + ": " + std::strerror(error); }

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

SocketAddress::SocketAddress(const std::string& text) {
  const std::string_view view = text;
  const bool good = view.starts_with("unix:")  ? parse_unix(*this, view.substr(5))
                    : view.starts_with("tcp:") ? parse_tcp(*this, view.substr(4))
                                               : false;
  if (!good) refuse_address(text);
}

void Descriptor::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

ValkeyStore::ValkeyStore(const ValkeyOptions& options, Stats& stats)
    : address_(options.address), client_(options, stats), random_(std::random_device{}() | 1u) {}

void ValkeyStore::poll(std::uint64_t now, StoreEvents& events) {
  if (!socket_.open() && now >= retry_at_) open(now);
  if (connecting_) finish_connecting(now);
  if (client_.alive()) receive(now, events);
  client_.poll(now, events);
  if (client_.alive()) send(now, events);
  if (socket_.open() && !connecting_ && !client_.alive()) close(now, client_.last_error());
  if (!client_.available()) return;
  pause_ = first_pause_us;
  last_error_.clear();
}

void ValkeyStore::open(std::uint64_t now) {
  const int family = address_.storage.ss_family;
  socket_.reset(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_.open()) return close(now, message("cannot make a socket", errno));
  const int on = 1;
  if (family != AF_UNIX) setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const auto* const to = reinterpret_cast<const sockaddr*>(&address_.storage);
  const int result = ::connect(socket_.get(), to, address_.size);
  if (result != 0 && errno != EINPROGRESS) return close(now, message("cannot connect", errno));
  connecting_ = true;
  connect_until_ = now + connect_timeout_us;
}

void ValkeyStore::finish_connecting(std::uint64_t now) {
  pollfd wait = {socket_.get(), POLLOUT, 0};
  if (::poll(&wait, 1, 0) <= 0) {
    if (now >= connect_until_) close(now, "cannot connect: no answer");
    return;
  }
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) return close(now, message("cannot connect", error));
  connecting_ = false;
  client_.connected(now);
}

void ValkeyStore::receive(std::uint64_t now, StoreEvents& events) {
  for (unsigned i = 0; i < most_receives && client_.alive(); ++i) {
    const std::span<std::uint8_t> space = client_.space();
    const ssize_t got = ::recv(socket_.get(), space.data(), space.size(), 0);
    if (got < 0 && would_block(errno)) return;
    if (got < 0) return client_.lost(now, message("connection lost", errno), events);
    if (got == 0) return client_.lost(now, "the store closed the connection", events);
    client_.feed_space(static_cast<std::size_t>(got), now, events);
    if (static_cast<std::size_t>(got) < space.size()) return;  // all that was there
  }
}

void ValkeyStore::send(std::uint64_t now, StoreEvents& events) {
  while (client_.alive() && !client_.pending().empty()) {
    const Bytes bytes = client_.pending();
    const ssize_t put = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put < 0 && would_block(errno)) return;
    if (put < 0) return client_.lost(now, message("connection lost", errno), events);
    client_.sent(static_cast<std::size_t>(put));
  }
}

void ValkeyStore::close(std::uint64_t now, std::string reason) {
  socket_.reset();
  connecting_ = false;
  last_error_ = std::move(reason);
  retry_at_ = now + jittered(pause_);
  pause_ = std::min(2 * pause_, longest_pause_us);
}

// Between half and all of it (xorshift64).
std::uint64_t ValkeyStore::jittered(std::uint64_t pause) {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return pause / 2 + random_ % (pause / 2 + 1);
}

}  // namespace snf
