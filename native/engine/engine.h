// One copy of one resource: the parts of the data plane put together on one thread.
//
// Life: construct, attach(), then links, serve() and withdraw() in any order, close() (a clean
// end) and, when closed() says so, destruction. Every call is made on the thread that owns the
// Io. Commands complete later or inside the call. Buffers are allocated by init().
// One write's path: nbd/session → engine/write_path → meta/activity_log →
// {disk/backing_disk ‖ peer/link} → engine/ack_tracker → nbd/reply.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "engine/interface.h"
#include "io/io.h"

namespace blkmirror::engine {

struct Parts;

class Engine final : public io::BatchHandler {
 public:
  Engine(io::Io& io, EventSink& events, Statistics& statistics);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // ENOMEM when the buffers cannot be had. Call before attach().
  Status init();
  // Reads and checks the metadata, turns what was hot at a crash into bits, raises the
  // generation. ENODATA, ENOTSUP, EBADMSG, ESTALE (metadata of another resource or node),
  // ENOSPC (the disk is smaller than agreed), EINVAL, EIO; on error only close() may follow.
  void attach(const AttachSpec& spec, Completion& completion);

  // Also again, after a detach: then EBUSY unless detached() (the disks stay the caller's), EINVAL
  // for the metadata of another copy; on error it stays detached.
  void detach(bool force, Completion& completion);
  // The disks are closed, and the kernel holds no operation of them.
  bool detached() const;

  // Takes the socket over. An older link of the slot is closed first, and everything wholly
  // received on it applied, before this completes.
  void connect_link(uint32_t slot, io::SocketId socket, uint32_t incarnation,
                    Completion& completion);
  void close_link(uint32_t slot, uint32_t incarnation);
  void send_control(uint32_t slot, uint32_t incarnation, std::span<const std::byte> text);
  // ESTALE when another incarnation is there.
  void establish(uint32_t slot, uint32_t incarnation, const EstablishPlan& plan,
                 Completion& completion);
  void pause_resync(uint32_t slot, bool paused);

  // Takes the listening socket over. Completes when writes received from peers are finished
  // and clients are accepted.
  void serve(io::SocketId listener, const std::string& export_name, Completion& completion);
  // While serving: the kernel's connection, in the transmission phase; taken over also when this
  // fails. `unread`: received on it already.
  void serve_kernel(io::SocketId socket, std::span<const std::byte> unread, Completion& completion);
  // Answers what the kernel has sent, as far as it was read, and hands its connection over.
  void park_kernel(ParkedKernel& parked, Completion& completion);
  // EBUSY while clients are attached, unless `force`. Flushes every copy.
  void withdraw(bool force, Completion& completion);

  // ESTALE when if_current_uuid does not match. Durable when it completes with 0.
  void update_metadata(const MetadataPatch& patch, Completion& completion);
  void supply_uuids(std::span<const uint64_t> uuids);
  void set_options(const Options& options);
  // Whether the loss of a peer that received writes suspends I/O until resume().
  void suspend_on_loss(bool on);
  // That loss is decided; ignored unless `incarnation` is the connection that was lost last.
  void resume(uint32_t slot, uint32_t incarnation);
  void resume_all();

  // Closes links and clients; flushes, writes the bitmap, cools every extent, clears the in-use
  // flag (when attached and the disk has not failed); closes the disks.
  void close(Completion& completion);
  bool closed() const;
  // The Io crashed, in a simulated world, and this goes with it: only destruction may follow.
  void abandon();
  // From attach() on: what the copy knows of itself, in memory.
  const meta::Superblock& superblock() const;
  // Pages and superblock slots that were torn or corrupt at attach().
  uint64_t damaged_metadata_pages() const;

  // Runs on wake(): the owner's mailbox.
  void set_wake_hook(void (*hook)(void* owner), void* owner);

  void batch_end() override;
  void woken() override;
  bool crowded() const override;

 private:
  std::unique_ptr<Parts> parts_;
  void (*wake_hook_)(void* owner) = nullptr;
  void* wake_owner_ = nullptr;
};

}  // namespace blkmirror::engine
