// The Valkey client: requests for flows of two keys, and for those that timers end.
#include <algorithm>
#include <array>

#include "valkey_client.hpp"

namespace snf {

namespace {

// Of one shard's timers, entries and counters (store/shards.py): the tag and deployment of the flow's key, then these.
constexpr std::array<std::string_view, 3> services = {"tflows", "eflows", "cflows"};
constexpr std::size_t head_size = Key::kind_offset;

void put_service_keys(ByteQueue& to, const Key& key) {
  std::array<std::uint8_t, head_size + 6> name;
  std::copy_n(key.bytes, head_size, name.begin());
  for (const std::string_view service : services) {
    std::copy(service.begin(), service.end(), name.begin() + head_size);
    put_argument(to, name);
  }
}

std::string_view function_name(const Put& put) {
  if (put.timed) return put.grows ? "snf_flow_make" : "snf_flow_put";
  return put.grows ? "snf_pair_make" : "snf_pair_put";
}

}  // namespace

// MSETEX 2 key fresh partner fresh NX PXAT t.
void ValkeyClient::create_pair(Ticket ticket, const Key& key, const Key& partner, Bytes fresh,
                               std::uint64_t expire_at) {
  RequestBatch& batch = gathering();
  batch.commits.push_back({ticket, {}, RequestBatch::Kind::pair});
  ByteQueue& to = batch.commit_bytes;
  to.append(bytes_of("*9\r\n$6\r\nMSETEX\r\n$1\r\n2\r\n"));
  for (const Key* const one : {&key, &partner}) {
    put_argument(to, one->view());
    put_argument(to, fresh);
  }
  to.append(bytes_of("$2\r\nNX\r\n$4\r\nPXAT\r\n"));
  put_number(to, expire_at);
}

// FCALL name count keys... kind old fresh expire-at now [token counter]; the token is the record's nonce.
void ValkeyClient::put(Ticket ticket, const Put& put) {
  RequestBatch& batch = gathering();
  batch.commits.push_back({ticket, put.old, RequestBatch::Kind::put});
  ByteQueue& to = batch.commit_bytes;
  const std::size_t keys = 1u + (put.partner != nullptr) + (put.partner_until != nullptr) + (put.timed ? 3 : 0);
  put_command(to, 3 + keys + 5 + (put.timed ? 2 : 0));
  put_argument(to, bytes_of("FCALL"));
  put_argument(to, bytes_of(function_name(put)));
  put_number(to, keys);
  if (put.timed) put_service_keys(to, *put.key);
  for (const Key* const key : {put.key, put.partner, put.partner_until}) {
    if (key != nullptr) put_argument(to, key->view());
  }
  put_argument(to, bytes_of(put.anew ? "anew" : "same"));
  put_argument(to, put.old);
  put_argument(to, put.fresh);
  put_number(to, put.expire_at);
  put_number(to, put.now);
  if (!put.timed) return;
  put_argument(to, put.fresh.subspan(1, 8));
  put_argument(to, put.counter);
}

bool ValkeyClient::take_pair(const Reply& reply, Answer& answer) {
  if (reply.root().kind != RespKind::integer) return fault("the store sent something else than a number for MSETEX");
  answer = reply.root().integer == 1 ? Answer::written : Answer::refused;
  return true;
}

// [1], [0, value or nil], [2] or [3].
bool ValkeyClient::take_put(const Reply& reply, Answer& answer, Bytes& value) {
  static constexpr std::array<Answer, 4> answers = {Answer::vanished, Answer::written, Answer::taken, Answer::broken};
  const std::span<const RespNode> nodes = reply.nodes();
  const bool fits = nodes[0].kind == RespKind::array && nodes.size() > 1 && nodes[1].kind == RespKind::integer;
  if (!fits || nodes[1].integer < 0 || nodes[1].integer > 3) {
    return fault("the store sent something else than what its Function answers");
  }
  answer = answers[static_cast<std::size_t>(nodes[1].integer)];
  if (nodes[1].integer != 0 || nodes.size() < 3 || nodes[2].kind != RespKind::bulk) return true;
  value = reply.bytes(nodes[2]);
  answer = Answer::conflict;
  return true;
}

}  // namespace snf
