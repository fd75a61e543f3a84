// RESP3 decoder under arbitrary bytes: no crash, views inside the input, and the same replies whatever the split.
// Input: one byte that says how the rest is split, then the wire.
#include <algorithm>
#include <cstdlib>

#include "resp.hpp"

namespace {

using namespace snf;

// A digest of every reply and of how the stream ended.
struct Digest {
  std::uint64_t value = 1469598103934665603ull;
  void add(std::uint64_t word) { value = (value ^ word) * 1099511628211ull; }
  void add(Bytes bytes) {
    add(bytes.size());
    for (const std::uint8_t byte : bytes) add(byte);
  }
  bool operator==(const Digest&) const = default;
};

bool drain(Decoder& decoder, Digest& digest) {
  Reply reply;
  for (;;) {
    const Decoder::Status status = decoder.next(reply);
    if (status == Decoder::Status::broken) return false;
    if (status == Decoder::Status::partial) return true;
    for (const RespNode& node : reply.nodes()) {
      digest.add(static_cast<std::uint64_t>(node.kind));
      digest.add(node.count);
      digest.add(static_cast<std::uint64_t>(node.integer));
      digest.add(reply.bytes(node));
    }
  }
}

Digest run(Bytes wire, std::size_t piece) {
  Decoder decoder;
  Digest digest;
  bool good = true;
  while (good && !wire.empty()) {
    const std::size_t size = std::min(piece, wire.size());
    decoder.append(wire.first(size));
    wire = wire.subspan(size);
    good = drain(decoder, digest);
  }
  digest.add(good ? 1 : 0);
  return digest;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes wire(data + 1, size - 1);
  if (run(wire, 1 + data[0]) != run(wire, wire.size())) std::abort();
  return 0;
}
