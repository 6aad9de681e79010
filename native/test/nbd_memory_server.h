// An NBD server over io_uring with a device in memory, on a thread of its own: what real clients
// are let loose on by test_nbd_clients.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace blkmirror::nbd {

class MemoryServer {
 public:
  // Listens on `path` before it returns. null: moves no data, for measurements.
  MemoryServer(const std::string& path, uint64_t bytes, uint32_t minimum_block, bool null = false);
  ~MemoryServer();
  MemoryServer(const MemoryServer&) = delete;
  MemoryServer& operator=(const MemoryServer&) = delete;

 private:
  void serve(int listener, uint64_t bytes, uint32_t minimum_block, bool null);

  std::string path_;
  std::atomic<bool> quit_{false};
  std::atomic<class MemoryServerThread*> running_{nullptr};
  std::thread thread_;
};

}  // namespace blkmirror::nbd
