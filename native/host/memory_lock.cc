// mlock of stack and code, PR_SET_IO_FLUSHER.
#include "host/memory_lock.h"

#include <link.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/assert.h"
#include "base/limits.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace blkmirror::host {

namespace {

int lock_range(uintptr_t start, size_t length) {
  BM_ASSERT(length > 0);
  const uintptr_t page = limits::kPageBytes;
  const uintptr_t first = start / page * page;
  BM_ASSERT(start + length > first);
  return mlock(reinterpret_cast<void*>(first), start + length - first) == 0 ? 0 : errno;
}

int lock_stack() {
  pthread_attr_t attributes;
  if (const int error = pthread_getattr_np(pthread_self(), &attributes); error != 0) return error;
  void* start = nullptr;
  size_t length = 0;
  const int error = pthread_attr_getstack(&attributes, &start, &length);
  pthread_attr_destroy(&attributes);
  if (error != 0) return error;
  BM_ASSERT(start != nullptr);
  return lock_range(reinterpret_cast<uintptr_t>(start), length);
}

// The loadable segments of the object that holds this very function.
int lock_own_segments(dl_phdr_info* object, size_t, void* result) {
  const auto here = reinterpret_cast<uintptr_t>(&lock_own_segments);
  bool own = false;
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const auto& segment = object->dlpi_phdr[index];
    const uintptr_t start = object->dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && here >= start && here < start + segment.p_memsz) own = true;
  }
  if (!own) return 0;
  BM_ASSERT(result != nullptr);
  int& error = *static_cast<int*>(result);
  for (int index = 0; index < object->dlpi_phnum; index++) {
    const auto& segment = object->dlpi_phdr[index];
    if (segment.p_type != PT_LOAD || segment.p_memsz == 0) continue;
    const int failed = lock_range(object->dlpi_addr + segment.p_vaddr, segment.p_memsz);
    if (failed != 0) error = failed;
  }
  return 1;
}

std::string warning(const char* what, int error, const char* advice) {
  BM_ASSERT(error > 0);
  return std::string(what) + ": " + std::strerror(error) + "; " + advice;
}

}  // namespace

std::vector<std::string> lock_thread_memory() {
  std::vector<std::string> warnings;
  const char* const more_memory = "raise RLIMIT_MEMLOCK or grant CAP_IPC_LOCK";
  if (const int error = lock_stack(); error != 0) {
    warnings.push_back(warning("cannot lock the data plane's stack in memory", error, more_memory));
  }
  int code_error = 0;
  dl_iterate_phdr(&lock_own_segments, &code_error);
  if (code_error != 0) {
    warnings.push_back(
        warning("cannot lock the data plane's code in memory", code_error, more_memory));
  }
  if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) {
    warnings.push_back(warning("cannot mark the data plane's thread as an I/O flusher", errno,
                               "grant CAP_SYS_RESOURCE"));
  }
  return warnings;
}

}  // namespace blkmirror::host
