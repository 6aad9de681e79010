// The engine of one attached copy on a simulated node: what EngineThread is on a real host.
//
// Lives as long as its JavaScript object or its node's life, whichever is longer. A crash of the
// node voids it: commands are refused, nothing is told any more, the engine is gone.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bind/engine_runner.h"
#include "io/sim_io.h"
#include "sim/told.h"

namespace blkmirror::sim {

class Node;
struct NodeDisk;

class Runner final : public bind::EngineRunner, private io::BatchHandler {
 public:
  // Begins to claim the disks at once. `io` is this runner's alone until it ended.
  Runner(Node& node, io::SimIo& io, bind::StartSpec spec, Told& told);
  ~Runner() override;

  bool post(uint64_t ticket, bool may_be_lost, Action action) override;
  void stop() override;
  int release_socket(io::Io& io, io::SocketId socket) override;
  std::shared_ptr<bind::PassedSocket> pass_socket(int fd) override;
  host::Outcome<std::shared_ptr<bind::PassedSocket>> listen_unix(const std::string& path) override;
  host::Outcome<std::shared_ptr<bind::PassedDisks>> claim_again() override;
  bool claims_at_once() const override { return true; }
  engine::AttachSpec attach_spec() const override { return spec_.attach; }
  bind::EventRing& events() override { return events_; }
  const engine::Statistics& statistics() const override { return *statistics_; }
  const std::vector<std::string>& warnings() const override { return warnings_; }
  const bind::Ending& ending() const override { return ending_; }

  // The world calls it between two events when `ending_due()`: gives everything back.
  bool ending_due() const { return ending_due_; }
  void end();
  // The node's life is over; its Io has crashed already.
  void abandon();
  // The node runs (again), or does not: its socket ids and Io may be used.
  bool alive() const { return node_ != nullptr; }
  const io::SimIo* io() const { return io_; }

 private:
  static constexpr size_t kQueueLimit = 4096;
  static constexpr uint64_t kClaimRetryUs = 10'000;

  struct Command {
    engine::Completion completion;
    Runner* runner = nullptr;
    uint64_t ticket = kNoTicket;
    Action action;
  };

  void batch_end() override;
  void woken() override;
  void try_claim();
  NodeDisk* claim(const std::string& path);
  void start_engine();
  void describe_disks(engine::AttachSpec& spec) const;
  void attach_done(int error, const char* what);
  void after_batch();
  void run_commands();
  void complete(Command& command, int error, const char* what);
  void fail(host::Failure failure);

  Node* node_;  // null when the node's life or this runner is over
  io::SimIo* io_;
  bind::StartSpec spec_;
  bind::EventRing events_;
  std::unique_ptr<engine::Statistics> statistics_;
  std::unique_ptr<engine::Engine> engine_;
  engine::Completion attach_completion_;
  engine::Completion close_completion_;
  io::Timer claim_timer_;
  uint64_t claim_deadline_us_ = 0;
  NodeDisk* data_ = nullptr;  // claimed
  NodeDisk* meta_ = nullptr;  // claimed, when not internal
  bool attach_done_ = false;
  bool stopping_ = false;
  bool closing_ = false;
  bool ending_due_ = false;
  bind::Ending ending_;
  std::vector<std::string> warnings_;
  std::deque<std::unique_ptr<Command>> queue_;
  std::unordered_map<Command*, std::unique_ptr<Command>> waiting_;  // for their completion
  Command* running_ = nullptr;
  bool completed_inside_ = false;
};

}  // namespace blkmirror::sim
