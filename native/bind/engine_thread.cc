// See engine_thread.h.
#include "bind/engine_thread.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "bind/metadata_disk.h"
#include "host/memory_lock.h"
#include "host/owned_fd.h"
#include "host/unix_listener.h"

namespace blkmirror::bind {

namespace {

host::Failure start_failure(const char* step, int error) {
  BM_ASSERT(error > 0);
  std::string advice;
  if (error == ENOMEM) advice = ": free memory, or raise RLIMIT_MEMLOCK";
  if (error == EPERM || error == ENOSYS) {
    advice = ": allow io_uring (sysctl kernel.io_uring_disabled=0)";
  }
  return {error, std::string("cannot start the data plane (") + step +
                     "): " + std::strerror(error) + advice};
}

class PassedFd final : public PassedSocket {
 public:
  explicit PassedFd(host::OwnedFd fd) : fd_(std::move(fd)) { BM_ASSERT(fd_.valid()); }

  io::SocketId adopt(io::Io& io) override {
    BM_ASSERT(fd_.valid());
    const io::SocketId socket = static_cast<io::UringIo&>(io).adopt_socket(fd_.get());
    if (socket != io::kNoSocket) fd_.release();
    return socket;
  }

 private:
  host::OwnedFd fd_;
};

// Stands between ring and engine: runs the engine's batches, then publishes what they told. An
// engine that closed in a batch's end must not wait for a next one.
class Batches final : public io::BatchHandler {
 public:
  Batches(engine::Engine& engine, io::Io& io, EventRing& events)
      : engine_(engine), io_(io), events_(events) {}
  void batch_end() override {
    engine_.batch_end();
    events_.publish();
    if (engine_.closed()) io_.wake();
  }
  void woken() override { engine_.woken(); }

 private:
  engine::Engine& engine_;
  io::Io& io_;
  EventRing& events_;
};

}  // namespace

EngineThread::EngineThread(StartSpec spec, void (*notify)(void* owner), void* owner)
    : events_(notify, owner), spec_(std::move(spec)) {
  BM_ASSERT(!spec_.disk.empty());
  attach_completion_.owner = this;
  attach_completion_.done = [](engine::Completion& completion, int error, const char* what) {
    auto* self = static_cast<EngineThread*>(completion.owner);
    BM_ASSERT(!self->attach_done_);
    self->attach_done_ = true;
    if (error == 0) {
      self->ending_.was_attached = true;
      self->warn_of_damage(*self->engine_);
      self->events_.attached();
    } else {
      const std::string& path =
          self->spec_.meta_disk.empty() ? self->spec_.disk : self->spec_.meta_disk;
      self->fail(metadata_failure(error, what, path, self->spec_.attach.resource));
    }
  };
  close_completion_.owner = this;
  close_completion_.done = [](engine::Completion& completion, int error, const char* what) {
    auto* self = static_cast<EngineThread*>(completion.owner);
    if (error == 0) return;
    self->fail(
        {error, "closing " + self->spec_.disk + " failed: " + what + ": " + std::strerror(error)});
  };
}

EngineThread::~EngineThread() {
  BM_ASSERT(!thread_.started());
  for (Command* command : commands_) delete command;
}

Status EngineThread::start() {
  BM_ASSERT(!thread_.started());
  const std::string name = "bm-" + spec_.attach.resource;
  return thread_.start(name.c_str(), kStackBytes, &EngineThread::body, this);
}

bool EngineThread::post(uint64_t ticket, bool may_be_lost, Action action) {
  reclaim();
  const std::lock_guard<std::mutex> lock(mailbox_mutex_);
  if (ended_ || (may_be_lost && queued_ >= kQueueLimit)) return false;
  auto* command = new Command;
  commands_.insert(command);
  command->thread = this;
  command->ticket = ticket;
  command->action = std::move(action);
  command->completion.owner = command;
  command->completion.done = [](engine::Completion& completion, int error, const char* what) {
    auto* done = static_cast<Command*>(completion.owner);
    done->thread->complete(*done, error, what);
  };
  if (queue_first_ == nullptr) queue_first_ = command;
  if (queue_last_ != nullptr) queue_last_->next = command;
  queue_last_ = command;
  queued_++;
  if (io_ != nullptr) io_->wake();
  return true;
}

void EngineThread::stop() {
  stop_.store(true);
  const std::lock_guard<std::mutex> lock(mailbox_mutex_);
  if (io_ != nullptr) io_->wake();
}

int EngineThread::release_socket(io::Io& io, io::SocketId socket) {
  return static_cast<io::UringIo&>(io).release_socket(socket);
}

std::shared_ptr<PassedSocket> EngineThread::pass_socket(int fd) {
  return std::make_shared<PassedFd>(host::OwnedFd(fd));
}

host::Outcome<std::shared_ptr<PassedSocket>> EngineThread::listen_unix(const std::string& path) {
  host::Outcome<host::OwnedFd> listener = host::listen_unix(path);
  if (!listener.ok()) return listener.failure();
  return std::shared_ptr<PassedSocket>(std::make_shared<PassedFd>(std::move(listener.value())));
}

void EngineThread::reclaim() {
  Command* spent = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mailbox_mutex_);
    spent = std::exchange(spent_, nullptr);
  }
  while (spent != nullptr) {
    Command* next = spent->next;
    const size_t erased = commands_.erase(spent);
    BM_ASSERT(erased == 1);
    delete spent;
    spent = next;
  }
}

bool EngineThread::join_for(unsigned timeout_ms) {
  return !thread_.started() || thread_.join_for(timeout_ms);
}

void EngineThread::abandon() { thread_.detach(); }

void EngineThread::run() {
  warnings_ = host::lock_thread_memory();
  auto claimed = claim();
  if (claimed.ok()) {
    auto created = io::UringIo::create();
    if (created.ok()) {
      run_engine(*created.value(), claimed.value());
    } else {
      fail(start_failure("io_uring", created.error().code));
    }
  } else {
    fail(claimed.failure());
  }
  // Here the disks are closed: the claim is gone before `ended` is told.
  claimed = host::Failure{ECANCELED, ""};
  close_mailbox();
  events_.ended();
}

host::Outcome<DiskClaims> EngineThread::claim() const {
  const bool internal = spec_.meta_disk.empty();
  if (!internal && host::same_disk(spec_.disk, spec_.meta_disk)) {
    return host::Failure{EINVAL, "disk and meta-disk are both " + spec_.disk +
                                     ": write meta-disk = internal, or name another one"};
  }
  DiskClaims claims;
  auto data = host::claim_disk(spec_.disk, spec_.claim_timeout_ms, &stop_);
  if (!data.ok()) return data.failure();
  claims.data = std::move(data.value());
  if (internal) return claims;
  auto metadata = host::claim_disk(spec_.meta_disk, spec_.claim_timeout_ms, &stop_);
  if (!metadata.ok()) return metadata.failure();
  claims.meta = std::move(metadata.value());
  return claims;
}

host::Outcome<std::shared_ptr<PassedDisks>> EngineThread::claim_again() {
  class Passed final : public PassedDisks {
   public:
    explicit Passed(DiskClaims claims) : claims_(std::move(claims)) {}
    void adopt(io::Io& io, engine::AttachSpec& spec) override {
      claims_.adopt(static_cast<io::UringIo&>(io), spec);
    }

   private:
    DiskClaims claims_;
  };
  auto claims = claim();
  if (!claims.ok()) return claims.failure();
  return std::shared_ptr<PassedDisks>(std::make_shared<Passed>(std::move(claims.value())));
}

void DiskClaims::adopt(io::UringIo& io, engine::AttachSpec& spec) {
  BM_ASSERT(data.fd.valid());
  spec.internal = !meta.fd.valid();
  spec.data_disk_bytes = data.facts.size_bytes;
  spec.block = data.facts.logical_block;
  spec.fast_zero = data.facts.fast_zero;
  spec.data_disk = io.adopt_disk(data.fd.release());
  spec.meta_disk = spec.data_disk;
  spec.meta_disk_bytes = data.facts.size_bytes;
  if (!spec.internal) {
    spec.meta_disk_bytes = meta.facts.size_bytes;
    spec.meta_disk = io.adopt_disk(meta.fd.release());
  }
  BM_ASSERT(spec.data_disk != io::kNoDisk);
  BM_ASSERT(spec.meta_disk != io::kNoDisk);
}

void EngineThread::run_engine(io::UringIo& io, DiskClaims& claims) {
  engine::Engine engine(io, events_, statistics_);
  if (const Status ready = engine.init(); !ready.ok()) {
    return fail(start_failure(ready.error().what, ready.error().code));
  }
  struct Hook {
    EngineThread* thread;
    engine::Engine* engine;
    io::UringIo* io;
  } hook{this, &engine, &io};
  engine.set_wake_hook(
      [](void* owner) {
        auto* at = static_cast<Hook*>(owner);
        at->thread->run_commands(*at->engine, *at->io);
      },
      &hook);
  Batches batches(engine, io, events_);
  io.set_handler(&batches);
  engine::AttachSpec spec = spec_.attach;
  claims.adopt(io, spec);
  engine_ = &engine;
  engine.attach(spec, attach_completion_);
  open_mailbox(io);
  while (!engine.closed()) {
    io.run_batch();
    after_batch(engine);
  }
  run_commands(engine, io);
  engine_ = nullptr;
  close_mailbox();
  BM_ASSERT(closing_);
}

void EngineThread::warn_of_damage(const engine::Engine& engine) {
  const uint64_t pages = engine.damaged_metadata_pages();
  if (pages == 0) return;
  const bool internal = spec_.meta_disk.empty();
  warnings_.push_back(spec_.attach.resource + ": " + std::to_string(pages) +
                      " damaged metadata page(s) on " + (internal ? spec_.disk : spec_.meta_disk) +
                      ": what they covered is resynced, and they are repaired; check the disk");
}

// What must not be done from inside an event of the engine.
void EngineThread::after_batch(engine::Engine& engine) {
  uint32_t slot = 0;
  uint32_t incarnation = 0;
  while (events_.take_overflow(&slot, &incarnation)) engine.close_link(slot, incarnation);
  if (!attach_done_ || closing_) return;
  if (ending_.was_attached && !stop_.load()) return;
  closing_ = true;
  engine.close(close_completion_);
}

// The first failure is what is told.
void EngineThread::fail(host::Failure failure) {
  BM_ASSERT(failure.error > 0);
  if (ending_.error != 0) return;
  ending_.error = failure.error;
  ending_.message = std::move(failure.message);
}

void EngineThread::run_commands(engine::Engine& engine, io::UringIo& io) {
  Command* first = nullptr;
  {
    const std::lock_guard<std::mutex> lock(mailbox_mutex_);
    first = std::exchange(queue_first_, nullptr);
    queue_last_ = nullptr;
    queued_ = 0;
  }
  while (first != nullptr) {
    Command& command = *std::exchange(first, first->next);
    command.next = nullptr;
    const bool waited_for = command.ticket != kNoTicket;
    const bool wanted = !closing_ && ending_.was_attached;
    running_ = &command;
    completed_inside_ = false;
    if (wanted) {
      command.action(engine, io, command.completion);
    } else if (waited_for) {
      complete(command, ECANCELED, "the device is closing");
    }
    running_ = nullptr;
    if (!waited_for || completed_inside_) spend(command);
  }
}

void EngineThread::complete(Command& command, int error, const char* what) {
  BM_ASSERT(command.ticket != kNoTicket);
  BM_ASSERT(error >= 0);
  events_.completed(command.ticket, error, what);
  // An action that completes at once is still running: it is spent when it returns.
  if (running_ == &command) {
    completed_inside_ = true;
  } else {
    spend(command);
  }
}

// From here on the main thread may free it.
void EngineThread::spend(Command& command) {
  const std::lock_guard<std::mutex> lock(mailbox_mutex_);
  BM_ASSERT(command.next == nullptr);
  command.next = spent_;
  spent_ = &command;
}

void EngineThread::open_mailbox(io::UringIo& io) {
  const std::lock_guard<std::mutex> lock(mailbox_mutex_);
  io_ = &io;
  io.wake();
}

// What is still queued is never run; its tickets are settled by `ended`.
void EngineThread::close_mailbox() {
  const std::lock_guard<std::mutex> lock(mailbox_mutex_);
  io_ = nullptr;
  ended_ = true;
}

}  // namespace blkmirror::bind
