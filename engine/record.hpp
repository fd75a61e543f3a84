// A stored record: an envelope, then the function's fields. protocol.md "Record".
#pragma once
#include <cstdint>
#include <cstring>
#include <span>

namespace snf {

using Bytes = std::span<const std::uint8_t>;

inline constexpr std::uint8_t schema_version = 1;

struct Envelope {
  std::uint64_t nonce = 0;     // of the writer: instance in the high half, counter in the low half
  std::uint64_t deadline = 0;  // ms, store clock: the flow's end, unless it is refreshed
};
inline constexpr std::size_t envelope_size = 17;  // schema (1), nonce (8), deadline (8), little endian

inline void write_envelope(std::uint8_t* to, const Envelope& envelope) {
  to[0] = schema_version;
  std::memcpy(to + 1, &envelope.nonce, 8);
  std::memcpy(to + 9, &envelope.deadline, 8);
}

inline Envelope read_envelope(const std::uint8_t* from) {
  Envelope envelope;
  std::memcpy(&envelope.nonce, from + 1, 8);
  std::memcpy(&envelope.deadline, from + 9, 8);
  return envelope;
}

// Every stored byte is checked here, once, before the engine believes it.
inline bool valid_record(Bytes value, std::size_t record_size) {
  return value.size() == envelope_size + record_size && value[0] == schema_version;
}

}  // namespace snf
