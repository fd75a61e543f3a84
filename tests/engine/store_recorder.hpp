// Store events written down as text, one word each, so that tests compare what came and in which order.
//   r7=found(v)  r7=found(v)*  (tracked)  r7=absent  c7=written  c7=conflict(v)  !key  !all
#pragma once
#include <string>

#include "store.hpp"

namespace snf {

inline Key key_of(const std::string& text) {
  Key key;
  key.size = static_cast<std::uint8_t>(text.size());
  std::memcpy(key.bytes, text.data(), text.size());
  return key;
}

class StoreRecorder final : public StoreEvents {
 public:
  void on_read(Ticket ticket, Answer answer, Bytes value, bool tracked) override {
    note("r" + std::to_string(ticket) + "=" + name(answer) + shown(value) + (tracked ? "*" : ""));
  }
  void on_commit(Ticket ticket, Answer answer, Bytes value) override {
    note("c" + std::to_string(ticket) + "=" + name(answer) + shown(value));
  }
  void on_invalidate(Bytes key) override { note("!" + text(key)); }
  void on_invalidate_all() override { note("!all"); }
  // What came since it was asked last.
  std::string take() {
    std::string log;
    log.swap(log_);
    return log;
  }

 private:
  static std::string text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  static std::string shown(Bytes value) { return value.empty() ? "" : "(" + text(value) + ")"; }
  static std::string name(Answer answer) {
    static constexpr const char* names[] = {"found", "absent", "written", "conflict", "vanished", "refused",
                                            "taken", "broken", "full",    "error",    "unknown"};
    return names[static_cast<std::size_t>(answer)];
  }
  void note(const std::string& word) { log_ += (log_.empty() ? "" : " ") + word; }
  std::string log_;
};

}  // namespace snf
