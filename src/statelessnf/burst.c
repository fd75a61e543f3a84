// What the engine calls: a burst of jobs, each guarded, around the compiled code of one network function.
// `snf_step` and `snf_lifetime` are that code (statelessnf/native.py). They have Numba's calling convention: a status
// that is 0 unless the function raised, indexed out of bounds or gave an unknown verdict. Then the record is as it was
// before and the packet is dropped without effects; the rest of the burst goes on. The same where it wants the packet
// parked: no engine parks packets, so what the record says of a parked one must not be written either. No Python, no
// allocation, no GIL.
#include <stdint.h>
#include <string.h>

struct Job {  // engine/function.hpp
  uint8_t* packet;
  const uint8_t* before;
  uint8_t* after;
  uint64_t lifetime;
  uint32_t verdict;
  uint16_t fault;
  uint16_t changed;
};
_Static_assert(sizeof(struct Job) == 40, "Job differs from engine/function.hpp");

#define EXPORT __attribute__((visibility("default")))

enum { FAULT_NONE = 0, FAULT_RAISED = 1, FAULT_PARK = 2, PARK = 2 };  // engine/function.hpp

EXPORT const uint32_t snf_abi = SNF_ABI;
EXPORT const uint32_t snf_record_size = SNF_RECORD_SIZE;
EXPORT int64_t (*snf_classify_pointer)(uint64_t services, const void* packet) = 0;

// Called by compiled code; -1: nothing matches, as there is nothing to match with.
int64_t snf_classify(uint64_t services, const void* packet) {
  return snf_classify_pointer ? snf_classify_pointer(services, packet) : -1;
}

// Numba keeps the details of an exception here; nobody reads them, the status says enough.
void* numba_runtime_build_excinfo_struct(void* structure, void* arguments) {
  (void)structure, (void)arguments;
  return 0;
}

typedef int32_t Compiled(int64_t* result, void** exception, uint64_t job, uint64_t tables, uint64_t services);
__attribute__((visibility("hidden"))) Compiled snf_step, snf_lifetime;

static uint64_t word(const uint8_t* at, size_t size) {
  uint64_t value = 0;
  memcpy(&value, at, size);
  return value;
}

// Word by word: the compiler knows how many there are.
static int differs(const uint8_t* one, const uint8_t* other) {
  const size_t rest = SNF_RECORD_SIZE % 8, whole = SNF_RECORD_SIZE - rest;
  uint64_t different = word(one + whole, rest) ^ word(other + whole, rest);
  for (size_t at = 0; at < whole; at += 8) different |= word(one + at, 8) ^ word(other + at, 8);
  return different != 0;
}

// A Fault. Nobody needs the lifetime of a record that stays as it is, unless the engine has asked for it.
static uint16_t run(struct Job* job, uint64_t tables, uint64_t services) {
  int64_t result = 0;
  void* exception = 0;
  if (snf_step(&result, &exception, (uint64_t)job, tables, services) != 0) return FAULT_RAISED;
  if (job->verdict == PARK) return FAULT_PARK;
  job->changed = (uint16_t)differs(job->before, job->after);
  if (!job->changed && job->lifetime == 0) return FAULT_NONE;
  const int failed = snf_lifetime(&result, &exception, (uint64_t)job, tables, services) != 0;
  return failed ? FAULT_RAISED : FAULT_NONE;
}

// All records are copied before the first is worked on: fields do not lie as the copy's words do, and a processor that
// reads a field across two of them right after the copy waits until they are in its cache.
EXPORT void snf_burst(struct Job* jobs, uint64_t count, const void* tables, uint64_t services) {
  for (const struct Job* job = jobs; job != jobs + count; ++job) memcpy(job->after, job->before, SNF_RECORD_SIZE);
  for (struct Job* job = jobs; job != jobs + count; ++job) {
    if (job->changed) memcpy(job->after, job->before, SNF_RECORD_SIZE);
    job->fault = run(job, (uint64_t)tables, services);
    if (job->fault) {
      memcpy(job->after, job->before, SNF_RECORD_SIZE);
      job->packet[SNF_EFFECT_COUNT] = 0;
      job->verdict = job->changed = 0;
      job->lifetime = 0;
    }
  }
}
