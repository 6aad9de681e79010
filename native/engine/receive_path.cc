// See receive_path.h.
#include "engine/receive_path.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "engine/parts.h"

namespace blkmirror::engine {

// A peer's writes and flushes are as many as ours may be, and a new generation.
static_assert(limits::kFramesInFlight > limits::kWritesInFlight + limits::kFlushesInFlight);

ReceivePath::ReceivePath(Parts& parts)
    : parts_(parts), items_(limits::kFramesInFlight, this, prepare) {}

void ReceivePath::prepare(void* owner, Item& item) {
  item.path = static_cast<ReceivePath*>(owner);
  item.range.owner = item.waiter.owner = item.job.owner = &item;
  item.range.granted = range_granted;
}

const char* ReceivePath::refusal(const Peer& peer, uint64_t sequence) {
  if (!peer.receiving) return "a write before the connection was established";
  if (parts_.failed) return "a write for a copy without a backing disk";
  if (parts_.serving.on()) return "a write while this node is Primary";
  return parts_.acks.follow(sequence) ? nullptr : "a sequence number far ahead of all others";
}

const char* ReceivePath::check_range(uint64_t offset, uint64_t length) const {
  const uint64_t size = parts_.disk.size_bytes();
  const uint32_t block = parts_.superblock().block;
  if (length == 0 || offset % block != 0 || length % block != 0) {
    return "a request that is not aligned to the device's blocks";
  }
  if (offset >= size || length > size - offset) return "a request beyond the device's end";
  if (offset / limits::kExtentBytes != (offset + length - 1) / limits::kExtentBytes) {
    return "a request across an extent's boundary";
  }
  return nullptr;
}

ReceivePath::Item* ReceivePath::take(Peer& peer, const peer::FrameHeader& header) {
  Item* item = items_.try_take();
  if (item == nullptr) return nullptr;
  item->peer = &peer;
  item->incarnation = peer.link->incarnation();
  item->header = header;
  item->buffer = nullptr;
  item->length = 0;
  item->turn = false;
  peer.applying += 1;
  return item;
}

const char* ReceivePath::on_data(Peer& peer, const peer::FrameHeader& header, Buffer& buffer) {
  if (const char* wrong = refusal(peer, header.sequence)) return wrong;
  if (const char* wrong = check_range(header.offset, header.payload_bytes)) return wrong;
  Item* item = take(peer, header);
  if (item == nullptr) return "more writes in flight than the protocol allows";
  item->buffer = &buffer;
  item->length = header.payload_bytes;
  begin_write(*item);
  return nullptr;
}

const char* ReceivePath::on_zeroes(Peer& peer, const peer::FrameHeader& header,
                                   std::span<const std::byte> payload) {
  BM_ASSERT(payload.size() == 8);
  const uint32_t length = load_be32(payload.data());
  if (const char* wrong = refusal(peer, header.sequence)) return wrong;
  if (const char* wrong = check_range(header.offset, length)) return wrong;
  Item* item = take(peer, header);
  if (item == nullptr) return "more writes in flight than the protocol allows";
  item->length = length;
  begin_write(*item);
  return nullptr;
}

void ReceivePath::begin_write(Item& item) {
  parts_.target.application_request();
  if ((item.header.flags & peer::kFlagDiskless) != 0) {
    parts_.peers.note_diskless(*item.peer);
    parts_.bitmap->set(item.peer->bit(), item.header.offset, item.length);
  }
  parts_.mark_parted(*item.peer, item.header.offset, item.length);
  // A resync block of ours that the peer has not written yet must not hold up its own write:
  // the peer drops the block when it arrives (it overlaps a write in flight there).
  parts_.source.yield(*item.peer, item.header.offset, item.length);
  item.range.offset = item.header.offset;
  item.range.length = item.length;
  parts_.ranges.acquire(item.range);
  arrange(item);
}

// Wholly received: reported in protocol B, and put in its place behind what came before.
void ReceivePath::arrange(Item& item) {
  BM_ASSERT(!item.turn);
  if (parts_.protocol == Protocol::kC) {
    item.turn = true;
    start(item);
    return;
  }
  if (parts_.protocol == Protocol::kB) item.peer->link->report_received(item.header.sequence);
  Order& order = orders_[item.peer->slot];
  order.later.push_back(item);
  advance(order);
}

// Gives everyone a turn who need not wait for what is running.
void ReceivePath::advance(Order& order) {
  if (order.advancing) return;  // the outer call goes on
  order.advancing = true;
  for (Item* item = order.later.front(); item != nullptr; item = order.later.front()) {
    const bool flush = item->header.type == peer::FrameType::kFlush;
    const bool epoch = (item->header.flags & peer::kFlagEpoch) != 0;
    if (order.running > 0 && (order.barrier || flush || epoch)) break;
    order.later.remove(*item);
    order.running += 1;
    order.barrier = flush || (item->header.flags & peer::kFlagDurable) != 0;
    item->turn = true;
    start(*item);
  }
  order.advancing = false;
}

void ReceivePath::start(Item& item) {
  BM_ASSERT(item.turn);
  if (item.header.type == peer::FrameType::kFlush) {
    flush(item);
  } else if (item.range.held) {
    heat(item);
  }
}

void ReceivePath::range_granted(RangeEntry& range) {
  auto& item = *static_cast<Item*>(range.owner);
  if (item.turn) item.path->heat(item);
}

void ReceivePath::heat(Item& item) {
  BM_ASSERT(item.range.held);
  const uint64_t extent = item.header.offset / limits::kExtentBytes;
  if (parts_.failed) {
    parts_.ranges.release(item.range);
    finish(item, false);
  } else if (parts_.log->hot(extent)) {
    launch(item);
  } else {
    item.waiter.done = extent_hot;
    parts_.log->heat(extent, item.waiter);
  }
}

void ReceivePath::extent_hot(meta::Waiter& waiter, int error) {
  auto& item = *static_cast<Item*>(waiter.owner);
  ReceivePath& path = *item.path;
  if (error != 0) path.parts_.fail_disk("writing the activity log", error);
  if (path.parts_.failed) {
    path.parts_.ranges.release(item.range);
    path.finish(item, false);
  } else {
    path.launch(item);
  }
}

void ReceivePath::launch(Item& item) {
  const peer::FrameHeader& header = item.header;
  const bool durable = (header.flags & peer::kFlagDurable) != 0;
  BM_ASSERT(parts_.log->hot(header.offset / limits::kExtentBytes));
  parts_.cooler.touch(header.offset / limits::kExtentBytes);
  item.job.done = written;
  if (item.buffer != nullptr) {
    parts_.disk.write(header.offset, item.buffer->data, item.length, durable, item.job);
  } else {
    const bool may_unmap = (header.flags & peer::kFlagMayUnmap) != 0;
    parts_.disk.zero(header.offset, item.length, may_unmap, durable, item.job);
  }
}

void ReceivePath::written(disk::Job& job, int error) {
  auto& item = *static_cast<Item*>(job.owner);
  ReceivePath& path = *item.path;
  path.parts_.ranges.release(item.range);
  if (error != 0) path.parts_.fail_disk("writing what a peer sent to the backing disk", error);
  if (error == 0) path.parts_.stats.written_bytes.fetch_add(item.length, std::memory_order_relaxed);
  path.finish(item, error == 0);
}

const char* ReceivePath::on_flush(Peer& peer, const peer::FrameHeader& header) {
  if (const char* wrong = refusal(peer, header.sequence)) return wrong;
  Item* item = take(peer, header);
  if (item == nullptr) return "more requests in flight than the protocol allows";
  arrange(*item);
  return nullptr;
}

void ReceivePath::flush(Item& item) {
  if (parts_.failed) {
    finish(item, false);
    return;
  }
  item.job.done = flushed;
  parts_.disk.flush(item.job);
}

void ReceivePath::flushed(disk::Job& job, int error) {
  auto& item = *static_cast<Item*>(job.owner);
  if (error != 0) item.path->parts_.fail_disk("flushing the backing disk", error);
  item.path->finish(item, error == 0);
}

const char* ReceivePath::on_new_uuid(Peer& peer, const peer::FrameHeader& header,
                                     std::span<const std::byte> payload) {
  if (const char* wrong = refusal(peer, header.sequence)) return wrong;
  if (header.offset == 0 || header.offset == meta::kJustCreatedUuid) {
    return "a generation without an identifier";
  }
  Item* item = take(peer, header);
  if (item == nullptr) return "more requests in flight than the protocol allows";
  peer.move_to(header.offset);
  if (peer.resync == ResyncRole::kTarget || parts_.failed) {
    // Taken over at the end of the resync.
    finish(*item, !parts_.failed);
    return nullptr;
  }
  item->missing = mark_missing(peer, payload);
  item->waiter.done = bits_durable;
  parts_.bitmap->write_back(item->waiter);
  return nullptr;
}

// The named nodes miss writes from here on, and this copy does not know which: everything is out
// of sync towards them until the Primary says otherwise.
uint32_t ReceivePath::mark_missing(const Peer& peer, std::span<const std::byte> names) {
  BM_ASSERT(names.size() % peer::kNameBytes == 0);
  uint32_t missing = 0;
  for (size_t at = 0; at < names.size(); at += peer::kNameBytes) {
    const auto* text = reinterpret_cast<const char*>(names.data() + at);
    const std::string_view name(text, strnlen(text, peer::kNameBytes));
    Peer* other = parts_.peers.find(name);
    if (other == nullptr) continue;
    missing |= other->bit();
    // What the sender's own copy lacks, its frames tell one by one.
    if (other != &peer) parts_.bitmap->set_all(other->slot);
  }
  return missing;
}

// Bits before the superblock that speaks of them.
void ReceivePath::bits_durable(meta::Waiter& waiter, int error) {
  auto& item = *static_cast<Item*>(waiter.owner);
  Parts& parts = item.path->parts_;
  if (error != 0) parts.fail_disk("writing the bitmap", error);
  if (parts.failed) {
    item.path->finish(item, false);
    return;
  }
  meta::Superblock& superblock = parts.superblock();
  for (uint32_t rest = item.missing & ~item.peer->bit(); rest != 0; rest &= rest - 1) {
    superblock.peers[std::countr_zero(rest)].flags |= meta::kPeerFullSync;
  }
  meta::rotate_uuid(superblock, item.missing, item.header.offset);
  parts.gate.recheck();
  waiter.done = generation_durable;
  parts.super->commit(waiter);
}

void ReceivePath::generation_durable(meta::Waiter& waiter, int error) {
  auto& item = *static_cast<Item*>(waiter.owner);
  Parts& parts = item.path->parts_;
  if (error != 0) parts.fail_disk("writing a new generation to the superblock", error);
  if (error == 0) {
    parts.metadata_changed();
    parts.events.generation_changed();
  }
  item.path->finish(item, error == 0);
}

void ReceivePath::finish(Item& item, bool report) {
  Peer& peer = *item.peer;
  if (item.buffer != nullptr) BufferPool::release(*item.buffer);
  item.buffer = nullptr;
  const bool same = peer.link->up() && peer.link->incarnation() == item.incarnation;
  if (report && same) peer.link->report_written(item.header.sequence);
  const bool ordered = item.turn && parts_.protocol != Protocol::kC;
  items_.give_back(item);
  parts_.peers.finish_applying(peer);
  if (!ordered) return;
  Order& order = orders_[peer.slot];
  BM_ASSERT(order.running > 0);
  order.running -= 1;
  advance(order);
}

}  // namespace blkmirror::engine
