// See serving.h.
#include "engine/serving.h"

#include <cerrno>

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

Serving::Serving(Parts& parts) : parts_(parts) {
  flush_.owner = this;
  flush_.kind = nbd::PieceKind::kFlush;
  flush_.done = flushed;
}

void Serving::serve(io::SocketId listener, const std::string& export_name, Completion& completion) {
  const bool ready = parts_.attached() && !parts_.failed && !parts_.shutdown.begun();
  if (step_ != Step::kOff || !ready) {
    parts_.io.shutdown(listener);
    parts_.io.close_socket(listener);
    completion.done(completion, parts_.failed ? EIO : EBUSY, "the device cannot be served now");
    return;
  }
  step_ = Step::kWaiting;
  listener_ = listener;
  export_name_ = export_name;
  completion_ = &completion;
}

// What peers have sent, also of a resync that was cut off, is applied before the first client is
// accepted (rule 9).
void Serving::batch_end() {
  if (step_ != Step::kWaiting || !parts_.receive.idle() || parts_.target.writes_for_lost()) return;
  start();
}

void Serving::start() {
  BM_ASSERT(step_ == Step::kWaiting);
  nbd::Export exported;
  exported.name = export_name_;
  exported.size_bytes = parts_.disk.size_bytes();
  exported.minimum_block = parts_.superblock().block;
  exported.fast_zero = parts_.disk.fast_zero();
  step_ = Step::kOn;
  parts_.gate.generation_may_spread();
  parts_.gate.recheck();
  parts_.server.set_client_change(clients_changed, this);
  parts_.server.start(listener_, exported);
  listener_ = io::kNoSocket;
  finish(0, "");
}

void Serving::serve_kernel(io::SocketId socket, std::span<const std::byte> unread,
                           Completion& completion) {
  BM_ASSERT(socket != io::kNoSocket);
  if (step_ != Step::kOn || parts_.server.has_kernel()) {
    parts_.io.shutdown(socket);
    parts_.io.close_socket(socket);
    completion.done(completion, EBUSY, "the kernel cannot be served now");
    return;
  }
  parts_.server.admit_kernel(socket, unread);
  BM_ASSERT(parts_.server.has_kernel());
  completion.done(completion, 0, "");
}

void Serving::park_kernel(ParkedKernel& parked, Completion& completion) {
  if (step_ != Step::kOn || !parts_.server.has_kernel()) {
    completion.done(completion, ENOTCONN, "the kernel is not served");
    return;
  }
  if (park_completion_ != nullptr) {
    completion.done(completion, EALREADY, "the kernel is being parked");
    return;
  }
  parked_ = &parked;
  park_completion_ = &completion;
  parts_.server.park_kernel(kernel_parked, this);
}

void Serving::kernel_parked(void* owner, io::SocketId socket, std::span<const std::byte> unread) {
  auto& serving = *static_cast<Serving*>(owner);
  BM_ASSERT(serving.parked_ != nullptr);
  BM_ASSERT(serving.park_completion_ != nullptr);
  serving.parked_->socket = socket;
  serving.parked_->unread.assign(unread.begin(), unread.end());
  serving.parked_ = nullptr;
  Completion& completion = *serving.park_completion_;
  serving.park_completion_ = nullptr;
  completion.done(completion, socket == io::kNoSocket ? ENOTCONN : 0, "the connection ended");
}

void Serving::clients_changed(void* owner) {
  Parts& parts = static_cast<Serving*>(owner)->parts_;
  std::array<int32_t, limits::kClients> pids{};
  const uint32_t count = parts.server.client_pids(pids.data(), limits::kClients);
  for (uint32_t i = 0; i < count; ++i) {
    parts.stats.client_pids[i].store(pids[i], std::memory_order_relaxed);
  }
  parts.stats.kernel_attached.store(parts.server.has_kernel(), std::memory_order_relaxed);
  parts.stats.client_count.store(count, std::memory_order_relaxed);
  parts.events.clients_changed(count);
}

void Serving::withdraw(bool force, Completion& completion) {
  if (step_ == Step::kWaiting) stop_waiting();
  if (step_ == Step::kOff) {
    completion.done(completion, 0, "");
  } else if (step_ != Step::kOn) {
    completion.done(completion, EAGAIN, "another change of the role is under way");
  } else if (parts_.server.client_count() > 0 && !force) {
    completion.done(completion, EBUSY, "clients are attached");
  } else {
    completion_ = &completion;
    flush_wanted_ = true;
    step_ = Step::kStopping;
    parts_.server.stop(server_stopped, this);
  }
}

// Nobody was served yet.
void Serving::stop_waiting() {
  BM_ASSERT(step_ == Step::kWaiting);
  parts_.io.shutdown(listener_);
  parts_.io.close_socket(listener_);
  listener_ = io::kNoSocket;
  step_ = Step::kOff;
  finish(ECANCELED, "the device is closed");
}

void Serving::abandon() {
  if (step_ == Step::kWaiting) {
    stop_waiting();
  } else if (step_ == Step::kOn) {
    flush_wanted_ = false;
    step_ = Step::kStopping;
    parts_.server.stop(server_stopped, this);
  }
}

void Serving::server_stopped(void* owner) {
  auto& serving = *static_cast<Serving*>(owner);
  BM_ASSERT(serving.step_ == Step::kStopping);
  clients_changed(owner);
  // With no copy in reach there is none to flush, and whoever has the data flushes it itself.
  if (!serving.flush_wanted_ || !serving.parts_.access.usable()) {
    serving.end(0, "");
    return;
  }
  serving.step_ = Step::kFlushing;
  serving.parts_.flushes.submit_last(serving.flush_);
}

void Serving::flushed(nbd::Piece& piece, int error) {
  auto& serving = *static_cast<Serving*>(piece.owner);
  BM_ASSERT(serving.step_ == Step::kFlushing);
  serving.end(error, "the copies cannot be flushed");
}

// Nobody is served any more: a copy that peers stood in for is one like any other.
void Serving::end(int error, const char* what) {
  BM_ASSERT(step_ == Step::kStopping || step_ == Step::kFlushing);
  step_ = Step::kOff;
  if (parts_.attach.held()) parts_.attach.release();
  finish(error, what);
}

void Serving::finish(int error, const char* what) {
  if (completion_ == nullptr) return;
  Completion& completion = *completion_;
  completion_ = nullptr;
  completion.done(completion, error, what);
}

}  // namespace blkmirror::engine
