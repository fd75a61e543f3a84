// What can go wrong when a port is set up: which device, what happened, what to do about it. Never thrown on the packet
// path.
#pragma once
#include <stdexcept>
#include <string>

namespace snf {

struct PortError : std::runtime_error {
  PortError(std::string device, std::string problem, std::string remedy)
      : std::runtime_error(device + ": " + problem + "; " + remedy),
        where(std::move(device)),
        what_happened(std::move(problem)),
        to_do(std::move(remedy)) {}
  std::string where, what_happened, to_do;
};

}  // namespace snf
