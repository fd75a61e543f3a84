// RESP3 codec; what it guarantees is said in resp.hpp. Grammar: the RESP3 specification of Valkey's protocol page.
#include "resp.hpp"

#include <algorithm>
#include <charconv>

namespace snf {

void ByteQueue::consume(std::size_t count) {
  begin_ += count;
  if (begin_ == end_) clear();
}

std::span<std::uint8_t> ByteQueue::space(std::size_t count) {
  if (data_.size() - end_ < count && begin_ > 0) {
    std::memmove(data_.data(), data_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (data_.size() - end_ < count) data_.resize(std::max(end_ + count, 2 * data_.size()));
  return {data_.data() + end_, data_.size() - end_};
}

void ByteQueue::append(Bytes bytes) {
  if (bytes.empty()) return;
  std::memcpy(space(bytes.size()).data(), bytes.data(), bytes.size());
  produce(bytes.size());
}

namespace {

constexpr std::size_t header_room = 24;  // type byte, 20 digits, CR LF

// Writes "<type><number>\r\n", returns its length.
std::size_t write_header(std::uint8_t* to, char type, std::uint64_t number) {
  char* out = reinterpret_cast<char*>(to);
  *out = type;
  char* end = std::to_chars(out + 1, out + header_room - 2, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  return static_cast<std::size_t>(end - out);
}

}  // namespace

void put_command(ByteQueue& to, std::uint64_t count) {
  to.produce(write_header(to.space(header_room).data(), '*', count));
}

void put_argument(ByteQueue& to, Bytes bytes) {
  std::uint8_t* out = to.space(header_room + bytes.size() + 2).data();
  const std::size_t header = write_header(out, '$', bytes.size());
  if (!bytes.empty()) std::memcpy(out + header, bytes.data(), bytes.size());
  std::memcpy(out + header + bytes.size(), "\r\n", 2);
  to.produce(header + bytes.size() + 2);
}

void put_number(ByteQueue& to, std::uint64_t number) {
  char digits[20];
  const char* end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  put_argument(to, bytes_of({digits, static_cast<std::size_t>(end - digits)}));
}

void put_words(ByteQueue& to, std::span<const std::string_view> words) {
  put_command(to, words.size());
  for (const std::string_view word : words) put_argument(to, bytes_of(word));
}

namespace {

// Strict: an optional minus and digits, nothing else, in range.
bool parse_integer(std::string_view text, std::int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::span<std::uint8_t> Decoder::space(std::size_t count) {
  release();
  return input_.space(count);
}

void Decoder::append(Bytes bytes) {
  release();
  input_.append(bytes);
}

void Decoder::clear() { *this = Decoder(); }

void Decoder::release() {
  if (!complete_) return;
  input_.consume(position_);
  position_ = 0;
  nodes_.clear();
  complete_ = false;
}

Decoder::Status Decoder::fail() {
  broken_ = true;
  return Status::broken;
}

Decoder::Status Decoder::next(Reply& reply) {
  release();
  if (broken_) return Status::broken;
  do {
    const Status status = element();
    if (status != Status::complete) return status;
  } while (depth_ > 0);
  complete_ = true;
  reply = Reply(input_.view().data(), nodes_);
  return Status::complete;
}

Decoder::Status Decoder::element() {
  const Bytes input = input_.view();
  if (position_ > resp_max_reply) return fail();
  if (position_ >= input.size()) return Status::partial;
  const char type = static_cast<char>(input[position_]);
  switch (type) {
    case '$':
    case '!':
    case '=':
    case '*':
    case '%':
    case '~':
    case '>':
      return read_counted(type);
    case '+':
      return read_line_element(RespKind::text);
    case '-':
      return read_line_element(RespKind::error);
    case ':':
      return read_line_element(RespKind::integer);
    case '_':
      return read_line_element(RespKind::nil);
    case '#':
      return read_line_element(RespKind::boolean);
    case ',':
    case '(':
      return read_line_element(RespKind::number);
    default:
      return fail();
  }
}

// Does not move position_: an element is taken whole or not at all.
Decoder::Status Decoder::line(std::string_view& text) {
  const Bytes input = input_.view().subspan(position_ + 1);
  const std::size_t limit = std::min(input.size(), resp_max_line + 1);
  const void* found = std::memchr(input.data(), '\r', limit);
  if (found == nullptr) return input.size() > resp_max_line ? fail() : Status::partial;
  const auto size = static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - input.data());
  text = {reinterpret_cast<const char*>(input.data()), size};
  if (text.find('\n') != std::string_view::npos) return fail();
  if (size + 1 >= input.size()) return Status::partial;
  return input[size + 1] == '\n' ? Status::complete : fail();
}

Decoder::Status Decoder::read_line_element(RespKind kind) {
  std::string_view text;
  if (const Status status = line(text); status != Status::complete) return status;
  RespNode node{kind, 0, static_cast<std::uint32_t>(position_ + 1), static_cast<std::uint32_t>(text.size()), 0};
  if (kind == RespKind::integer && !parse_integer(text, node.integer)) return fail();
  if (kind == RespKind::nil && !text.empty()) return fail();
  if (kind == RespKind::boolean && text != "t" && text != "f") return fail();
  if (kind == RespKind::number && text.empty()) return fail();
  if (kind == RespKind::boolean) node.integer = text == "t";
  position_ += 1 + text.size() + 2;
  return add(node);
}

Decoder::Status Decoder::read_counted(char type) {
  std::string_view text;
  std::int64_t count = 0;
  if (const Status status = line(text); status != Status::complete) return status;
  if (!parse_integer(text, count)) return fail();
  const std::size_t header = 1 + text.size() + 2;
  const bool may_be_nil = type == '$' || type == '*';  // RESP2's nil
  if (count == -1 && may_be_nil) {
    position_ += header;
    return add({RespKind::nil, 0, 0, 0, 0});
  }
  if (count < 0 || count > static_cast<std::int64_t>(resp_max_bulk)) return fail();
  if (type == '$' || type == '!' || type == '=') {
    position_ += header;
    const Status status = read_string(count, type == '!' ? RespKind::error : RespKind::bulk);
    if (status == Status::partial) position_ -= header;
    return status;
  }
  if (type == '>' && depth_ > 0) return fail();
  position_ += header;
  return open(type == '*'   ? RespKind::array
              : type == '%' ? RespKind::map
              : type == '~' ? RespKind::set
                            : RespKind::push,
              count);
}

Decoder::Status Decoder::read_string(std::int64_t size, RespKind kind) {
  const Bytes input = input_.view();
  const auto length = static_cast<std::size_t>(size);
  if (input.size() - position_ < length + 2) return Status::partial;
  if (input[position_ + length] != '\r' || input[position_ + length + 1] != '\n') return fail();
  const RespNode node{kind, 0, static_cast<std::uint32_t>(position_), static_cast<std::uint32_t>(length), 0};
  position_ += length + 2;
  return add(node);
}

Decoder::Status Decoder::open(RespKind kind, std::int64_t count) {
  if (kind == RespKind::map) count *= 2;
  if (count > static_cast<std::int64_t>(resp_max_nodes) || depth_ == resp_max_depth) return fail();
  const auto elements = static_cast<std::uint32_t>(count);
  if (nodes_.size() >= resp_max_nodes) return fail();
  if (elements == 0) return add({kind, 0, 0, 0, 0});
  nodes_.push_back({kind, elements, 0, 0, 0});
  open_[depth_++] = elements;
  return Status::complete;
}

// A finished element also finishes the arrays of which it is the last.
Decoder::Status Decoder::add(const RespNode& node) {
  if (nodes_.size() >= resp_max_nodes) return fail();
  nodes_.push_back(node);
  while (depth_ > 0 && --open_[depth_ - 1] == 0) --depth_;
  return Status::complete;
}

}  // namespace snf
