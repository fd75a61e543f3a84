// Pools of packet buffers (mbufs) in DPDK's memory. Every buffer that goes back to its pool can be used again, whatever
// the device.
#pragma once
#include <memory>
#include <string>

struct rte_mempool;

namespace snf {

struct PoolDeleter {
  void operator()(rte_mempool* pool) const;
};
using Pool = std::unique_ptr<rte_mempool, PoolDeleter>;

// `count` buffers (2^n - 1 wastes none) with `room` bytes for a frame behind the headroom. Throws PortError.
Pool make_pool(const std::string& name, unsigned count, unsigned room);

// For AF_XDP: each buffer is exactly one page, and the pool nothing but those. The driver (22.11) gives the kernel as
// much of a pool's memory as its buffers would take without gaps; a buffer behind that is lost when it is offered for
// receiving, and with the buffers of an ordinary pool, which leave gaps at page ends, a queue receives nothing after a
// while. Throws PortError.
Pool make_page_pool(const std::string& name, unsigned count);

}  // namespace snf
