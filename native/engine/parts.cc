// See parts.h: what concerns several parts at once.
#include "engine/parts.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>

#include "base/assert.h"

namespace blkmirror::engine {

namespace {

// The timer that looks for silent peers beats between these.
constexpr uint64_t kLeastTickUs = 10000;
constexpr uint64_t kMostTickUs = 250000;

}  // namespace

Parts::Parts(io::Io& io_in, EventSink& events_in, Statistics& stats_in)
    : io(io_in),
      events(events_in),
      stats(stats_in),
      zeroes(limits::kPieceBytes / limits::kPageBytes),
      disk_io(io_in, client_pool, peer_pool),
      disk(disk_io, zeroes.page(0).data()),
      peers(*this),
      access(*this),
      suspension(*this),
      gate(*this),
      writes(*this),
      flushes(*this),
      reads(*this),
      receive(*this),
      exchange(*this),
      source(*this),
      target(*this),
      cooler(*this),
      updates(*this),
      attach(*this),
      serving(*this),
      shutdown(*this),
      server(io_in, client_pool, *this) {
  timer_.owner = this;
  timer_.fire = timer_fired;
  arm_timer();
}

Parts::~Parts() { io.disarm(timer_); }

void Parts::arm_timer() {
  const uint64_t interval = std::clamp(options.timeout_us / 20, kLeastTickUs, kMostTickUs);
  io.arm(timer_, io.now_us() + interval);
}

void Parts::timer_fired(io::Timer& timer) {
  auto& parts = *static_cast<Parts*>(timer.owner);
  parts.tick();
  parts.arm_timer();
}

void Parts::tick() {
  stats.heartbeat.fetch_add(1, std::memory_order_relaxed);
  if (!is_attached) return;
  check_disk_time();
  peers.tick(io.now_us());
  cooler.tick();
}

void Parts::submit(nbd::Piece& piece) {
  BM_ASSERT(is_attached);
  if (suspension.hold(piece)) return;
  switch (piece.kind) {
    case nbd::PieceKind::kRead:
      reads.submit(piece);
      return;
    case nbd::PieceKind::kWrite:
    case nbd::PieceKind::kZero:
      writes.submit(piece);
      return;
    case nbd::PieceKind::kFlush:
      flushes.submit(piece);
      return;
  }
}

void Parts::refuse(nbd::Piece& piece) {
  BM_ASSERT(piece.done != nullptr);
  refused_.push_back(piece);
}

void Parts::answer_refused() {
  while (nbd::Piece* piece = refused_.pop_front()) piece->done(*piece, EIO);
}

void Parts::fail_disk(const char* what, int error) {
  BM_ASSERT(error != 0);
  if (failed) return;
  // Of a disk that answers, reads in flight may end by themselves.
  lose_disk(error == ETIMEDOUT);
  disk_erred = true;
  events.disk_failed(what, error);
}

void Parts::lose_disk(bool reads) {
  BM_ASSERT(!failed);
  const bool serves = serving.active() && !shutdown.begun();
  gate.disk_lost();
  attach.lose();
  failed = true;
  disk_io.let_go(reads);
  if (serves) {
    peers.lose_all_but(access.holders(), "the backing disk is gone");
  } else {
    peers.lose_all("the backing disk is gone");
  }
  gate.recheck();
}

void Parts::check_disk_time() {
  const uint64_t oldest_us = disk_io.oldest_us();
  if (options.disk_timeout_us == 0 || oldest_us == 0 || failed) return;
  if (io.now_us() <= oldest_us + options.disk_timeout_us) return;
  fail_disk("the backing disk did not answer within disk-timeout-ms", ETIMEDOUT);
}

void Parts::detach(bool force, Completion& completion) {
  if (detaching_ != nullptr || shutdown.begun() || attach.running()) {
    completion.done(completion, EBUSY, "the disk is attached or detached already now");
    return;
  }
  if (force && !failed) lose_disk(true);
  if (disks_closed_ || force) {
    completion.done(completion, 0, "");
    return;
  }
  detaching_ = &completion;
  leaving_ = !failed;
  if (leaving_) leave_disk();
}

// In protocols A and B only this disk may have what was acknowledged last. It is not let go before
// the peers have that, and meanwhile nothing is acknowledged that they have not.
void Parts::leave_disk() {
  BM_ASSERT(detaching_ != nullptr);
  const bool refused = shutdown.begun() || (serving.active() && access.holders() == 0);
  if (!failed && !refused && acks.runs_ahead()) return;
  leaving_ = false;
  if (failed) return;
  if (!refused) return lose_disk(false);
  Completion& completion = *std::exchange(detaching_, nullptr);
  completion.done(completion, EBUSY, "no peer has the data");
}

void Parts::close_lost_disks() {
  if (!failed || disks_closed_ || shutdown.begun() || attach.running()) return;
  if (!disk_io.idle() || disk.in_flight() > 0 || cooler.running()) return;
  if (!super->idle() || !log->idle() || !bitmap->idle()) return;
  disk.close();
  if (!internal) io.close_disk(meta_disk);
  disks_closed_ = true;
  if (detaching_ == nullptr) return;
  Completion& completion = *std::exchange(detaching_, nullptr);
  completion.done(completion, 0, "");
}

void Parts::mark_in_sync(uint32_t slot) {
  meta::Superblock& state = superblock();
  meta::PeerRecord& record = state.peers[slot];
  record.bitmap_uuid = 0;
  record.flags &= ~(meta::kPeerFullSync | meta::kPeerOutdated | meta::kPeerPromotedApart);
  if (peers.at(slot).crash_flags == 0) record.flags &= ~meta::kPeerMayLack;
  if (is_compared_with_all_but(slot)) state.flags &= ~meta::kCrashFlags;
}

// Where this copy has parted from a third, the bits towards that are all that has changed since:
// what a peer sends has.
void Parts::mark_parted(const Peer& sender, uint64_t offset, uint32_t length) {
  uint32_t slots = 0;
  for (uint32_t rest = peers.configured() & ~sender.bit(); rest != 0; rest &= rest - 1) {
    const uint32_t slot = static_cast<uint32_t>(std::countr_zero(rest));
    if (superblock().peers[slot].bitmap_uuid != 0) slots |= 1u << slot;
  }
  if (slots != 0) bitmap->set(slots, offset, length);
}

// What the source lost in a crash a third copy may have, and this one may have had, too. What a
// third lost that filled this one before, the source may have.
void Parts::mark_copied(const Peer& source, uint64_t offset, uint32_t length) {
  if (source.crash_flags == 0) mark_parted(source, offset, length);
  uint32_t lacking = 0;
  for (uint32_t rest = peers.configured() & ~source.bit(); rest != 0; rest &= rest - 1) {
    const uint32_t slot = static_cast<uint32_t>(std::countr_zero(rest));
    const bool may_lack = (superblock().peers[slot].flags & meta::kPeerMayLack) != 0;
    if (source.crash_flags != 0 || may_lack) lacking |= 1u << slot;
  }
  if (lacking != 0) bitmap->set(lacking, offset, length);
}

// Nothing is out of sync with the other copies: none has what a crash may have cost this one.
bool Parts::is_compared_with_all_but(uint32_t slot) const {
  for (uint32_t rest = peers.configured() & ~(1u << slot); rest != 0; rest &= rest - 1) {
    if (bitmap->out_of_sync_bytes(uint32_t(std::countr_zero(rest))) > 0) return false;
  }
  return true;
}

void Parts::adopt_generation_of(const Peer& peer) {
  meta::Superblock& state = superblock();
  BM_ASSERT(peer.current_uuid != 0);
  // A third copy may have stayed at a generation that this one was never at.
  if (state.current_uuid != peer.current_uuid) meta::take_over_history(state, peer.past);
  state.current_uuid = peer.current_uuid;
  state.flags = (state.flags & ~meta::kCrashFlags) | peer.crash_flags;
  mark_in_sync(peer.slot);
  for (meta::PeerRecord& record : state.peers) {
    record.flags &= ~(meta::kPeerFills | meta::kPeerMayLack);
  }
  if (peer.crash_flags != 0) state.peers[peer.slot].flags |= meta::kPeerMayLack;
  state.flags |= meta::kConsistent | meta::kWasUpToDate;
  state.flags &= ~meta::kOutdated;
}

void Parts::announce_checkpoint(uint32_t slot) {
  Peer& peer = peers.at(slot);
  const bool copying = peer.link->up() && peer.resync == ResyncRole::kTarget;
  if (!copying || peer.link->space() < peer::kFrameHeaderBytes) return;
  peer::FrameHeader header;
  header.type = peer::FrameType::kCheckpoint;
  peer.link->push(header);
}

void Parts::end_epoch() {
  for (uint32_t rest = peers.receiving(); rest != 0; rest &= rest - 1) {
    peers.at(std::countr_zero(rest)).link->end_epoch();
  }
}

void Parts::count_write(uint32_t bytes) {
  stats.writes.store(stats.writes.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  stats.written_bytes.store(stats.written_bytes.load(std::memory_order_relaxed) + bytes,
                            std::memory_order_relaxed);
}

void Parts::count_read(uint32_t bytes) {
  stats.read_bytes.store(stats.read_bytes.load(std::memory_order_relaxed) + bytes,
                         std::memory_order_relaxed);
}

// What was queued in this batch goes out together: the order lets what one part queues for the
// next still leave in this batch.
void Parts::batch_end() {
  disk_io.deliver();
  suspension.batch_end();
  answer_refused();
  access.batch_end();
  if (is_attached) {
    target.batch_end();
    exchange.batch_end();
  }
  if (log != nullptr) log->batch_end();
  attach.batch_end();
  if (leaving_) leave_disk();
  if (is_attached) close_lost_disks();
  peers.batch_end();
  serving.batch_end();
  server.batch_end();
  shutdown.batch_end();
  publish_statistics();
}

bool Parts::crowded() const {
  constexpr uint32_t kFew = 4;
  if (!source.idle() || target.copying()) return true;
  return writes.in_flight() + reads.in_flight() + receive.in_flight() > kFew;
}

void Parts::publish_statistics() {
  if (!is_attached) return;
  constexpr auto kRelaxed = std::memory_order_relaxed;
  stats.suspended.store(gate.closed() || !access.usable() || suspension.active(), kRelaxed);
  stats.exposed_uuid.store(gate.exposed_uuid(), kRelaxed);
  stats.in_flight.store(writes.in_flight() + flushes.in_flight(), kRelaxed);
  stats.hot_extents.store(log->hot_count(), kRelaxed);
  stats.metadata_writes.store(log->page_writes() + bitmap->page_writes() + super->page_writes(),
                              kRelaxed);
  for (uint32_t rest = peers.configured(); rest != 0; rest &= rest - 1) {
    const uint32_t slot = static_cast<uint32_t>(std::countr_zero(rest));
    const Peer& peer = peers.at(slot);
    PeerStatistics& out = stats.peers[slot];
    out.receiving.store(peer.receiving, kRelaxed);
    out.out_of_sync_bytes.store(bitmap->out_of_sync_bytes(slot), kRelaxed);
    out.sent_bytes.store(peer.link->sent_bytes(), kRelaxed);
    out.received_bytes.store(peer.link->received_bytes(), kRelaxed);
  }
}

}  // namespace blkmirror::engine
