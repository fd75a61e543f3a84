// The record table, held against a std::unordered_map under random look-ups, insertions and removals.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <unordered_map>

#include "cache.hpp"

using namespace snf;

namespace {

Key key_of(unsigned number) {
  Key key{};
  key.size = 8;
  std::memcpy(key.bytes, &number, sizeof number);
  return key;
}

// Few different hashes, so that runs of the index collide, wrap around and have to be closed up.
std::uint64_t hash_of(unsigned number) { return (number % 7 * 0x4000000000000001ull) + number % 3 * 0x3f; }

void put(Entry& entry, std::uint64_t deadline) {
  write_envelope(entry.value(), {1, deadline});
  entry.size = envelope_size;
}

}  // namespace

TEST_CASE("record table: what a map would hold") {
  constexpr unsigned capacity = 60, numbers = 100;
  RecordTable table(capacity, envelope_size + 8, true);
  std::unordered_map<unsigned, std::uint32_t> reference;
  std::mt19937 random(1);
  for (unsigned i = 0; i < 50'000; ++i) {
    const unsigned number = random() % numbers;
    const auto known = reference.find(number);
    const std::uint32_t index = table.find(key_of(number), hash_of(number));
    REQUIRE(index == (known == reference.end() ? none : known->second));
    if (index != none) {
      REQUIRE(table[index].key == key_of(number));
      if (random() % 2 == 0) continue;
      table.erase(index);
      reference.erase(number);
    } else if (const std::uint32_t made = table.insert(key_of(number), hash_of(number), 0); made != none) {
      put(table[made], 1000);  // has not ended
      reference[number] = made;
    } else {
      REQUIRE(reference.size() == capacity);
    }
    REQUIRE(table.size() == reference.size());
  }
}

TEST_CASE("record table: a new entry is absent, unusable, and held by nobody") {
  RecordTable table(2, 64, false);
  const std::uint32_t first = table.insert(key_of(1), 1, 0);
  table.set_usable(table[first]);
  table[first].found = true;
  put(table[first], 5);
  table.erase(first);
  const std::uint32_t again = table.insert(key_of(2), 2, 0);
  CHECK(again == first);
  CHECK_FALSE(table.usable(table[again]));
  CHECK_FALSE(table[again].found);
  CHECK(table[again].size == 0);
  CHECK(table[again].flight == none);
  CHECK(table[again].lane == none);
}

TEST_CASE("record table: to forget all leaves the entries, and makes none usable") {
  RecordTable table(2, 64, false);
  const std::uint32_t index = table.insert(key_of(1), 1, 0);
  table.set_usable(table[index]);
  CHECK(table.usable(table[index]));
  table.forget_all();
  CHECK_FALSE(table.usable(table[index]));
  CHECK(table.find(key_of(1), 1) == index);
}

TEST_CASE("record table: a cache evicts what was not looked up lately, and never what is held") {
  RecordTable table(3, 64, false);
  for (const unsigned number : {1u, 2u, 3u}) table.insert(key_of(number), number, 0);
  REQUIRE(table.insert(key_of(4), 4, 0) != none);  // all were in use: one of them has to go
  CHECK(table.size() == 3);
  const std::uint32_t kept = table.find(key_of(4), 4);
  table[kept].flight = 1;
  for (const unsigned number : {5u, 6u, 7u}) REQUIRE(table.insert(key_of(number), number, 0) != none);
  CHECK(table.find(key_of(4), 4) == kept);
  for (std::uint32_t index = 0; index < 3; ++index) table[index].lane = 1;
  CHECK(table.insert(key_of(8), 8, 0) == none);
}

TEST_CASE("record table: a large cache whose entries are all in use has room for one more") {
  RecordTable table(2000, 64, false);
  for (unsigned number = 0; number < 2000; ++number) REQUIRE(table.insert(key_of(number), number, 0) != none);
  CHECK(table.insert(key_of(2000), 2000, 0) != none);
}

TEST_CASE("record table: the truth is evicted only when its deadline has passed") {
  RecordTable table(2, 64, true);
  put(table[table.insert(key_of(1), 1, 0)], 10);
  put(table[table.insert(key_of(2), 2, 0)], 20);
  CHECK(table.insert(key_of(3), 3, 10) == none);
  CHECK(table.insert(key_of(3), 3, 11) != none);
  CHECK(table.find(key_of(1), 1) == none);
  CHECK(table.find(key_of(2), 2) != none);
}

TEST_CASE("record table: the sweep removes what has ended, a few entries at a time") {
  RecordTable table(8, 64, true);
  for (unsigned number = 0; number < 8; ++number) put(table[table.insert(key_of(number), number, 0)], number);
  table[table.find(key_of(0), 0)].flight = 1;
  table.sweep(4, 2);
  CHECK(table.size() >= 6);
  table.sweep(4, 8);
  CHECK(table.size() == 5);  // 4 to 7 have not ended, 0 is held
}
