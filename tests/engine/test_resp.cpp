// The RESP3 codec: what it encodes, what it reads whatever the split, and that nothing malformed passes.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "resp.hpp"

using namespace snf;

namespace {

std::string text_of(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// One reply in a plain notation: s(x) e(x) i(5) b(x) nil #(1) n(x), arrays a[...] m[...] t[...] p[...].
std::string show(const Reply& reply, std::size_t& index) {
  const RespNode& node = reply.nodes()[index++];
  const std::string text(reply.text(node));
  const auto list = [&](const char* name) {
    std::string shown = name;
    for (std::uint32_t i = 0; i < node.count; ++i) shown += (i ? " " : "") + show(reply, index);
    return shown + "]";
  };
  switch (node.kind) {
    case RespKind::text:
      return "s(" + text + ")";
    case RespKind::error:
      return "e(" + text + ")";
    case RespKind::integer:
      return "i(" + std::to_string(node.integer) + ")";
    case RespKind::bulk:
      return "b(" + text + ")";
    case RespKind::nil:
      return "nil";
    case RespKind::boolean:
      return "#(" + std::to_string(node.integer) + ")";
    case RespKind::number:
      return "n(" + text + ")";
    case RespKind::array:
      return list("a[");
    case RespKind::map:
      return list("m[");
    case RespKind::set:
      return list("t[");
    case RespKind::push:
      return list("p[");
  }
  return "?";
}

// All replies in the decoder, then how it ended.
std::string drain(Decoder& decoder) {
  std::string shown;
  Reply reply;
  for (;;) {
    const Decoder::Status status = decoder.next(reply);
    if (status == Decoder::Status::broken) return shown + "broken";
    if (status == Decoder::Status::partial) return shown;
    std::size_t index = 0;
    shown += show(reply, index) + " ";
  }
}

std::string decode(const std::string& wire) {
  Decoder decoder;
  decoder.append(bytes_of(wire));
  return drain(decoder);
}

const std::string stream =
    "+OK\r\n-ERR no\r\n:-42\r\n$5\r\nhe\r\no\r\n$0\r\n\r\n_\r\n$-1\r\n*-1\r\n#t\r\n,1.5\r\n(123456789012345678901\r\n"
    "=7\r\ntxt:abc\r\n!3\r\nbad\r\n*3\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n_\r\n%1\r\n+k\r\n:7\r\n~1\r\n:1\r\n"
    ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
const std::string shown_stream =
    "s(OK) e(ERR no) i(-42) b(he\r\no) b() nil nil nil #(1) n(1.5) n(123456789012345678901) "
    "b(txt:abc) e(bad) a[i(1) a[b(a) a[]] nil] m[s(k) i(7)] t[i(1)] p[b(invalidate) a[b(k)]] ";

}  // namespace

TEST_CASE("resp: commands are encoded as arrays of bulk strings") {
  ByteQueue to;
  put_command(to, 3);
  put_argument(to, bytes_of("SET"));
  put_argument(to, bytes_of(""));
  put_number(to, 18446744073709551615ull);
  CHECK(text_of(to.view()) == "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$20\r\n18446744073709551615\r\n");
}

TEST_CASE("resp: a byte queue keeps what is not consumed, in order, while it moves") {
  ByteQueue queue;
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    const std::string piece(static_cast<std::size_t>(i % 17), static_cast<char>('a' + i % 26));
    queue.append(bytes_of(piece));
    expected += piece;
    const std::size_t take = std::min<std::size_t>(expected.size(), static_cast<std::size_t>(i % 11));
    queue.consume(take);
    expected.erase(0, take);
    REQUIRE(text_of(queue.view()) == expected);
  }
}

TEST_CASE("resp: every type is read") { CHECK(decode(stream) == shown_stream); }

TEST_CASE("resp: the same replies whatever the split") {
  for (std::size_t first = 0; first <= stream.size(); ++first) {
    for (std::size_t second = first; second <= stream.size(); second += 7) {
      Decoder decoder;
      std::string shown;
      for (const auto& [from, to] : {std::pair{std::size_t{0}, first}, {first, second}, {second, stream.size()}}) {
        decoder.append(bytes_of(stream).subspan(from, to - from));
        shown += drain(decoder);
      }
      REQUIRE(shown == shown_stream);
    }
  }
}

TEST_CASE("resp: byte by byte") {
  Decoder decoder;
  std::string shown;
  for (const char byte : stream) {
    decoder.append(bytes_of({&byte, 1}));
    shown += drain(decoder);
  }
  CHECK(shown == shown_stream);
}

TEST_CASE("resp: malformed bytes break the decoder, for good") {
  for (const std::string wire : {"x",
                                 "\r\n",
                                 ":\r\n",
                                 ":1x\r\n",
                                 ":+1\r\n",
                                 ": 1\r\n",
                                 ":9223372036854775808\r\n",
                                 "$-2\r\n",
                                 "$1\r\nab\r\n",
                                 "$1\r\na\rx",
                                 "$x\r\n",
                                 "*-2\r\n",
                                 "%-1\r\n",
                                 ">-1\r\n",
                                 "#x\r\n",
                                 "_x\r\n",
                                 "+a\nb\r\n",
                                 "+a\rb\r\n",
                                 ",\r\n",
                                 "*1\r\n>1\r\n+a\r\n",
                                 "|1\r\n+a\r\n+b\r\n+c\r\n",
                                 "$?\r\n",
                                 "*1048577\r\n",
                                 "$1048577\r\n",
                                 "*70000\r\n",
                                 "%40000\r\n"}) {
    CAPTURE(wire);
    Decoder decoder;
    decoder.append(bytes_of(wire));
    REQUIRE(drain(decoder) == "broken");
    decoder.append(bytes_of("+OK\r\n"));
    CHECK(drain(decoder) == "broken");
    decoder.clear();
    decoder.append(bytes_of("+OK\r\n"));
    CHECK(drain(decoder) == "s(OK) ");
  }
}

TEST_CASE("resp: depth, elements, lines and replies are bounded") {
  std::string nested;
  for (std::size_t i = 0; i < resp_max_depth; ++i) nested += "*1\r\n";
  CHECK(decode(nested + ":1\r\n").find("broken") == std::string::npos);
  CHECK(decode(nested + "*1\r\n:1\r\n") == "broken");
  CHECK(decode("+" + std::string(resp_max_line, 'x') + "\r\n").find("broken") == std::string::npos);
  CHECK(decode("+" + std::string(resp_max_line + 1, 'x')) == "broken");
  std::string many = "*3\r\n";
  for (int i = 0; i < 2; ++i) {
    many += "*40000\r\n";
    for (int k = 0; k < 40000; ++k) many += "_\r\n";
  }
  CHECK(decode(many) == "broken");
  std::string large = "*20\r\n";
  for (int i = 0; i < 10; ++i) large += "$1000000\r\n" + std::string(1000000, 'x') + "\r\n";
  CHECK(decode(large) == "broken");
}

TEST_CASE("resp: a reply of 100 values is read in place") {
  std::string wire = "*100\r\n";
  for (int i = 0; i < 100; ++i) wire += i % 3 ? "$4\r\n" + std::to_string(1000 + i) + "\r\n" : "_\r\n";
  Decoder decoder;
  const std::span<std::uint8_t> space = decoder.space(wire.size());
  std::memcpy(space.data(), wire.data(), wire.size());
  decoder.produce(wire.size());
  Reply reply;
  REQUIRE(decoder.next(reply) == Decoder::Status::complete);
  REQUIRE(reply.nodes().size() == 101);
  CHECK(reply.bytes(reply.nodes()[2]).data() == space.data() + 6 + 3 + 4);
  CHECK(reply.text(reply.nodes()[99]) == "1098");
}
