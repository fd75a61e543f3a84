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
    if (before != executed_.old) return answer(before.empty() ? Answer::vanished : Answer::conflict, before);
    values[executed_.key] = executed_.fresh;
    answer(Answer::written);
  }

  std::vector<HandOver> answers_;
  Request executed_;
};

}  // namespace snf
