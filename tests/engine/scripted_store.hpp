// A store whose every answer the test decides about: requests are kept until they are served (honestly, from a map),
// answered with something else, or lost. Answers and pushes are handed over in the next poll, in their order.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "store.hpp"

namespace snf {

struct Request {
  Ticket ticket;
  std::string key;
  bool commit, tracked;
  std::string old, fresh;
  std::uint64_t expire_at;
  enum class Kind { one, pair, put } kind = Kind::one;
  std::string partner = "", partner_until = "", counter = "";
  bool anew = false, grows = false, timed = false;
  std::uint64_t now = 0;
};

class ScriptedStore final : public Store {
 public:
  std::deque<Request> requests;  // made and not answered, the oldest first
  std::map<std::string, std::string> values;
  bool up = true;
  std::uint64_t trusted = ~std::uint64_t{0};
  std::int64_t offset = 1'000'000'000;

  // The oldest request gets this answer.
  void answer(Answer answer, const std::string& value = "") {
    const Request request = requests.front();
    requests.pop_front();
    answers_.push_back([=](StoreEvents& events) {
      const Bytes bytes(reinterpret_cast<const std::uint8_t*>(value.data()), value.size());
      if (request.commit) return events.on_commit(request.ticket, answer, bytes);
      events.on_read(request.ticket, answer, bytes, request.tracked && answer == Answer::found);
    });
  }
  // The oldest `count` requests are executed on `values` and answered.
  void serve(std::size_t count = ~std::size_t{0}) {
    for (; count > 0 && !requests.empty(); --count) execute();
  }
  // The oldest request is executed, and its answer is lost with the connection.
  void lose_answer() {
    execute();
    answers_.back() = unknown(executed_);
  }
  void lose() {
    answers_.push_back(unknown(requests.front()));
    requests.pop_front();
  }
  void invalidate(const std::string& key) {
    answers_.push_back([key](StoreEvents& events) {
      events.on_invalidate({reinterpret_cast<const std::uint8_t*>(key.data()), key.size()});
    });
  }
  void invalidate_all() {
    answers_.push_back([](StoreEvents& events) { events.on_invalidate_all(); });
  }

  void read(Ticket ticket, const Key& key, bool tracked) override {
    requests.push_back({ticket, text(key.view()), false, tracked, "", "", 0});
  }
  void commit(Ticket ticket, const Key& key, Bytes old, Bytes fresh, std::uint64_t expire_at) override {
    requests.push_back({ticket, text(key.view()), true, false, text(old), text(fresh), expire_at});
  }
  void create_pair(Ticket ticket, const Key& key, const Key& partner, Bytes fresh, std::uint64_t expire_at) override {
    requests.push_back(
        {ticket, text(key.view()), true, false, "", text(fresh), expire_at, Request::Kind::pair, text(partner.view())});
  }
  void put(Ticket ticket, const Put& put) override {
    const auto name = [](const Key* key) { return key == nullptr ? "" : text(key->view()); };
    requests.push_back({ticket, text(put.key->view()), true, false, text(put.old), text(put.fresh), put.expire_at,
                        Request::Kind::put, name(put.partner), name(put.partner_until), text(put.counter), put.anew,
                        put.grows, put.timed, put.now});
  }
  void poll(std::uint64_t, StoreEvents& events) override {
    const auto due = std::exchange(answers_, {});
    for (const auto& hand_over : due) hand_over(events);
  }
  bool available() const override { return up; }
  std::uint64_t trusted_until() const override { return trusted; }
  std::int64_t clock_offset() const override { return offset; }
  std::uint64_t outstanding() const override { return requests.size() + answers_.size(); }

 private:
  using HandOver = std::function<void(StoreEvents&)>;
  static std::string text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  static HandOver unknown(const Request& request) {
    return [request](StoreEvents& events) {
      if (request.commit) return events.on_commit(request.ticket, Answer::unknown, {});
      events.on_read(request.ticket, Answer::unknown, {}, false);
    };
  }
  void execute() {
    executed_ = requests.front();
    const auto stands = values.find(executed_.key);
    const std::string before = stands == values.end() ? "" : stands->second;
    if (!executed_.commit) return answer(before.empty() ? Answer::absent : Answer::found, before);
    if (executed_.kind == Request::Kind::pair) return execute_pair(before);
    if (executed_.kind == Request::Kind::put && before == executed_.old) return execute_put();
    if (before != executed_.old) return answer(before.empty() ? Answer::vanished : Answer::conflict, before);
    values[executed_.key] = executed_.fresh;
    answer(Answer::written);
  }

  void execute_pair(const std::string& before) {
    if (!before.empty() || values.contains(executed_.partner)) return answer(Answer::refused);
    values[executed_.key] = values[executed_.partner] = executed_.fresh;
    answer(Answer::written);
  }
  // As the Functions snf_pair_put and snf_flow_put have it.
  void execute_put() {
    const auto stands = values.find(executed_.partner);
    const std::string other = stands == values.end() ? "" : stands->second;
    if (!executed_.partner.empty() && !executed_.anew && other != executed_.old) return answer(Answer::broken);
    if (executed_.anew && !other.empty() && other != executed_.old) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(other.data());
      if (read_envelope(bytes).deadline >= executed_.now) return answer(Answer::taken);
    }
    if (values.contains(executed_.partner_until) && values[executed_.partner_until] == executed_.old) {
      values.erase(executed_.partner_until);
    }
    values[executed_.key] = executed_.fresh;
    if (!executed_.partner.empty()) values[executed_.partner] = executed_.fresh;
    answer(Answer::written);
  }

  std::vector<HandOver> answers_;
  Request executed_;
};

}  // namespace snf
