// The parts of one engine and what they need of each other. Everything here belongs to the one
// data-plane thread; parts find each other through Parts and never own each other.
#pragma once

#include <cstdint>
#include <memory>

#include "base/aligned_pages.h"
#include "base/buffer_pool.h"
#include "disk/backing_disk.h"
#include "engine/ack_tracker.h"
#include "engine/attach.h"
#include "engine/bitmap_exchange.h"
#include "engine/cooler.h"
#include "engine/data_access.h"
#include "engine/flush_path.h"
#include "engine/generation_gate.h"
#include "engine/interface.h"
#include "engine/metadata_update.h"
#include "engine/peers.h"
#include "engine/range_lock.h"
#include "engine/read_path.h"
#include "engine/receive_path.h"
#include "engine/resync_source.h"
#include "engine/resync_target.h"
#include "engine/serving.h"
#include "engine/shutdown.h"
#include "engine/suspension.h"
#include "engine/write_path.h"
#include "io/detachable_io.h"
#include "io/io.h"
#include "meta/activity_log.h"
#include "meta/bitmap.h"
#include "meta/superblock_store.h"
#include "nbd/server.h"

namespace blkmirror::engine {

struct Parts final : public nbd::Backend {
  Parts(io::Io& io, EventSink& events, Statistics& stats);
  ~Parts();

  meta::Superblock& superblock() { return super->current(); }
  const meta::Superblock& superblock() const { return super->current(); }
  bool attached() const { return is_attached; }

  // A client's piece, by kind, to its path.
  void submit(nbd::Piece& piece) override;
  // Answers a piece with EIO at the end of this batch.
  void refuse(nbd::Piece& piece);

  // The copy is detached: nothing more is submitted to the disk. A Primary goes on with the peers
  // that are in sync; every other link ends.
  void fail_disk(const char* what, int error);
  // The same by the administrator's wish. EBUSY when a Primary would be without data, unless
  // `force`; completes when the disks are closed, with `force` at once.
  void detach(bool force, Completion& completion);
  // Of what is admitted next, where the own copy counts.
  Protocol next_protocol() const { return leaving_ ? Protocol::kC : protocol; }
  // After a detach: nothing uses the disks any more, and they are closed.
  bool disks_closed() const { return disks_closed_; }
  void disks_opened() { disks_closed_ = false; }
  // Tells the owner that the superblock as it is now is durable.
  void metadata_changed() { events.metadata_changed(superblock()); }
  // In memory: this copy and the peer's share the current generation (the caller commits).
  void mark_in_sync(uint32_t slot);
  void mark_parted(const Peer& sender, uint64_t offset, uint32_t length);
  // As that, for a block that a resync brings.
  void mark_copied(const Peer& source, uint64_t offset, uint32_t length);
  bool is_compared_with_all_but(uint32_t slot) const;
  // In memory: this copy now is what the source's is (the caller commits).
  void adopt_generation_of(const Peer& source);
  // A resync's source hears that what was copied so far is on stable storage here.
  void announce_checkpoint(uint32_t slot);
  void end_epoch();

  void count_write(uint32_t bytes);
  void count_read(uint32_t bytes);

  void tick();
  void batch_end();
  // More requests are under way than a client has that waits for each, or a resync is.
  bool crowded() const;
  void publish_statistics();

  io::Io& io;
  EventSink& events;
  Statistics& stats;
  bool is_attached = false;
  bool failed = false;
  bool disk_erred = false;  // failed by itself, not by the administrator's wish
  Options options;
  Protocol protocol = Protocol::kC;
  io::DiskId meta_disk = io::kNoDisk;
  bool internal = true;

  AlignedPages zeroes;
  BufferPool client_pool;
  BufferPool peer_pool;
  io::DetachableIo disk_io;  // for what is on the disks; the rest uses `io`
  disk::BackingDisk disk;
  std::unique_ptr<meta::SuperblockStore> super;  // these three from attach() on
  std::unique_ptr<meta::ActivityLog> log;
  std::unique_ptr<meta::Bitmap> bitmap;

  RangeLock ranges;
  AckTracker acks;
  Peers peers;
  DataAccess access;
  Suspension suspension;
  GenerationGate gate;
  WritePath writes;
  FlushPath flushes;
  ReadPath reads;
  ReceivePath receive;
  BitmapExchange exchange;
  ResyncSource source;
  ResyncTarget target;
  Cooler cooler;
  MetadataUpdate updates;
  Attach attach;
  Serving serving;
  Shutdown shutdown;
  nbd::Server server;

 private:
  static void timer_fired(io::Timer& timer);
  void arm_timer();
  void answer_refused();
  void lose_disk(bool reads);
  void check_disk_time();
  void leave_disk();
  void close_lost_disks();

  List<nbd::Piece, &nbd::Piece::link> refused_;
  io::Timer timer_;
  bool disks_closed_ = false;
  bool leaving_ = false;  // detached as soon as the peers have what is acknowledged
  Completion* detaching_ = nullptr;
};

}  // namespace blkmirror::engine
