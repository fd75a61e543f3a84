#include "beat.hpp"

#include <sys/socket.h>

#include <bit>
#include <cerrno>
#include <cstring>

namespace snf {

namespace {

constexpr std::uint8_t version = 1;
constexpr std::uint8_t flag_available = 1, flag_admitting = 2, flag_stopping = 4;

static_assert(std::endian::native == std::endian::little);  // as the wire format

// Writes one value after the other.
class Writer {
 public:
  explicit Writer(std::uint8_t* at) : at_(at) {}
  template <typename T>
  void put(const T& value) {
    std::memcpy(at_, &value, sizeof value);
    at_ += sizeof value;
  }

 private:
  std::uint8_t* at_;
};

}  // namespace

bool BeatTarget::connect() {
  Descriptor fresh(socket(address_.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const auto* address = reinterpret_cast<const sockaddr*>(&address_.storage);
  if (!fresh.open() || ::connect(fresh.get(), address, address_.size) != 0) return false;
  socket_ = std::move(fresh);
  return true;
}

// Nobody there (an ICMP error of an earlier beat) is no reason to connect anew; a way that is gone is.
bool BeatTarget::send(const std::uint8_t* bytes, std::size_t size) {
  if (!socket_.open() && !connect()) return false;
  if (::send(socket_.get(), bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL) == static_cast<ssize_t>(size)) return true;
  if (errno != ECONNREFUSED && errno != EAGAIN && errno != ENOBUFS) socket_.reset();
  return false;
}

Heart::Heart(const BeatOptions& options, const Pipe& pipe, Port& port, Stats& stats, const Turns* receiver)
    : options_(options), pipe_(pipe), port_(port), stats_(stats), receiver_(receiver) {
  for (const SocketAddress& address : options.targets) targets_.emplace_back(address);
}

void Heart::beat(std::uint64_t now_ns) {
  due_ += options_.interval_ns;
  if (due_ <= now_ns) due_ = now_ns + options_.interval_ns;  // beats that were missed are not made up for
  if (receiver_turns(now_ns)) send(now_ns, 0);
}

// It waits for one interval at most, so that without a turn for two of them it hangs.
bool Heart::receiver_turns(std::uint64_t now_ns) {
  if (receiver_ == nullptr) return true;
  const std::uint64_t turns = receiver_->count();
  if (turns != turns_) turned_at_ = now_ns;
  turns_ = turns;
  return now_ns < turned_at_ + 2 * options_.interval_ns;
}

void Heart::stopping(std::uint64_t now_ns) { send(now_ns, flag_stopping); }

void Heart::send(std::uint64_t now_ns, std::uint8_t flags) {
  const auto bytes = written(now_ns, flags);
  for (BeatTarget& target : targets_) {
    const bool sent = target.send(bytes.data(), bytes.size());
    (sent ? stats_.beats : stats_.beats_lost).add();
  }
}

std::array<std::uint8_t, beat_size> Heart::written(std::uint64_t now_ns, std::uint8_t flags) {
  if (stats_.available.get() != 0) flags |= flag_available;
  if (pipe_.admitting()) flags |= flag_admitting;
  if (now_ns >= missed_due_) {
    missed_ = port_.missed();
    missed_due_ = now_ns + missed_period_ns;
  }
  const Histogram::Total latency = stats_.latency.total();
  std::array<std::uint8_t, beat_size> bytes = {'S', 'N', 'F', 'B', version, flags};
  Writer header(bytes.data() + 6);
  header.put(options_.pipe);
  header.put(options_.pipes);
  Writer rest(bytes.data() + 16);
  rest.put(options_.token);
  for (const std::uint64_t value :
       {++sequence_, now_ns, stats_.received[0].get() + stats_.received[1].get(),
        stats_.received_bytes[0].get() + stats_.received_bytes[1].get(),
        stats_.forwarded[0].get() + stats_.forwarded[1].get(), stats_.dropped(), missed_, busy_ns_, latency.nanoseconds,
        latency.count, stats_.new_flows.get(), stats_.records.get()}) {
    rest.put(value);
  }
  return bytes;
}

}  // namespace snf
