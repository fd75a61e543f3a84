// The engine's unit tests: one binary, `--help` lists what doctest offers.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
