// The NBD server of one Primary: accepts clients on a unix socket and serves one export, which
// answers to the names "" and `Export::name`. Fixed newstyle; one Session for each client.
//
// Created once for each engine; start() and stop() follow promotion and demotion.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
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
  // Stops accepting, ends the connections of the clients (requests in flight are finished
  // inside, not answered) and calls `stopped` once nothing is in flight. Never inside the call.
  void stop(void (*stopped)(void* owner), void* owner);
  bool running() const;

  // Sends the replies gathered in this batch; called from the engine's batch_end().
  void batch_end();

  uint32_t client_count() const;                                 // that finished negotiation
  uint32_t client_pids(int32_t* pids, uint32_t capacity) const;  // returns how many were written

 private:
  friend class Session;
  struct Private;
  std::unique_ptr<Private> private_;
};

}  // namespace blkmirror::nbd
