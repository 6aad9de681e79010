// Promotion and demotion as the data plane sees them: when clients may come, and the flush of
// every copy when they have gone.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "engine/interface.h"
#include "nbd/backend.h"

namespace blkmirror::engine {

struct Parts;

class Serving {
 public:
  explicit Serving(Parts& parts);

  void serve(io::SocketId listener, const std::string& export_name, Completion& completion);
  void withdraw(bool force, Completion& completion);
  // The end of the kernel's connection, which is closed when this fails: EBUSY (nothing is served,
  // or the kernel is already).
  void serve_kernel(io::SocketId socket, std::span<const std::byte> unread, Completion& completion);
  // Ends the service of the kernel between two requests. ENOTCONN: it has ended by itself.
  void park_kernel(ParkedKernel& parked, Completion& completion);
  // Ends clients without a flush, for a close. No effect when nothing is served.
  void abandon();
  bool idle() const { return step_ == Step::kOff; }
  // Clients may be writing: only this node's writes count.
  bool on() const { return step_ == Step::kOn; }
  // From the first client to the last flush.
  bool active() const { return step_ != Step::kOff && step_ != Step::kWaiting; }
  void batch_end();

 private:
  enum class Step : uint8_t { kOff, kWaiting, kOn, kStopping, kFlushing };

  static void clients_changed(void* owner);
  static void server_stopped(void* owner);
  static void flushed(nbd::Piece& piece, int error);
  static void kernel_parked(void* owner, io::SocketId socket, std::span<const std::byte> unread);
  void start();
  void stop_waiting();
  void end(int error, const char* what);
  void finish(int error, const char* what);

  Parts& parts_;
  Step step_ = Step::kOff;
  bool flush_wanted_ = false;
  io::SocketId listener_ = io::kNoSocket;
  std::string export_name_;
  Completion* completion_ = nullptr;
  ParkedKernel* parked_ = nullptr;
  Completion* park_completion_ = nullptr;
  nbd::Piece flush_;
};

}  // namespace blkmirror::engine
