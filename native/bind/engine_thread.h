// The data-plane thread of one attached copy: claims the disks, owns ring and engine, runs
// batches until the engine is closed, and gives the disks back.
//
// Commands come from the main thread through a mailbox and run on the engine's thread when the
// engine is woken; they are allocated and freed by the main thread only. What happens comes back
// through the EventRing: `attached`, then events and completions, last `ended`. Nothing of the
// engine is touched by another thread but Statistics.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "bind/engine_runner.h"
#include "host/disk_claim.h"
#include "host/failure.h"
#include "host/quiet_thread.h"
#include "io/uring_io.h"

namespace blkmirror::bind {

struct DiskClaims {
  host::Disk data;
  host::Disk meta;  // empty: internal

  // Hands the disks to `io`, which closes them.
  void adopt(io::UringIo& io, engine::AttachSpec& spec);
};

class EngineThread final : public EngineRunner {
 public:
  // `notify` is called on the engine's thread whenever there is something to take.
  EngineThread(StartSpec spec, void (*notify)(void* owner), void* owner);
  // The thread must have ended or never have started.
  ~EngineThread() override;

  // The main thread calls all of these.
  Status start();
  bool post(uint64_t ticket, bool may_be_lost, Action action) override;
  void stop() override;
  int release_socket(io::Io& io, io::SocketId socket) override;
  std::shared_ptr<PassedSocket> pass_socket(int fd) override;
  host::Outcome<std::shared_ptr<PassedSocket>> listen_unix(const std::string& path) override;
  host::Outcome<std::shared_ptr<PassedDisks>> claim_again() override;
  engine::AttachSpec attach_spec() const override { return spec_.attach; }
  // Frees commands that are done.
  void reclaim();
  // Joins the thread when it ends in time.
  bool join_for(unsigned timeout_ms);
  // For a thread that hangs while the process ends: this object must then stay alive.
  void abandon();

  EventRing& events() override { return events_; }
  const engine::Statistics& statistics() const override { return statistics_; }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  const Ending& ending() const override { return ending_; }

 private:
  static constexpr size_t kQueueLimit = 4096;
  static constexpr size_t kStackBytes = 512u << 10;

  struct Command {
    engine::Completion completion;
    EngineThread* thread = nullptr;
    uint64_t ticket = kNoTicket;
    Action action;
    Command* next = nullptr;  // in queue_ or spent_
  };

  static void body(void* self) { static_cast<EngineThread*>(self)->run(); }
  void run();
  host::Outcome<DiskClaims> claim() const;
  void run_engine(io::UringIo& io, DiskClaims& claims);
  void after_batch(engine::Engine& engine);
  void warn_of_damage(const engine::Engine& engine);
  void fail(host::Failure failure);
  void run_commands(engine::Engine& engine, io::UringIo& io);
  void complete(Command& command, int error, const char* what);
  void spend(Command& command);
  void open_mailbox(io::UringIo& io);
  void close_mailbox();

  EventRing events_;
  engine::Statistics statistics_;
  host::QuietThread thread_;
  std::atomic<bool> stop_{false};

  const StartSpec spec_;

  // The engine's thread; read by others after `ended`.
  engine::Completion attach_completion_;
  engine::Completion close_completion_;
  const engine::Engine* engine_ = nullptr;  // while there is one
  bool attach_done_ = false;
  bool closing_ = false;
  Command* running_ = nullptr;
  bool completed_inside_ = false;
  Ending ending_;
  std::vector<std::string> warnings_;

  std::unordered_set<Command*> commands_;  // the main thread's: every one not yet freed

  std::mutex mailbox_mutex_;   // guards the rest
  io::UringIo* io_ = nullptr;  // set while there is one to wake
  bool ended_ = false;
  Command* queue_first_ = nullptr;
  Command* queue_last_ = nullptr;
  size_t queued_ = 0;
  Command* spent_ = nullptr;
};

}  // namespace blkmirror::bind
