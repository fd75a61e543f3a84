#include "link.hpp"

#include <algorithm>
#include <cstring>

#include "wire.hpp"

namespace snf {
namespace {
constexpr std::uint32_t macs_size = 12, type_size = 2, shortest = 60;
}

Tags tags_of(const Frame& frame, const Layout& layout) {
  Tags tags;
  tags.size = static_cast<std::uint8_t>(layout.network - macs_size - type_size);
  std::memcpy(tags.bytes.data(), frame.data + macs_size, tags.size);
  return tags;
}

Tags tags_of(std::uint16_t vlan) {
  Tags tags;
  if (vlan == 0) return tags;
  store16(tags.bytes.data(), ethertype::vlan);
  store16(tags.bytes.data() + 2, vlan);
  tags.size = 4;
  return tags;
}

std::uint8_t* begin_frame(Frame& frame, const LinkHeader& header, std::uint16_t type, std::uint32_t payload) {
  const std::uint32_t start = macs_size + header.tags.size + type_size;
  const std::uint32_t length = std::max(start + payload, shortest);
  if (frame.data == nullptr || frame.capacity < length) return nullptr;
  std::memset(frame.data, 0, length);
  std::memcpy(frame.data, header.to.data(), 6);
  std::memcpy(frame.data + 6, header.from.data(), 6);
  std::memcpy(frame.data + macs_size, header.tags.bytes.data(), header.tags.size);
  store16(frame.data + start - type_size, type);
  frame.length = length;
  return frame.data + start;
}

}  // namespace snf
