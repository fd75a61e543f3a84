// What fuzz targets that take frames share: a copy without a byte to spare, and a right IPv4 header checksum.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "checksum.hpp"
#include "packet.hpp"

namespace snf {

inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// A frame at the very end of its heap block, so that AddressSanitizer sees any access behind it.
struct ExactFrame {
  ExactFrame(const std::uint8_t* data, std::size_t size) : block(std::make_unique<std::uint8_t[]>(size)) {
    if (size != 0) std::memcpy(block.get(), data, size);
    const auto length = static_cast<std::uint32_t>(size);
    frame = {block.get(), length, length, nullptr, Side::inside};
  }
  std::unique_ptr<std::uint8_t[]> block;
  Frame frame;
};

// Puts a wrong IPv4 header checksum right, since no fuzzer guesses checksums. True if that is why parse refused.
inline bool repaired(const Frame& frame, const ParseResult& result, const Layout& layout) {
  if (result.what != Parsed::drop || result.reason != Drop::bad_checksum) return false;
  std::uint8_t* ip = frame.data + layout.network;
  std::memset(ip + 10, 0, 2);
  const auto sum = static_cast<std::uint16_t>(~checksum_fold(checksum_add(0, ip, (ip[0] & 15) * 4u)));
  std::memcpy(ip + 10, &sum, 2);
  return true;
}

}  // namespace snf
