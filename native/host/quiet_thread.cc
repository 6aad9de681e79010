// Starting and joining threads that take no signals.
#include "host/quiet_thread.h"

#include <signal.h>
#include <time.h>

#include <cstring>

namespace blkmirror::host {

QuietThread::~QuietThread() { BM_ASSERT(!started_); }

void* QuietThread::enter(void* self) {
  auto* thread = static_cast<QuietThread*>(self);
  BM_ASSERT(thread->body_ != nullptr);
  thread->body_(thread->owner_);
  return nullptr;
}

Status QuietThread::start(const char* name, size_t stack_bytes, void (*body)(void* owner),
                          void* owner) {
  BM_ASSERT(!started_);
  BM_ASSERT(body != nullptr);
  body_ = body;
  owner_ = owner;
  pthread_attr_t attributes;
  if (int error = pthread_attr_init(&attributes); error != 0) return Error{error, "thread"};
  const int sized = pthread_attr_setstacksize(&attributes, stack_bytes);
  BM_ASSERT(sized == 0);
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&thread_, &attributes, &QuietThread::enter, this);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (error != 0) return Error{error, "cannot start a thread"};
  started_ = true;
  char cut[16] = "";
  std::strncpy(cut, name, sizeof cut - 1);
  pthread_setname_np(thread_, cut);
  return {};
}

void QuietThread::join() {
  BM_ASSERT(started_);
  const int error = pthread_join(thread_, nullptr);
  BM_ASSERT(error == 0);
  started_ = false;
}

bool QuietThread::join_for(unsigned timeout_ms) {
  BM_ASSERT(started_);
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  const long nanoseconds = until.tv_nsec + long(timeout_ms % 1000) * 1000000;
  until.tv_sec += time_t(timeout_ms / 1000) + nanoseconds / 1000000000;
  until.tv_nsec = nanoseconds % 1000000000;
  if (pthread_timedjoin_np(thread_, nullptr, &until) != 0) return false;
  started_ = false;
  return true;
}

void QuietThread::detach() {
  BM_ASSERT(started_);
  pthread_detach(thread_);
  started_ = false;
}

}  // namespace blkmirror::host
