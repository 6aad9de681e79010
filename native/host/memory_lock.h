// Keeps a data-plane thread from waiting for memory that only its own writes could free: locks
// its stack and the addon's code and data, and marks the thread as an I/O flusher. (The buffer
// pools lock themselves; mlockall would make V8 abort.)
#pragma once

#include <string>
#include <vector>

namespace blkmirror::host {

// For the calling thread. Returns what was not permitted, in words, one for each thing.
std::vector<std::string> lock_thread_memory();

}  // namespace blkmirror::host
