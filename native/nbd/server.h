// The NBD server of one Primary: accepts clients on a unix socket and serves one export, which
// answers to the names "" and `Export::name`. Fixed newstyle; one Session for each client.
//
// Created once for each engine; start() and stop() follow promotion and demotion.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/limits.h"
#include "io/io.h"
#include "nbd/backend.h"

namespace blkmirror::nbd {

class Session;

struct Export {
  std::string name;              // the resource's
  uint64_t size_bytes = 0;       // of the device
  uint32_t minimum_block = 512;  // bytes: 512 or 4096
  uint32_t preferred_block = 4096;
  bool fast_zero = false;  // the backing disk zeroes without writing (advertise FAST_ZERO)
};

class Server {
 public:
  // `client_pool` holds the data of reads and writes. Told through `changed` (may be null)
  // whenever a client came or went.
  Server(io::Io& io, BufferPool& client_pool, Backend& backend);
  // Only when not running, or when a simulated crash has taken every operation of the Io.
  ~Server();
  void set_client_change(void (*changed)(void* owner), void* owner);

  // Takes over a listening socket and begins to accept.
  void start(io::SocketId listener, const Export& exported);
  // Takes over the end of a connection whose other end is the kernel's, in the transmission phase.
  // `unread`: what was received on it already. While running, and while there is none.
  void admit_kernel(io::SocketId socket, std::span<const std::byte> unread);
  bool has_kernel() const;
  // Answers what the kernel's session has begun, takes nothing further from it, and hands socket
  // and unread bytes over: they are the owner's. kNoSocket when the session ended meanwhile. Never
  // inside the call.
  using Parked = void (*)(void* owner, io::SocketId socket, std::span<const std::byte> unread);
  void park_kernel(Parked parked, void* owner);

  // Stops accepting, ends the connections of the clients (requests in flight are finished
  // inside, not answered) and calls `stopped` once nothing is in flight. Never inside the call.
  void stop(void (*stopped)(void* owner), void* owner);
  bool running() const;

  // Sends the replies gathered in this batch; called from the engine's batch_end().
  void batch_end();

  // Without the kernel's. Of clients that finished negotiation.
  uint32_t client_count() const;
  uint32_t client_pids(int32_t* pids, uint32_t capacity) const;  // returns how many were written

 private:
  friend class Session;
  struct Private;
  std::unique_ptr<Private> private_;
};

}  // namespace blkmirror::nbd
