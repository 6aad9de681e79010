// See peers.h.
#include "engine/peers.h"

#include <bit>
#include <cerrno>

#include "base/assert.h"
#include "base/endian.h"
#include "engine/parts.h"

namespace blkmirror::engine {

namespace {

Loss loss_of(peer::LinkLoss loss) {
  switch (loss) {
    case peer::LinkLoss::kTimeout:
      return Loss::kTimeout;
    case peer::LinkLoss::kBrokenPipe:
      return Loss::kBrokenPipe;
    case peer::LinkLoss::kNetworkFailure:
      return Loss::kNetworkFailure;
    case peer::LinkLoss::kProtocolError:
      return Loss::kProtocolError;
  }
  return Loss::kProtocolError;
}

// Room in the send queue that control frames leave to data frames.
constexpr uint32_t kControlReserveBytes = 192u << 10;

}  // namespace

void Peer::move_to(uint64_t uuid) {
  BM_ASSERT(uuid != 0);
  if (current_uuid != uuid) {
    meta::push_history(past, current_uuid);
    crash_flags = 0;
  }
  current_uuid = uuid;
}

bool Peer::push(const peer::FrameHeader& header, std::span<const std::byte> payload) {
  BM_ASSERT(header.payload_bytes == payload.size());
  if (!link->up()) return false;
  if (link->space() < peer::kFrameHeaderBytes + payload.size()) {
    link->lose(peer::LinkLoss::kTimeout, "the peer does not take what is sent");
    return false;
  }
  link->push(header, payload);
  return true;
}

void Peers::configure(uint32_t slot, const std::string& name) {
  BM_ASSERT(slot < limits::kSlots);
  BM_ASSERT(!name.empty());
  Peer& peer = peers_[slot];
  peer.slot = slot;
  peer.name = name;
  peer.configured = true;
  peer.link = std::make_unique<peer::Link>(parts_.io, parts_.peer_pool, *this, slot);
  configured_ |= peer.bit();
}

Peer& Peers::at(uint32_t slot) {
  BM_ASSERT(slot < limits::kSlots);
  BM_ASSERT(peers_[slot].configured);
  return peers_[slot];
}

Peer* Peers::find(std::string_view name) {
  for (Peer& peer : peers_) {
    if (peer.configured && peer.name == name) return &peer;
  }
  return nullptr;
}

void Peers::set_receiving(Peer& peer, bool receiving) {
  mark_receiving(peer, receiving);
  parts_.gate.recheck();
}

void Peers::mark_receiving(Peer& peer, bool receiving) {
  peer.receiving = receiving;
  const bool takes_writes = receiving && !peer.diskless;
  receiving_ = takes_writes ? receiving_ | peer.bit() : receiving_ & ~peer.bit();
  BM_ASSERT((receiving_ & ~configured_) == 0);
}

void Peers::note_diskless(Peer& peer) {
  BM_ASSERT(peer.receiving);
  if (peer.diskless) return;
  peer.diskless = true;
  set_receiving(peer, true);
  BM_ASSERT((receiving_ & peer.bit()) == 0);
}

void Peers::connect(uint32_t slot, io::SocketId socket, uint32_t incarnation,
                    Completion& completion) {
  Peer& peer = at(slot);
  if (parts_.shutdown.begun()) {
    parts_.io.shutdown(socket);
    parts_.io.close_socket(socket);
    completion.done(completion, ECANCELED, "the device goes down");
    return;
  }
  if (peer.connecting != nullptr) {
    Completion& older = *peer.connecting;
    parts_.io.shutdown(peer.next_socket);
    parts_.io.close_socket(peer.next_socket);
    older.done(older, ECANCELED, "a newer connection took its place");
  }
  peer.next_socket = socket;
  peer.next_incarnation = incarnation;
  peer.connecting = &completion;
  peer.link->lose(peer::LinkLoss::kBrokenPipe, "a newer connection took its place");
}

// Opens the next connection once nothing of the old one is being applied any more (rule 9).
void Peers::open_next(Peer& peer) {
  if (peer.connecting == nullptr || !peer.link->idle() || peer.applying > 0) return;
  Completion& completion = *peer.connecting;
  peer.connecting = nullptr;
  const io::SocketId socket = peer.next_socket;
  peer.next_socket = io::kNoSocket;
  if (parts_.failed && !parts_.serving.active()) {
    parts_.io.shutdown(socket);
    parts_.io.close_socket(socket);
    completion.done(completion, EIO, "the backing disk failed");
    return;
  }
  BM_ASSERT(!peer.receiving);
  BM_ASSERT(peer.resync == ResyncRole::kNone);
  peer.link->open(socket, peer.next_incarnation, parts_.options.timeout_us);
  completion.done(completion, 0, "");
}

void Peers::close_link(uint32_t slot, uint32_t incarnation) {
  Peer& peer = at(slot);
  if (peer.link->incarnation() != incarnation) return;
  peer.link->lose(peer::LinkLoss::kBrokenPipe, "closed here");
}

void Peers::send_control(uint32_t slot, uint32_t incarnation, std::span<const std::byte> text) {
  Peer& peer = at(slot);
  BM_ASSERT(text.size() >= 2 && text.size() <= limits::kControlBytes);
  if (!peer.link->up() || peer.link->incarnation() != incarnation) return;
  if (peer.link->space() < kControlReserveBytes + text.size()) {
    peer.link->lose(peer::LinkLoss::kTimeout, "the peer does not take what is sent");
    return;
  }
  peer::FrameHeader header;
  header.type = peer::FrameType::kControl;
  header.payload_bytes = static_cast<uint32_t>(text.size());
  peer.link->push(header, text);
}

// Between two admissions: from here on the peer receives every write (rule 5).
void Peers::establish(uint32_t slot, uint32_t incarnation, const EstablishPlan& plan,
                      Completion& completion) {
  Peer& peer = at(slot);
  if (!peer.link->up() || peer.link->incarnation() != incarnation) {
    completion.done(completion, ESTALE, "the connection is gone");
    return;
  }
  if (peer.receiving) {
    completion.done(completion, EALREADY, "the connection is established already");
    return;
  }
  if (!still_holds(peer, plan)) {
    completion.done(completion, ESTALE, "the copy changed during the handshake");
    return;
  }
  // What it has seen this copy will have: of two copies the one that saw more counts on.
  if (plan.resync != ResyncRole::kSource && !parts_.acks.follow(plan.peer_write_sequence)) {
    completion.done(completion, EPROTO, "a write sequence far ahead of all others");
    return;
  }
  parts_.suspension.peer_returned(slot);
  if (parts_.attach.held()) parts_.attach.release();
  if (parts_.failed) parts_.gate.served_by(plan.peer_current_uuid);
  if (plan.resync == ResyncRole::kTarget) {
    parts_.target.forget_union();
    parts_.gate.source_back();
  }
  peer.current_uuid = plan.peer_current_uuid;
  peer.crash_flags = plan.peer_crash_flags;
  peer.past = {};
  for (auto uuid = plan.peer_history.rbegin(); uuid != plan.peer_history.rend(); ++uuid) {
    meta::push_history(peer.past, *uuid);
  }
  peer.resync = plan.resync;
  peer.compare = plan.compare && plan.resync == ResyncRole::kTarget;
  peer.diskless = plan.peer_diskless;
  peer.may_share = true;
  mark_receiving(peer, true);
  begin_feeding(peer, plan.resync != ResyncRole::kNone, completion);
  // Answers that waited may admit writes: not before the bitmap's exchange has begun.
  parts_.gate.recheck();
}

void Peers::begin_feeding(Peer& peer, bool resync, Completion& completion) {
  BM_ASSERT(peer.receiving);
  if (resync) parts_.exchange.begin(peer);
  if (resync || parts_.failed || peer.diskless) {
    // Nothing is in sync with a copy that is not there.
    completion.done(completion, 0, "");
  } else {
    parts_.updates.mark_in_sync(peer.slot, completion);
  }
  if (peer.link->up()) peer.link->allow_data();
}

// A write admitted after the verdict has set bits, or begins a generation that the peer does
// not know: without a resync neither would ever reach it.
bool Peers::still_holds(const Peer& peer, const EstablishPlan& plan) const {
  if (parts_.gate.rotating()) return false;
  if (parts_.failed) {
    return plan.resync == ResyncRole::kNone && !plan.peer_diskless &&
           parts_.gate.exposes(plan.peer_current_uuid) &&
           parts_.bitmap->out_of_sync_bytes(peer.slot) == 0;
  }
  if (parts_.attach.held()) {
    return plan.resync == ResyncRole::kTarget && parts_.gate.exposes(plan.peer_current_uuid);
  }
  if (parts_.access.behind() && !parts_.gate.exposes(plan.peer_current_uuid)) return false;
  if (plan.peer_diskless) return plan.resync == ResyncRole::kNone && !parts_.serving.active();
  if (plan.resync != ResyncRole::kNone) return true;
  if (plan.peer_current_uuid != parts_.superblock().current_uuid) return false;
  return parts_.bitmap->out_of_sync_bytes(peer.slot) == 0;
}

void Peers::set_timeout(uint64_t timeout_us) {
  for (Peer& peer : peers_) {
    if (peer.configured) peer.link->set_timeout(timeout_us);
  }
}

void Peers::lose_all(const char* detail) {
  for (Peer& peer : peers_) {
    if (peer.configured) peer.link->lose(peer::LinkLoss::kNetworkFailure, detail);
  }
}

void Peers::lose_all_but(uint32_t slots, const char* detail) {
  BM_ASSERT((slots & ~receiving_) == 0);
  for (Peer& peer : peers_) {
    if (!peer.configured || (slots & peer.bit()) != 0) continue;
    peer.link->lose(peer::LinkLoss::kNetworkFailure, detail);
  }
}

void Peers::finish_applying(Peer& peer) {
  BM_ASSERT(peer.applying > 0);
  peer.applying -= 1;
}

bool Peers::all_idle() const {
  for (const Peer& peer : peers_) {
    if (!peer.configured) continue;
    if (!peer.link->idle() || peer.connecting != nullptr || peer.applying > 0) return false;
  }
  return true;
}

void Peers::tick(uint64_t now_us) {
  for (Peer& peer : peers_) {
    if (!peer.configured || !peer.link->up()) continue;
    uint64_t oldest = parts_.acks.oldest_us(peer.slot);
    for (const uint64_t other :
         {parts_.reads.oldest_us(peer.slot), parts_.target.oldest_us(peer.slot)}) {
      if (other != 0 && (oldest == 0 || other < oldest)) oldest = other;
    }
    peer.link->tick(now_us, oldest);
  }
}

void Peers::batch_end() {
  for (uint32_t rest = configured_; rest != 0; rest &= rest - 1) {
    Peer& peer = peers_[std::countr_zero(rest)];
    peer.link->batch_end();
    if (peer.connecting != nullptr) open_next(peer);
  }
}

void Peers::on_frame(peer::Link& link, const peer::FrameHeader& header,
                     std::span<const std::byte> payload) {
  Peer& peer = at(link.slot());
  const char* wrong = dispatch(peer, header, payload);
  if (wrong != nullptr) link.lose(peer::LinkLoss::kProtocolError, wrong);
}

const char* Peers::dispatch(Peer& peer, const peer::FrameHeader& header,
                            std::span<const std::byte> payload) {
  switch (header.type) {
    case peer::FrameType::kControl:
      parts_.events.control(peer.slot, peer.link->incarnation(), payload);
      return nullptr;
    case peer::FrameType::kZeroes:
      return parts_.receive.on_zeroes(peer, header, payload);
    case peer::FrameType::kFlush:
      return parts_.receive.on_flush(peer, header);
    case peer::FrameType::kNewUuid:
      return parts_.receive.on_new_uuid(peer, header, payload);
    case peer::FrameType::kWritten:
      return on_written(peer, payload);
    case peer::FrameType::kReceived:
      return on_received(peer, payload);
    case peer::FrameType::kBitmapPage:
      return parts_.exchange.on_page(peer, header, payload);
    case peer::FrameType::kBitmapEnd:
      return parts_.exchange.on_end(peer, header.offset);
    case peer::FrameType::kBitmapDurable:
      return parts_.exchange.on_durable(peer);
    case peer::FrameType::kResyncRequest:
      return parts_.source.on_request(peer, header, payload);
    case peer::FrameType::kReadRequest:
      return parts_.source.on_read_request(peer, header, payload);
    case peer::FrameType::kResyncWritten:
      return parts_.source.on_written(peer, header.sequence);
    case peer::FrameType::kResyncBusy:
      return peer.resync == ResyncRole::kTarget ? parts_.target.on_busy(peer, header.sequence)
                                                : parts_.source.on_busy(peer, header.sequence);
    case peer::FrameType::kResyncSum:
      return parts_.target.on_sum(peer, header, payload);
    case peer::FrameType::kResyncWanted:
      return parts_.source.on_wanted(peer, header.sequence);
    case peer::FrameType::kCheckpoint:
      return parts_.source.on_checkpoint();
    case peer::FrameType::kResyncDone:
      return parts_.source.on_done(peer, header);
    case peer::FrameType::kReadFailed:
      return parts_.reads.on_failed(peer, header, load_be32(payload.data()))
                 ? nullptr
                 : "an answer to a read that was not asked for";
    case peer::FrameType::kData:
    case peer::FrameType::kResyncData:
    case peer::FrameType::kReadData:
    case peer::FrameType::kPing:
    case peer::FrameType::kPong:
      break;
  }
  return "a frame that does not belong here";
}

void Peers::on_bulk(peer::Link& link, const peer::FrameHeader& header, Buffer& buffer) {
  Peer& peer = at(link.slot());
  const char* wrong = nullptr;
  if (header.type == peer::FrameType::kData) {
    wrong = parts_.receive.on_data(peer, header, buffer);
  } else if (header.type == peer::FrameType::kResyncData) {
    wrong = parts_.target.on_data(peer, header, buffer);
  } else {
    const bool asked = parts_.reads.on_data(peer, header, buffer);
    BufferPool::release(buffer);
    if (!asked) link.lose(peer::LinkLoss::kProtocolError, "an answer that was not asked for");
    return;
  }
  if (wrong == nullptr) return;
  BufferPool::release(buffer);
  link.lose(peer::LinkLoss::kProtocolError, wrong);
}

const char* Peers::on_written(Peer& peer, std::span<const std::byte> payload) {
  BM_ASSERT(payload.size() % 8 == 0);
  for (size_t at = 0; at < payload.size(); at += 8) {
    if (!parts_.acks.written(peer.slot, load_be64(payload.data() + at))) {
      return "a report of a write that was not sent";
    }
  }
  return nullptr;
}

const char* Peers::on_received(Peer& peer, std::span<const std::byte> payload) {
  BM_ASSERT(payload.size() % 8 == 0);
  if (parts_.protocol != Protocol::kB) return "a report that only protocol B has";
  for (size_t at = 0; at < payload.size(); at += 8) {
    if (!parts_.acks.received(peer.slot, load_be64(payload.data() + at))) {
      return "a report of a write that was not sent";
    }
  }
  return nullptr;
}

void Peers::on_sent(peer::Link& link, uint64_t sequence) {
  BM_ASSERT(parts_.protocol == Protocol::kA);
  parts_.acks.sent(link.slot(), sequence);
}

// Bits first, then whatever waited for the peer (rule 1).
void Peers::on_lost(peer::Link& link, peer::LinkLoss loss, const char* detail) {
  Peer& peer = at(link.slot());
  const bool source = peer.receiving && peer.resync == ResyncRole::kTarget;
  if (source && !parts_.failed && parts_.access.behind()) parts_.gate.source_lost(peer);
  peer.resync = ResyncRole::kNone;
  peer.diskless = false;
  parts_.stats.peers[peer.slot].resync_total_bytes.store(0, std::memory_order_relaxed);
  if (peer.receiving) {
    parts_.suspension.peer_lost(peer.slot, link.incarnation());
    parts_.gate.generation_may_spread();
    set_receiving(peer, false);
  }
  parts_.acks.peer_lost(peer.slot);
  parts_.reads.peer_lost(peer.slot);
  parts_.exchange.peer_lost(peer.slot);
  parts_.source.peer_lost(peer.slot);
  parts_.target.peer_lost(peer.slot);
  parts_.events.link_closed(peer.slot, link.incarnation(), loss_of(loss), detail);
}

void Peers::on_closed(peer::Link& link) { BM_ASSERT(link.idle()); }

}  // namespace blkmirror::engine
