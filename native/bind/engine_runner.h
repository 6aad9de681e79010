// What runs the engine of one attached copy, as the JavaScript object sees it: on a thread of its
// own over io_uring (EngineThread), or in a simulated world.
//
// Commands are posted and run when the engine is woken, in order. What happens comes back
// through the EventRing: `attached`, then events and completions, last `ended`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bind/event_ring.h"
#include "engine/engine.h"
#include "host/failure.h"

namespace blkmirror::bind {

struct StartSpec {
  engine::AttachSpec attach;  // disks and sizes are filled in by the runner
  std::string disk;
  std::string meta_disk;  // empty: internal
  uint32_t claim_timeout_ms = 0;
};

// Where it ended, and with what. `error` 0: closed as asked.
struct Ending {
  bool was_attached = false;
  int error = 0;
  std::string message;
};

// A socket on its way to the engine. It is closed when its command is freed without having run.
class PassedSocket {
 public:
  virtual ~PassedSocket() = default;
  // Where the engine runs. kNoSocket when there is no room for it.
  virtual io::SocketId adopt(io::Io& io) = 0;
};

// Disks on their way to the engine, claimed. They are closed when they were not adopted.
class PassedDisks {
 public:
  virtual ~PassedDisks() = default;
  // Where the engine runs: fills in the disks and sizes.
  virtual void adopt(io::Io& io, engine::AttachSpec& spec) = 0;
};

// The kernel's connection on its way back from the engine: the engine's thread owns it until the
// command that parks it has completed, then the main thread does.
struct KernelParking {
  engine::Completion completion;
  engine::ParkedKernel parked;
  engine::Completion* command = nullptr;  // while it runs
  io::Io* io = nullptr;
  int fd = -1;
};

class EngineRunner {
 public:
  // What a command does where the engine runs. It completes `completion`, unless the command
  // was posted without a ticket.
  using Action =
      std::function<void(engine::Engine& engine, io::Io& io, engine::Completion& completion)>;
  static constexpr uint64_t kNoTicket = 0;

  virtual ~EngineRunner() = default;

  // False when the engine is ending or, for commands that may be lost, the mailbox is full.
  virtual bool post(uint64_t ticket, bool may_be_lost, Action action) = 0;
  // Ends everything in order: the claim is no longer waited for, or the engine is closed.
  virtual void stop() = 0;
  // Where the engine runs: the descriptor of a socket that the engine gave up, now the caller's.
  virtual int release_socket(io::Io& io, io::SocketId socket) = 0;
  // `fd`: as the lobby's take() gave it.
  virtual std::shared_ptr<PassedSocket> pass_socket(int fd) = 0;
  virtual host::Outcome<std::shared_ptr<PassedSocket>> listen_unix(const std::string& path) = 0;

  // The disks of the StartSpec, to attach them again. On any thread; may wait for the claim.
  virtual host::Outcome<std::shared_ptr<PassedDisks>> claim_again() = 0;
  // claim_again() never waits: it needs no thread of its own.
  virtual bool claims_at_once() const { return false; }
  // As it was started, without disks.
  virtual engine::AttachSpec attach_spec() const = 0;

  // Of the one park_kernel at a time.
  KernelParking& parking() { return parking_; }

  virtual EventRing& events() = 0;
  virtual const engine::Statistics& statistics() const = 0;
  // After `attached` or `ended`.
  virtual const std::vector<std::string>& warnings() const = 0;
  // After `ended`.
  virtual const Ending& ending() const = 0;

 private:
  KernelParking parking_;
};

}  // namespace blkmirror::bind
