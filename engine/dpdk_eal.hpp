// DPDK's environment (EAL): started once a process, for ports and for rte_acl alike, never ended.
// Works without root and without hugepages; takes hugepages where the machine has some.
#pragma once
#include <string>

namespace snf {

struct EalOptions {
  unsigned memory_mb = 512;  // address space; pages become resident when they are used
};

// The first call starts it, later ones do nothing (or wait for the first). No PCI device is taken until a port names
// it. The calling thread's CPU affinity stays as it is. Throws PortError.
void start_eal(const EalOptions& options = {});

// Gives the calling thread its own cache in every mempool, once, until it ends. Cheap when called again.
void register_eal_thread();

// The last error that DPDK logged since the last call, on one line, without its log prefix; empty if there was none.
std::string take_eal_error();

}  // namespace snf
