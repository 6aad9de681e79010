// See runner.h.
#include "sim/runner.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "bind/metadata_disk.h"
#include "sim/node.h"

namespace blkmirror::sim {

namespace {

// A simulated descriptor is the socket's id. Gone with its node's life.
class SimPassed final : public bind::PassedSocket {
 public:
  SimPassed(Node& node, io::SocketId socket) : guard_(node.guard()), socket_(socket) {}
  ~SimPassed() override {
    Node* node = *guard_;
    if (socket_ != io::kNoSocket && node != nullptr) node->close_socket(socket_);
  }
  io::SocketId adopt(io::Io& io) override {
    Node* node = *guard_;
    BM_ASSERT(node != nullptr);
    node->move_socket(socket_, static_cast<io::SimIo&>(io));
    return std::exchange(socket_, io::kNoSocket);
  }

 private:
  std::shared_ptr<Node*> guard_;
  io::SocketId socket_;
};

host::Failure unusable(int error, const std::string& path) {
  BM_ASSERT(error > 0);
  return {error, "cannot open " + path + ": " + std::strerror(error)};
}

}  // namespace

Runner::Runner(Node& node, io::SimIo& io, bind::StartSpec spec, Told& told)
    : node_(&node),
      io_(&io),
      spec_(std::move(spec)),
      events_([](void* owner) { static_cast<Told*>(owner)->note(); }, &told),
      statistics_(std::make_unique<engine::Statistics>()) {
  attach_completion_.owner = close_completion_.owner = claim_timer_.owner = this;
  attach_completion_.done = [](engine::Completion& completion, int error, const char* what) {
    static_cast<Runner*>(completion.owner)->attach_done(error, what);
  };
  close_completion_.done = [](engine::Completion& completion, int error, const char* what) {
    auto* self = static_cast<Runner*>(completion.owner);
    if (error == 0) return;
    const std::string text = std::string(what) + ": " + std::strerror(error);
    self->fail({error, "closing " + self->spec_.disk + " failed: " + text});
  };
  claim_timer_.fire = [](io::Timer& timer) { static_cast<Runner*>(timer.owner)->try_claim(); };
  claim_deadline_us_ = io_->now_us() + uint64_t{spec_.claim_timeout_ms} * 1000;
  io_->set_handler(this);
  io_->arm(claim_timer_, io_->now_us() + node.world_random().between(1, 1000));
}

Runner::~Runner() { BM_ASSERT(node_ == nullptr); }

bool Runner::post(uint64_t ticket, bool may_be_lost, Action action) {
  if (node_ == nullptr || ending_due_) return false;
  if (may_be_lost && queue_.size() >= kQueueLimit) return false;
  auto command = std::make_unique<Command>();
  command->runner = this;
  command->ticket = ticket;
  command->action = std::move(action);
  command->completion.owner = command.get();
  command->completion.done = [](engine::Completion& completion, int error, const char* what) {
    auto* done = static_cast<Command*>(completion.owner);
    done->runner->complete(*done, error, what);
  };
  queue_.push_back(std::move(command));
  io_->wake();
  return true;
}

void Runner::stop() {
  stopping_ = true;
  if (node_ == nullptr) return;
  if (engine_ == nullptr) io_->arm(claim_timer_, io_->now_us() + 1);
  io_->wake();
}

// A simulated kernel is no client: nothing is ever parked.
int Runner::release_socket(io::Io&, io::SocketId socket) {
  BM_ASSERT(socket == io::kNoSocket);
  return -1;
}

std::shared_ptr<bind::PassedSocket> Runner::pass_socket(int fd) {
  BM_ASSERT(fd >= 0);
  if (node_ == nullptr) return nullptr;  // post() refuses what would use it
  return std::make_shared<SimPassed>(*node_, io::SocketId{static_cast<uint32_t>(fd)});
}

host::Outcome<std::shared_ptr<bind::PassedSocket>> Runner::listen_unix(const std::string& path) {
  if (node_ == nullptr) return host::Failure{ESHUTDOWN, "the node is down"};
  const io::SocketId socket = node_->listen_unix(path, *io_);
  return std::shared_ptr<bind::PassedSocket>(std::make_shared<SimPassed>(*node_, socket));
}

void Runner::try_claim() {
  BM_ASSERT(engine_ == nullptr);
  const std::string& meta = spec_.meta_disk;
  if (stopping_) {
    fail({ECANCELED, "waiting for " + spec_.disk + " was given up"});
  } else if (meta == spec_.disk) {
    fail({EINVAL, "disk and meta-disk are both " + meta + ": write meta-disk = internal"});
  } else if (node_->find_disk(spec_.disk) == nullptr) {
    fail(unusable(ENOENT, spec_.disk));
  } else if (!meta.empty() && node_->find_disk(meta) == nullptr) {
    fail(unusable(ENOENT, meta));
  } else if ((data_ = claim(spec_.disk)) != nullptr) {
    if (meta.empty() || (meta_ = claim(meta)) != nullptr) return start_engine();
    data_->owner = nullptr;
    data_ = nullptr;
  }
  if (ending_.error == 0 && io_->now_us() >= claim_deadline_us_) {
    fail({EBUSY, spec_.disk + " is held by another copy of the service: stop that first"});
  }
  if (ending_.error == 0) return io_->arm(claim_timer_, io_->now_us() + kClaimRetryUs);
  ending_due_ = true;
}

NodeDisk* Runner::claim(const std::string& path) {
  NodeDisk* disk = node_->find_disk(path);
  BM_ASSERT(disk != nullptr);
  if (disk->owner != nullptr) return nullptr;
  disk->owner = this;
  return disk;
}

void Runner::start_engine() {
  BM_ASSERT(data_ != nullptr);
  engine_ = std::make_unique<engine::Engine>(*io_, events_, *statistics_);
  io_->set_handler(this);
  const Status ready = engine_->init();
  BM_ASSERT(ready.ok());
  describe_disks(spec_.attach);
  engine_->attach(spec_.attach, attach_completion_);
  io_->wake();
}

void Runner::describe_disks(engine::AttachSpec& spec) const {
  BM_ASSERT(data_ != nullptr);
  const NodeDisk& holder = meta_ == nullptr ? *data_ : *meta_;
  BM_ASSERT(holder.owner == this);
  spec.internal = meta_ == nullptr;
  spec.data_disk = data_->id;
  spec.meta_disk = holder.id;
  spec.data_disk_bytes = data_->bytes;
  spec.meta_disk_bytes = holder.bytes;
  spec.block = data_->block;
  spec.fast_zero = false;
}

// The claim lasts as long as this runner: the disks are there still.
host::Outcome<std::shared_ptr<bind::PassedDisks>> Runner::claim_again() {
  class Passed final : public bind::PassedDisks {
   public:
    explicit Passed(const Runner& runner) : runner_(runner) {}
    void adopt(io::Io&, engine::AttachSpec& spec) override { runner_.describe_disks(spec); }

   private:
    const Runner& runner_;
  };
  if (node_ == nullptr || data_ == nullptr) return host::Failure{ESHUTDOWN, "the node is down"};
  return std::shared_ptr<bind::PassedDisks>(std::make_shared<Passed>(*this));
}

void Runner::attach_done(int error, const char* what) {
  BM_ASSERT(!attach_done_);
  attach_done_ = true;
  if (error == 0) {
    ending_.was_attached = true;
    events_.attached();
    return;
  }
  const std::string& path = spec_.meta_disk.empty() ? spec_.disk : spec_.meta_disk;
  fail(bind::metadata_failure(error, what, path, spec_.attach.resource));
}

void Runner::batch_end() {
  if (engine_ == nullptr) return;
  engine_->batch_end();
  after_batch();
  events_.publish();
  if (engine_->closed() && io_->in_flight() == 0) ending_due_ = true;
}

void Runner::woken() { run_commands(); }

// What must not be done from inside an event of the engine.
void Runner::after_batch() {
  uint32_t slot = 0;
  uint32_t incarnation = 0;
  while (events_.take_overflow(&slot, &incarnation)) engine_->close_link(slot, incarnation);
  if (!attach_done_ || closing_) return;
  if (ending_.was_attached && !stopping_) return;
  closing_ = true;
  engine_->close(close_completion_);
  io_->wake();
}

void Runner::run_commands() {
  if (engine_ == nullptr) return;
  while (!queue_.empty()) {
    std::unique_ptr<Command> command = std::move(queue_.front());
    queue_.pop_front();
    Command& one = *command;
    const bool waited_for = one.ticket != kNoTicket;
    if (waited_for) waiting_[&one] = std::move(command);
    running_ = &one;
    completed_inside_ = false;
    if (!closing_ && ending_.was_attached) {
      one.action(*engine_, *io_, one.completion);
    } else if (waited_for) {
      complete(one, ECANCELED, "the device is closing");
    }
    running_ = nullptr;
    if (completed_inside_) waiting_.erase(&one);
  }
}

void Runner::complete(Command& command, int error, const char* what) {
  BM_ASSERT(error >= 0);
  events_.completed(command.ticket, error, what);
  if (running_ == &command) {
    completed_inside_ = true;
  } else {
    waiting_.erase(&command);
  }
}

void Runner::fail(host::Failure failure) {
  BM_ASSERT(failure.error > 0);
  if (ending_.error != 0) return;
  ending_.error = failure.error;
  ending_.message = std::move(failure.message);
}

void Runner::end() {
  BM_ASSERT(ending_due_);
  BM_ASSERT(node_ != nullptr);
  ending_due_ = false;
  queue_.clear();
  engine_.reset();
  io_->set_handler(nullptr);
  io_->disarm(claim_timer_);
  if (data_ != nullptr) data_->owner = nullptr;
  if (meta_ != nullptr) meta_->owner = nullptr;
  node_->give_back(*std::exchange(io_, nullptr));
  node_ = nullptr;
  events_.ended();
}

void Runner::abandon() {
  if (node_ == nullptr) return;
  if (engine_ != nullptr) engine_->abandon();
  engine_.reset();
  waiting_.clear();
  node_ = nullptr;
  io_ = nullptr;
  if (data_ != nullptr) data_->owner = nullptr;
  if (meta_ != nullptr) meta_->owner = nullptr;
  queue_.clear();
}

}  // namespace blkmirror::sim
