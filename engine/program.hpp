// A compiled network function and the static tables it reads. A program is loaded once; tables are swapped as a whole
// under a version, by a shared pointer, so that a burst never sees half of a change.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "addresses.hpp"
#include "function.hpp"

namespace snf {

class Rules;  // acl.hpp

// The tables of one version, with the services that were built from them.
class TableSet {
 public:
  void add(const void* data, std::uint64_t rows, std::size_t bytes);
  void set_services(std::shared_ptr<const Rules> rules) { rules_ = std::move(rules); }
  // What the deployment owns outside from now on; without it, what it has owned before.
  void set_owned(std::vector<AddressRange> owned) { owned_ = std::move(owned); }
  const std::optional<std::vector<AddressRange>>& owned() const { return owned_; }
  const Table* tables() const { return tables_.data(); }
  std::uint64_t services() const { return reinterpret_cast<std::uint64_t>(rules_.get()); }

 private:
  std::vector<std::unique_ptr<std::uint64_t[]>> buffers_;
  std::vector<Table> tables_;
  std::shared_ptr<const Rules> rules_;
  std::optional<std::vector<AddressRange>> owned_;
};

// What the engine does for a function beside keeping records.
struct Traits {
  static constexpr std::uint16_t no_field = 0xffff;
  bool rewrites = false;  // it assigns addresses and ports of packets; flows have a tail, and two keys (pair.hpp)
  bool timed = false;     // flows have timers in the store, and are counted there:
  std::uint16_t counted = no_field, counter = no_field;  // offsets of the fields that say whether (1) and where (8)
  AddressSet turned = {};  // what leaves for these comes in again as received outside (RFC 4787 section 6)
};

// Throws std::runtime_error: the shared object cannot be loaded, or was built for another engine.
class Program {
 public:
  explicit Program(const std::string& path, const Traits& traits = {});
  // A function that is part of the caller's program.
  Program(std::size_t record_size, Burst burst, const Traits& traits = {})
      : record_size_(record_size), burst_(burst), traits_(traits) {}
  std::size_t record_size() const { return record_size_; }
  const Traits& traits() const { return traits_; }
  void run(Job* jobs, std::uint64_t count, const TableSet& tables) const {
    burst_(jobs, count, tables.tables(), tables.services());
  }

 private:
  struct Close {
    void operator()(void* handle) const;
  };
  std::unique_ptr<void, Close> library_;
  std::size_t record_size_ = 0;
  Burst burst_ = nullptr;
  Traits traits_;
};

}  // namespace snf
