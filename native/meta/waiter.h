// Whoever waits for metadata to be read or made durable, and lists of them.
#pragma once

#include <cstdint>

#include "base/list.h"

namespace blkmirror::meta {

// Told once with 0 or a positive errno, never from inside the call that it was given to.
// Embedded in whoever waits for metadata.
struct Waiter {
  void (*done)(Waiter& waiter, int error) = nullptr;
  void* owner = nullptr;
  uint64_t ticket = 0;  // for the implementation
  ListLink link;
};

using WaiterList = List<Waiter, &Waiter::link>;

// Everybody in `from` goes to the end of `to`.
inline void move_all(WaiterList& from, WaiterList& to) {
  while (Waiter* waiter = from.pop_front()) to.push_back(*waiter);
}

// Tells everybody in the list, also who is added meanwhile: each joins only by a call that has
// returned before.
inline void tell_all(WaiterList& list, int error) {
  while (Waiter* waiter = list.pop_front()) waiter->done(*waiter, error);
}

}  // namespace blkmirror::meta
