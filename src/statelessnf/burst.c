// What the engine calls: a burst of jobs, each guarded, around the compiled code of one network function.
// `snf_step` is that code (statelessnf/native.py). It has Numba's calling convention: a status that is 0 unless the
// function raised, indexed out of bounds or gave an unknown verdict. Then the record is as it was before and the
// packet is dropped without effects; the rest of the burst goes on. No Python, no allocation, no GIL.
#include <stdint.h>
#include <string.h>

struct Job {  // engine/function.hpp
  uint8_t* packet;
  const uint8_t* before;
  uint8_t* after;
  uint64_t lifetime;
  uint32_t verdict;
  uint32_t fault;
};
_Static_assert(sizeof(struct Job) == 40, "Job differs from engine/function.hpp");

#define EXPORT __attribute__((visibility("default")))

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

__attribute__((visibility("hidden"))) int32_t snf_step(int64_t* result, void** exception, uint64_t job, uint64_t tables,
                                                       uint64_t services);

EXPORT void snf_burst(struct Job* jobs, uint64_t count, const void* tables, uint64_t services) {
  for (struct Job* job = jobs; job != jobs + count; ++job) {
    int64_t result = 0;
    void* exception = 0;
    memcpy(job->after, job->before, SNF_RECORD_SIZE);
    job->fault = snf_step(&result, &exception, (uint64_t)job, (uint64_t)tables, services) != 0;
    if (job->fault) {
      memcpy(job->after, job->before, SNF_RECORD_SIZE);
      job->packet[SNF_EFFECT_COUNT] = 0;
      job->verdict = 0;
      job->lifetime = 0;
    }
  }
}
