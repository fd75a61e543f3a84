// One dictionary of options: each key is taken once, checked by type, and a key that nobody takes is an error.
#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <set>
#include <string>
#include <utility>

namespace snf {

class Options {
 public:
  Options(const nanobind::dict& dict, std::string where) : dict_(dict), where_(std::move(where)) {}
  template <typename T>
  void take(const char* key, T& into) {
    taken_.insert(key);
    if (!dict_.contains(key)) return;
    if (!nanobind::try_cast<T>(dict_[key], into)) fail(std::string(key) + ": wrong type or out of range");
  }
  nanobind::object object(const char* key) {
    taken_.insert(key);
    return dict_.contains(key) ? nanobind::borrow(dict_[key]) : nanobind::none();
  }
  void finish() const {
    for (const auto& item : dict_) {
      const auto key = nanobind::cast<std::string>(item.first);
      if (!taken_.contains(key)) fail(key + ": unknown option");
    }
  }
  [[noreturn]] void fail(const std::string& what) const { throw nanobind::value_error((where_ + ": " + what).c_str()); }

 private:
  const nanobind::dict& dict_;
  std::string where_;
  std::set<std::string> taken_;
};

}  // namespace snf
