// What the pipes of an instance tell each other of their neighbours.
#include <doctest/doctest.h>

#include "neighbour_rig.hpp"

using namespace snf;
using namespace snf::frames;

TEST_CASE("neighbours: a pipe learns what another pipe of its instance has heard, and nothing else") {
  NeighbourOptions options = neighbour_options();
  options.board = std::make_shared<NeighbourBoard>(2);
  Station asks(options);
  options.pipe = 1;
  Station hears(options);
  REQUIRE(asks.resolve(host4(7)).what == Resolution::What::pending);
  REQUIRE(asks.ask());
  CHECK(hears.hear(arp_reply) == What::taken);
  CHECK(hears.hear(nd_reply) == What::taken);
  asks.neighbours.listen(asks.now);
  const Resolution found = asks.resolve(host4(7));
  CHECK(found.what == Resolution::What::resolved);
  CHECK(found.mac == host_mac);
  CHECK(asks.stats.unasked.get() == 0);
  CHECK(asks.stats.known.get() == 1);
  asks.hear(arp_question);  // and the other way
  hears.neighbours.listen(hears.now);
  CHECK(hears.stats.known.get() == 0);
}

TEST_CASE("neighbours: news for a pipe that does not listen are bounded") {
  NeighbourBoard board(2);
  for (unsigned i = 0; i < 1000; ++i) board.tell(0, {Side::outside, true, host4(i), host_mac});
  CHECK(board.take(0).empty());
  CHECK(board.take(1).size() == 256);
  CHECK(board.take(1).empty());
}
