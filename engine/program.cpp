#include "program.hpp"

#include <dlfcn.h>

#include <cstring>
#include <stdexcept>

#include "acl.hpp"

namespace snf {

namespace {

std::int64_t classify(std::uint64_t services, const void* packet) {
  if (services == 0) return -1;
  return reinterpret_cast<const Rules*>(services)->classify(*static_cast<const PacketRecord*>(packet));
}

template <typename T>
T* symbol(void* library, const char* name, const std::string& path) {
  void* found = dlsym(library, name);
  if (found == nullptr) throw std::runtime_error(path + ": not a compiled network function (no " + name + ")");
  return reinterpret_cast<T*>(found);
}

}  // namespace

void TableSet::add(const void* data, std::uint64_t rows, std::size_t bytes) {
  auto buffer = std::make_unique<std::uint64_t[]>(bytes / 8 + 1);
  std::memcpy(buffer.get(), data, bytes);
  tables_.push_back({buffer.get(), rows});
  buffers_.push_back(std::move(buffer));
}

void Program::Close::operator()(void* handle) const { dlclose(handle); }

Program::Program(const std::string& path, const Traits& traits)
    : library_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)), traits_(traits) {
  if (!library_) throw std::runtime_error(std::string(dlerror()) + "; build the function again with: snf build");
  void* library = library_.get();
  const std::uint32_t abi = *symbol<std::uint32_t>(library, "snf_abi", path);
  if (abi != function_abi) throw std::runtime_error(path + ": built for another engine; run: snf build");
  record_size_ = *symbol<std::uint32_t>(library, "snf_record_size", path);
  if (record_size_ > max_record_size) throw std::runtime_error(path + ": record is too large");
  const auto lies_within = [this](std::size_t at, std::size_t size) { return at + size <= record_size_; };
  if (traits.counter != Traits::no_field && !(lies_within(traits.counted, 1) && lies_within(traits.counter, 8))) {
    throw std::runtime_error(path + ": the counter's fields are not in the record");
  }
  burst_ = symbol<void(Job*, std::uint64_t, const Table*, std::uint64_t)>(library, "snf_burst", path);
  *symbol<Classify>(library, "snf_classify_pointer", path) = &classify;
}

}  // namespace snf
