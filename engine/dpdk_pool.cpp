#include "dpdk_pool.hpp"

#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_memzone.h>

#include <atomic>

#include "port_error.hpp"

namespace snf {
namespace {

constexpr unsigned lcore_cache = 256;
constexpr unsigned page = 4096;  // as long as AF_XDP's largest buffer

std::string unique(const std::string& name) {
  static std::atomic<unsigned> number{0};
  return name + std::to_string(number++);
}

PortError no_memory(unsigned count, unsigned size) {
  return {"DPDK", std::string("no memory for packet buffers: ") + rte_strerror(rte_errno),
          "lower `pipes`, or free memory (" + std::to_string(count / 1024 * size / 1024) + " MB are needed)"};
}

// A buffer without its header in the pool, which keeps a cache line to itself.
unsigned page_element() {
  rte_mempool_objsz size{};
  rte_mempool_calc_obj_size(sizeof(rte_mbuf), RTE_MEMPOOL_F_NO_SPREAD, &size);
  return page - size.header_size;
}

void free_zone(rte_mempool_memhdr*, void* zone) { rte_memzone_free(static_cast<const rte_memzone*>(zone)); }

bool populate(rte_mempool* pool, const std::string& name, unsigned count) {
  const rte_memzone* zone =
      rte_memzone_reserve_aligned(name.c_str(), std::size_t{count} * page, SOCKET_ID_ANY, 0, page);
  if (zone == nullptr) return false;
  const int placed = rte_mempool_populate_virt(pool, static_cast<char*>(zone->addr), zone->len, page, free_zone,
                                               const_cast<rte_memzone*>(zone));
  return placed == static_cast<int>(count);
}

}  // namespace

void PoolDeleter::operator()(rte_mempool* pool) const { rte_mempool_free(pool); }

Pool make_pool(const std::string& name, unsigned count, unsigned room) {
  Pool pool(rte_pktmbuf_pool_create(unique(name).c_str(), count, lcore_cache, 0,
                                    static_cast<std::uint16_t>(room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY));
  if (pool == nullptr) throw no_memory(count, room);
  return pool;
}

Pool make_page_pool(const std::string& name, unsigned count) {
  const std::string own = unique(name);
  Pool pool(rte_mempool_create_empty(own.c_str(), count, page_element(), lcore_cache, sizeof(rte_pktmbuf_pool_private),
                                     SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_SPREAD));
  if (pool == nullptr) throw no_memory(count, page);
  rte_pktmbuf_pool_private sizes{};
  sizes.mbuf_data_room_size = static_cast<std::uint16_t>(page_element() - sizeof(rte_mbuf));
  if (rte_mempool_set_ops_byname(pool.get(), rte_mbuf_best_mempool_ops(), nullptr) != 0) throw no_memory(count, page);
  rte_pktmbuf_pool_init(pool.get(), &sizes);
  if (!populate(pool.get(), own + "pages", count)) throw no_memory(count, page);
  rte_mempool_obj_iter(pool.get(), rte_pktmbuf_init, nullptr);
  return pool;
}

}  // namespace snf
