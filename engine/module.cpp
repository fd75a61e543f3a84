// The Python module statelessnf._engine. Its typed face is src/statelessnf/_engine.pyi.
#include "module.hpp"

NB_MODULE(_engine, module) {
  snf::bind_pipe(module);
  snf::bind_bench(module);
#ifdef SNF_DPDK
  snf::bind_instance(module);
  snf::bind_ports(module);
#endif
}
