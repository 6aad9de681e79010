// A thread with a name, a stack of its own size and every signal blocked: signals belong to
// Node's main thread. Used by the lobby and by the engine's thread.
#pragma once

#include <pthread.h>

#include <cstddef>

#include "base/result.h"

namespace blkmirror::host {

class QuietThread {
 public:
  QuietThread() = default;
  // Must have been joined, or detached.
  ~QuietThread();
  QuietThread(const QuietThread&) = delete;
  QuietThread& operator=(const QuietThread&) = delete;

  // Runs body(owner). `name` is cut to 15 bytes; `stack_bytes` is a multiple of the page size.
  Status start(const char* name, size_t stack_bytes, void (*body)(void* owner), void* owner);
  bool started() const { return started_; }
  void join();
  // Joins when the thread ends within `timeout_ms`; answers whether it did.
  bool join_for(unsigned timeout_ms);
  // Leaves the thread to itself: for one that hangs while the process ends.
  void detach();

 private:
  static void* enter(void* self);

  pthread_t thread_{};
  bool started_ = false;
  void (*body_)(void* owner) = nullptr;
  void* owner_ = nullptr;
};

}  // namespace blkmirror::host
