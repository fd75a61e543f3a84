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

const Keys keys(1, 2);

std::uint64_t hash_of(unsigned number) { return keys.hash(key_of(number)); }

std::uint32_t insert(RecordTable& table, unsigned number, std::uint64_t now = 0) {
  return table.insert(key_of(number), hash_of(number), now);
}

void put(Entry& entry, std::uint64_t deadline) {
  write_envelope(entry.value(), {1, deadline});
  entry.size = envelope_size;
}

}  // namespace

TEST_CASE("record table: what a map would hold, with a few entries and with so many that all of the index grows") {
  unsigned capacity = 0, numbers = 0;
  SUBCASE("a few") { capacity = 60, numbers = 100; }
  SUBCASE("many") { capacity = 3000, numbers = 5000; }
  RecordTable table(capacity, envelope_size + 8, true, keys);
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
    } else if (const std::uint32_t made = insert(table, number); made != none) {
      put(table[made], 1000);  // has not ended
      reference[number] = made;
    } else {
      REQUIRE(reference.size() == capacity);
    }
    REQUIRE(table.size() == reference.size());
  }
}

TEST_CASE("record table: keys of one hash are told apart") {
  RecordTable table(2, 64, false, keys);
  insert(table, 1);
  CHECK(table.find(key_of(2), hash_of(1)) == none);
}

TEST_CASE("record table: quiet until the time that was set, on a circle") {
  RecordTable table(1, 64, false, keys);
  constexpr std::uint64_t now = (std::uint64_t{16} << 32) - 160;  // ticks wrap around ten ticks later
  Entry& entry = table[insert(table, 1, now)];
  CHECK_FALSE(entry.quiet(now));
  entry.quiet_until = Entry::ticks(now + 320);
  CHECK(entry.quiet(now));
  CHECK(entry.quiet(now + 304));
  CHECK_FALSE(entry.quiet(now + 320));
}

TEST_CASE("record table: a new entry is absent, unusable, and held by nobody") {
  RecordTable table(2, 64, false, keys);
  const std::uint32_t first = insert(table, 1);
  table.set_usable(table[first]);
  table[first].found = true;
  put(table[first], 5);
  table.erase(first);
  const std::uint32_t again = insert(table, 2);
  CHECK(again == first);
  CHECK_FALSE(table.usable(table[again]));
  CHECK_FALSE(bool{table[again].found});
  CHECK(table[again].size == 0);
  CHECK(table[again].flight == none);
  CHECK(table[again].lane == Entry::no_lane);
}

TEST_CASE("record table: to forget all leaves the entries, and makes none usable") {
  RecordTable table(2, 64, false, keys);
  const std::uint32_t index = insert(table, 1);
  table.set_usable(table[index]);
  CHECK(table.usable(table[index]));
  table.forget_all();
  CHECK_FALSE(table.usable(table[index]));
  CHECK(table.find(key_of(1), hash_of(1)) == index);
}

TEST_CASE("record table: a cache evicts what was not looked up lately, and never what is held") {
  RecordTable table(3, 64, false, keys);
  for (const unsigned number : {1u, 2u, 3u}) insert(table, number);
  REQUIRE(insert(table, 4) != none);  // all were in use: one of them has to go
  CHECK(table.size() == 3);
  const std::uint32_t kept = table.find(key_of(4), hash_of(4));
  table[kept].flight = 1;
  for (const unsigned number : {5u, 6u, 7u}) REQUIRE(insert(table, number) != none);
  CHECK(table.find(key_of(4), hash_of(4)) == kept);
  for (std::uint32_t index = 0; index < 3; ++index) table[index].lane = 1;
  CHECK(insert(table, 8) == none);
}

TEST_CASE("record table: a large cache whose entries are all in use has room for one more") {
  RecordTable table(2000, 64, false, keys);
  for (unsigned number = 0; number < 2000; ++number) REQUIRE(insert(table, number) != none);
  CHECK(insert(table, 2000) != none);
}

TEST_CASE("record table: the truth is evicted only when its deadline has passed") {
  RecordTable table(2, 64, true, keys);
  put(table[insert(table, 1)], 10);
  put(table[insert(table, 2)], 20);
  CHECK(insert(table, 3, 10) == none);
  CHECK(insert(table, 3, 11) != none);
  CHECK(table.find(key_of(1), hash_of(1)) == none);
  CHECK(table.find(key_of(2), hash_of(2)) != none);
}

TEST_CASE("record table: the sweep removes what has ended, a few entries at a time") {
  RecordTable table(8, 64, true, keys);
  for (unsigned number = 0; number < 8; ++number) put(table[insert(table, number)], number);
  table[table.find(key_of(0), hash_of(0))].flight = 1;
  table.sweep(4, 2);
  CHECK(table.size() >= 6);
  table.sweep(4, 8);
  CHECK(table.size() == 5);  // 4 to 7 have not ended, 0 is held
}
