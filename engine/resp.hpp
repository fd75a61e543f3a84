// RESP3 codec, sans-I/O. The encoder writes commands straight into a reused buffer; the decoder reads replies in place.
// The store is not trusted: every malformed byte, every unsupported type (attributes, streamed strings) and everything
// above a limit below makes the decoder `broken` for good, and whoever owns it drops the connection.
// Cost: once buffers have grown nothing is allocated, and no byte of a string is looked at or copied.
#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "record.hpp"

namespace snf {

inline constexpr std::size_t resp_max_line = 4096;       // simple strings, errors, numbers
inline constexpr std::size_t resp_max_bulk = 1 << 20;    // one string
inline constexpr std::size_t resp_max_reply = 8u << 20;  // one reply with all its elements
inline constexpr std::size_t resp_max_nodes = 1 << 16;   // elements of one reply, nested ones included
inline constexpr std::size_t resp_max_depth = 8;         // arrays in arrays

inline Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// A byte queue: written at the end, consumed at the front; memory is kept and used again.
class ByteQueue {
 public:
  Bytes view() const { return {data_.data() + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  void clear() { begin_ = end_ = 0; }
  void consume(std::size_t count);
  // Room for `count` more bytes at the end; `produce` says how many of them were written. Moves the contents.
  std::span<std::uint8_t> space(std::size_t count);
  void produce(std::size_t count) { end_ += count; }
  void append(Bytes bytes);

 private:
  std::vector<std::uint8_t> data_;
  std::size_t begin_ = 0, end_ = 0;
};

// "*<count>\r\n", then `count` arguments.
void put_command(ByteQueue& to, std::uint64_t count);
void put_argument(ByteQueue& to, Bytes bytes);
void put_number(ByteQueue& to, std::uint64_t number);  // as a decimal argument
// A whole command of plain words.
void put_words(ByteQueue& to, std::span<const std::string_view> words);

enum class RespKind : std::uint8_t { text, error, integer, bulk, nil, boolean, number, array, map, set, push };

// One element of a reply, in the order of the wire (an array before its elements).
struct RespNode {
  RespKind kind;
  std::uint32_t count;  // array, map, set, push: elements that follow (a map: twice its pairs)
  std::uint32_t begin;  // text, error, bulk, number: where in the reply
  std::uint32_t size;
  std::int64_t integer;  // integer, boolean (0, 1)
};

// One complete reply; readable until the decoder is asked for the next one or gets more bytes.
class Reply {
 public:
  Reply() = default;
  Reply(const std::uint8_t* base, std::span<const RespNode> nodes) : base_(base), nodes_(nodes) {}
  const RespNode& root() const { return nodes_.front(); }
  std::span<const RespNode> nodes() const { return nodes_; }
  Bytes bytes(const RespNode& node) const { return {base_ + node.begin, node.size}; }
  std::string_view text(const RespNode& node) const {
    return {reinterpret_cast<const char*>(base_) + node.begin, node.size};
  }

 private:
  const std::uint8_t* base_ = nullptr;
  std::span<const RespNode> nodes_;
};

class Decoder {
 public:
  enum class Status : std::uint8_t { complete, partial, broken };
  // Where to receive into, and how much of that was received. Invalidates the last reply.
  std::span<std::uint8_t> space(std::size_t count);
  void produce(std::size_t count) { input_.produce(count); }
  void append(Bytes bytes);
  // The next reply. An incomplete one is not read again from its start when more bytes come.
  Status next(Reply& reply);
  void clear();

 private:
  Status fail();
  Status element();                     // reads one element at position_
  Status line(std::string_view& text);  // the rest of the line after the type byte; moves behind it
  Status read_line_element(RespKind kind);
  Status read_counted(char type);
  Status read_string(std::int64_t size, RespKind kind);
  Status open(RespKind kind, std::int64_t count);
  Status add(const RespNode& node);
  void release();  // drops the reply handed out last

  ByteQueue input_;
  std::vector<RespNode> nodes_;
  std::uint32_t open_[resp_max_depth] = {};  // elements still to come, for each open array
  std::size_t depth_ = 0;
  std::size_t position_ = 0;  // in input_: start of the next element
  bool complete_ = false, broken_ = false;
};

}  // namespace snf
