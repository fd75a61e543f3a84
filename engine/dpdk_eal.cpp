#include "dpdk_eal.hpp"

#include <dlfcn.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <sched.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "port_error.hpp"

namespace snf {
namespace {

// DPDK's own log would go to stderr in the middle of ours: it is kept, and quoted where something fails.
std::mutex log_mutex;
std::string last_error;

ssize_t keep_line(void*, const char* text, std::size_t size) {
  std::string line(text, size);
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  std::lock_guard lock(log_mutex);
  if (!line.empty()) last_error = std::move(line);
  return static_cast<ssize_t>(size);
}

void capture_log() {
  FILE* stream = fopencookie(nullptr, "w", {.read = nullptr, .write = keep_line, .seek = nullptr, .close = nullptr});
  if (stream == nullptr) return;
  std::setvbuf(stream, nullptr, _IOLBF, 1024);
  rte_openlog_stream(stream);
}

// The libraries under the AF_XDP driver print to stderr by themselves. They come with the driver, so we are not linked
// to them.
void silence(const char* library, const char* set_print) {
  using Print = int (*)(int level, const char* format, std::va_list arguments);
  using SetPrint = Print (*)(Print);
  void* handle = dlopen(library, RTLD_NOLOAD | RTLD_LAZY);
  void* symbol = handle == nullptr ? nullptr : dlsym(handle, set_print);
  if (symbol != nullptr) reinterpret_cast<SetPrint>(symbol)(nullptr);
}

unsigned long free_hugepage_mb() {
  std::ifstream pages("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  unsigned long count = 0;
  return pages >> count ? count * 2 : 0;
}

constexpr const char* no_device = "0000:00:00.0";  // EAL takes every PCI device that it may, unless some are named

// One logical core on all CPUs that we may use: a plain `-l 0` would pin this thread and every child it starts.
std::string cores(const cpu_set_t& allowed) {
  std::string list;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) list += (list.empty() ? "" : ",") + std::to_string(cpu);
  }
  return "0@(" + list + ")";
}

std::vector<std::string> arguments(const EalOptions& options, const cpu_set_t& allowed) {
  std::vector<std::string> list = {"snf", "--lcores", cores(allowed), "--no-telemetry", "--log-level", "*:error"};
  for (const char* word : {"--allow", no_device}) list.push_back(word);
  if (free_hugepage_mb() >= options.memory_mb && geteuid() == 0) {
    list.push_back("--in-memory");
  } else {
    for (const char* word : {"--no-huge", "--no-shconf", "-m"}) list.push_back(word);
    list.push_back(std::to_string(options.memory_mb));
  }
  list.push_back("--file-prefix");
  list.push_back("snf" + std::to_string(getpid()));
  return list;
}

void initialise(const EalOptions& options) {
  capture_log();
  cpu_set_t allowed;
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::vector<std::string> words = arguments(options, allowed);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  const int result = rte_eal_init(static_cast<int>(pointers.size()), pointers.data());
  sched_setaffinity(0, sizeof allowed, &allowed);
  silence("libbpf.so.1", "libbpf_set_print");
  silence("libxdp.so.1", "libxdp_set_print");
  if (result < 0) {
    const std::string said = take_eal_error();
    throw PortError("DPDK",
                    "does not start: " + std::string(rte_strerror(rte_errno)) + (said.empty() ? "" : ", ") + said,
                    "check that " + std::to_string(options.memory_mb) + " MB of memory are free");
  }
}

struct Registration {
  Registration() : mine(rte_lcore_id() == LCORE_ID_ANY && rte_thread_register() == 0) {}
  ~Registration() {
    if (mine) rte_thread_unregister();
  }
  const bool mine;
};

}  // namespace

void start_eal(const EalOptions& options) {
  static std::once_flag once;
  std::call_once(once, initialise, options);
}

void register_eal_thread() { [[maybe_unused]] thread_local const Registration registration; }

std::string take_eal_error() {
  std::lock_guard lock(log_mutex);
  return std::exchange(last_error, {});
}

}  // namespace snf
