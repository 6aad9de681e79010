// See resync_target.h.
#include "engine/resync_target.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/endian.h"
#include "engine/parts.h"

namespace blkmirror::engine {

namespace {

// How much is copied between two checkpoints.
constexpr uint64_t kCheckpointBytes = 256u << 20;

}  // namespace

ResyncTarget::ResyncTarget(Parts& parts) : parts_(parts) {}

ResyncTarget::~ResyncTarget() {
  for (const std::unique_ptr<Copy>& copy : copies_) {
    if (copy != nullptr) parts_.io.disarm(copy->rate_timer);
  }
}

void ResyncTarget::begin(Peer& peer) {
  BM_ASSERT(peer.resync == ResyncRole::kTarget);
  std::unique_ptr<Copy>& place = copies_[peer.slot];
  if (place == nullptr) {
    place = std::make_unique<Copy>();
    place->target = this;
    place->flush.owner = place->bitmap.owner = place->superblock.owner = place.get();
    place->flush.done = flushed;
    place->rate_timer.fire = rate_allows;
    place->bitmap.done = bitmap_saved;
    place->superblock.done = superblock_saved;
    for (Request& request : place->requests) {
      request.copy = place.get();
      request.range.owner = request.heat.owner = &request;
      request.read.owner = request.write.owner = &request;
      request.read.done = compared;
      request.range.granted = range_granted;
      request.heat.done = extent_hot;
      request.write.done = written;
    }
  }
  Copy& copy = *place;
  BM_ASSERT(!copy.active);
  BM_ASSERT(copy.in_flight == 0);
  copy.peer = &peer;
  copy.active = true;
  copy.ending = false;
  copy.incarnation = peer.link->incarnation();
  copy.cursor = copy.since_checkpoint = 0;
  follow_rates(copy);
  copy.pace.begin();
  active_count_ += 1;
  union_known_ = true;
  parts_.stats.peers[peer.slot].resync_total_bytes.store(
      parts_.bitmap->out_of_sync_bytes(peer.slot), std::memory_order_relaxed);
}

void ResyncTarget::pause(uint32_t slot, bool paused) {
  BM_ASSERT(slot < limits::kSlots);
  paused_ = paused ? paused_ | (1u << slot) : paused_ & ~(1u << slot);
}

void ResyncTarget::follow_rates(Copy& copy) {
  const Options& options = parts_.options;
  copy.pace.set_rates(options.resync_most_per_second, options.resync_least_per_second);
}

void ResyncTarget::options_changed() {
  for (const std::unique_ptr<Copy>& copy : copies_) {
    if (copy != nullptr) follow_rates(*copy);
  }
}

void ResyncTarget::peer_lost(uint32_t slot) {
  Copy* copy = copies_[slot].get();
  if (copy == nullptr || !copy->active) return;
  copy->active = false;
  active_count_ -= 1;
  parts_.io.disarm(copy->rate_timer);
  // What has arrived is still written; what has not never will be.
  for (Request& request : copy->requests) {
    if (request.used && !request.arrived) release(request);
  }
}

void ResyncTarget::application_request() {
  if (active_count_ == 0) return;
  for (const std::unique_ptr<Copy>& copy : copies_) {
    if (copy != nullptr && copy->active) copy->pace.application_request(parts_.io.now_us());
  }
}

Peer* ResyncTarget::source() {
  for (uint32_t rest = parts_.peers.receiving(); rest != 0; rest &= rest - 1) {
    Peer& peer = parts_.peers.at(std::countr_zero(rest));
    if (peer.resync == ResyncRole::kTarget) return &peer;
  }
  return nullptr;
}

uint32_t ResyncTarget::sources() {
  uint32_t slots = 0;
  for (uint32_t rest = parts_.peers.receiving(); rest != 0; rest &= rest - 1) {
    const Peer& peer = parts_.peers.at(std::countr_zero(rest));
    if (peer.resync == ResyncRole::kTarget) slots |= peer.bit();
  }
  return slots;
}

bool ResyncTarget::idle() const {
  for (const std::unique_ptr<Copy>& copy : copies_) {
    if (copy != nullptr && (copy->in_flight > 0 || copy->end_pending)) return false;
  }
  return true;
}

bool ResyncTarget::writes_for_lost() const {
  for (const std::unique_ptr<Copy>& copy : copies_) {
    if (copy != nullptr && !copy->active && copy->in_flight > 0) return true;
  }
  return false;
}

void ResyncTarget::batch_end() {
  if (active_count_ == 0) return;
  for (const std::unique_ptr<Copy>& copy : copies_) {
    if (copy != nullptr && copy->active && !copy->ending) ask(*copy);
  }
}

void ResyncTarget::ask(Copy& copy) {
  if ((paused_ & copy.peer->bit()) != 0 || parts_.failed) return;
  const uint64_t now_us = parts_.io.now_us();
  if (!copy.pace.may_ask(now_us, copy.in_flight)) return await_rate(copy, now_us);
  while (copy.pace.may_ask(now_us, copy.in_flight) && ask_next(copy)) {
  }
  await_rate(copy, now_us);
  if (copy.in_flight > 0) return;
  // The pass is over and nothing is in flight: another pass, or the end.
  const bool more = parts_.bitmap->next(copy.peer->slot, 0, limits::kBlockBytes).has_value();
  if (!more) {
    if (!copy.end_pending) begin_end(copy);
  } else if (copy.cursor != 0) {
    copy.cursor = 0;
    ask(copy);
  }
}

// What ends the wait otherwise, a block that is written, makes a batch of its own.
void ResyncTarget::await_rate(Copy& copy, uint64_t now_us) {
  BM_ASSERT(copy.active);
  const uint64_t until_us = copy.pace.rate_allows_us(now_us, copy.in_flight);
  io::Timer& timer = copy.rate_timer;
  if (timer.link.linked() && timer.deadline_us == until_us) return;
  parts_.io.disarm(timer);
  if (until_us != 0) parts_.io.arm(timer, until_us);
}

// The batch that this began asks (batch_end).
void ResyncTarget::rate_allows(io::Timer& timer) { BM_ASSERT(!timer.link.linked()); }

bool ResyncTarget::ask_next(Copy& copy) {
  peer::Link& link = *copy.peer->link;
  if (link.space() < 2 * peer::kFrameHeaderBytes) return false;
  const auto range = parts_.bitmap->next(copy.peer->slot, copy.cursor, limits::kResyncBytes);
  if (!range.has_value()) return false;
  Request* free = nullptr;
  for (Request& request : copy.requests) {
    if (!request.used) free = &request;
  }
  BM_ASSERT(free != nullptr);
  copy.cursor = range->offset + range->length;
  copy.sequence += 1;
  copy.in_flight += 1;
  free->used = true;
  free->arrived = free->comparing = false;
  free->sequence = copy.sequence;
  free->sent_us = parts_.io.now_us();
  copy.pace.asked(free->sent_us, range->length);
  free->range.offset = range->offset;
  free->range.length = range->length;
  peer::FrameHeader header;
  header.type = peer::FrameType::kResyncRequest;
  header.flags = copy.peer->compare ? peer::kFlagCompare : 0;
  header.sequence = free->sequence;
  header.offset = range->offset;
  header.payload_bytes = 8;
  std::byte payload[8] = {};
  store_be32(payload, range->length);
  link.push(header, payload);
  return true;
}

ResyncTarget::Request* ResyncTarget::find(Copy& copy, uint64_t sequence) {
  for (Request& request : copy.requests) {
    if (request.used && !request.arrived && request.sequence == sequence) return &request;
  }
  return nullptr;
}

const char* ResyncTarget::on_data(Peer& peer, const peer::FrameHeader& header, Buffer& buffer) {
  Copy* copy = copies_[peer.slot].get();
  if (copy == nullptr || !copy->active) return "a resync block without a resync";
  Request* request = find(*copy, header.sequence);
  if (request == nullptr || request->range.offset != header.offset ||
      request->range.length != header.payload_bytes) {
    return "a resync block that was not asked for";
  }
  if (drop_if_busy(*request)) {
    BufferPool::release(buffer);
    return nullptr;
  }
  take(*request, buffer);
  return nullptr;
}

// A digest under the source's range lock: what is here is read under ours, and compared.
const char* ResyncTarget::on_sum(Peer& peer, const peer::FrameHeader& header,
                                 std::span<const std::byte> payload) {
  Copy* copy = copies_[peer.slot].get();
  if (copy == nullptr || !copy->active) return "a digest without a resync";
  Request* request = find(*copy, header.sequence);
  if (request == nullptr || !peer.compare || request->range.offset != header.offset) {
    return "a digest that was not asked for";
  }
  if (drop_if_busy(*request)) return nullptr;
  Buffer* buffer = parts_.peer_pool.try_get(request->range.length);
  if (buffer == nullptr) {
    want(*request);
    return nullptr;
  }
  request->comparing = true;
  request->seed = load_be64(payload.data());
  std::memcpy(request->digest.data(), payload.data() + 8, kDigestBytes);
  take(*request, *buffer);
  return nullptr;
}

// A write overlaps, or the disk has failed: the block is asked for again in the next pass.
bool ResyncTarget::drop_if_busy(Request& request) {
  const RangeEntry& range = request.range;
  if (!parts_.failed && !parts_.ranges.busy(range.offset, range.length)) return false;
  Copy& copy = *request.copy;
  const uint64_t sequence = request.sequence;
  release(request);
  report(copy, sequence, peer::FrameType::kResyncBusy);
  return true;
}

void ResyncTarget::take(Request& request, Buffer& buffer) {
  BM_ASSERT(!request.arrived);
  request.arrived = true;
  request.buffer = &buffer;
  request.copy->peer->applying += 1;
  const bool held = parts_.ranges.acquire(request.range);
  BM_ASSERT(held);
  const uint64_t extent = request.range.offset / limits::kExtentBytes;
  if (parts_.log->hot(extent)) {
    launch(request);
  } else {
    parts_.log->heat(extent, request.heat);
  }
}

void ResyncTarget::range_granted(RangeEntry& range) {
  // acquire() is called only for ranges that are free.
  BM_ASSERT(range.held);
  BM_ASSERT(false);
}

void ResyncTarget::extent_hot(meta::Waiter& waiter, int error) {
  Request& request = *static_cast<Request*>(waiter.owner);
  ResyncTarget& target = *request.copy->target;
  if (error != 0) target.parts_.fail_disk("writing the activity log", error);
  if (target.parts_.failed) {
    target.parts_.ranges.release(request.range);
    target.release(request);
  } else {
    target.launch(request);
  }
}

void ResyncTarget::launch(Request& request) {
  BM_ASSERT(request.buffer != nullptr);
  BM_ASSERT(parts_.log->hot(request.range.offset / limits::kExtentBytes));
  parts_.cooler.touch(request.range.offset / limits::kExtentBytes);
  const RangeEntry& range = request.range;
  if (request.comparing) {
    parts_.disk.read(range.offset, request.buffer->data, range.length, request.read);
  } else {
    parts_.mark_copied(*request.copy->peer, range.offset, range.length);
    parts_.disk.write(range.offset, request.buffer->data, range.length, false, request.write);
  }
}

// What cannot be read differs: writing it may help.
void ResyncTarget::compared(disk::Job& job, int error) {
  Request& request = *static_cast<Request*>(job.owner);
  ResyncTarget& target = *request.copy->target;
  BM_ASSERT(request.comparing);
  request.comparing = false;
  if (!target.still_there(*request.copy)) {
    target.parts_.ranges.release(request.range);
    target.release(request);
    return;
  }
  const uint32_t length = request.range.length;
  if (error == 0 && digest_of(request.seed, request.buffer->data, length) == request.digest) {
    target.finish_block(request);
  } else {
    target.want(request);
  }
}

// Nothing is held while the block is on its way: as before any block of a resync.
void ResyncTarget::want(Request& request) {
  BM_ASSERT(request.used);
  BM_ASSERT(!request.comparing);
  Copy& copy = *request.copy;
  if (request.arrived) {
    parts_.ranges.release(request.range);
    BufferPool::release(*request.buffer);
    request.buffer = nullptr;
    request.arrived = false;
    parts_.peers.finish_applying(*copy.peer);
  }
  request.sent_us = parts_.io.now_us();
  report(copy, request.sequence, peer::FrameType::kResyncWanted);
}

void ResyncTarget::written(disk::Job& job, int error) {
  Request& request = *static_cast<Request*>(job.owner);
  ResyncTarget& target = *request.copy->target;
  if (error != 0) {
    target.parts_.fail_disk("writing a resync block to the backing disk", error);
  }
  target.finish_block(request);
}

// What the source has is here.
void ResyncTarget::finish_block(Request& request) {
  Copy& copy = *request.copy;
  const RangeEntry& range = request.range;
  BM_ASSERT(range.held);
  if (still_there(copy)) {
    parts_.bitmap->clear(copy.peer->slot, range.offset, range.length);
    copy.since_checkpoint += range.length;
    const uint64_t now_us = parts_.io.now_us();
    copy.pace.block_written(now_us, now_us - request.sent_us);
    parts_.stats.peers[copy.peer->slot].resynced_bytes.fetch_add(range.length,
                                                                 std::memory_order_relaxed);
    report(copy, request.sequence, peer::FrameType::kResyncWritten);
  }
  parts_.ranges.release(request.range);
  release(request);
  if (copy.since_checkpoint >= kCheckpointBytes &&
      parts_.cooler.start_checkpoint(copy.peer->slot)) {
    copy.since_checkpoint = 0;
  }
}

bool ResyncTarget::still_there(const Copy& copy) const {
  if (!copy.active || parts_.failed) return false;
  return copy.peer->link->up() && copy.peer->link->incarnation() == copy.incarnation;
}

void ResyncTarget::report(Copy& copy, uint64_t sequence, peer::FrameType type) {
  peer::FrameHeader header;
  header.type = type;
  header.sequence = sequence;
  copy.peer->push(header);
}

void ResyncTarget::release(Request& request) {
  BM_ASSERT(request.used);
  Copy& copy = *request.copy;
  BM_ASSERT(copy.in_flight > 0);
  if (request.buffer != nullptr) BufferPool::release(*request.buffer);
  request.buffer = nullptr;
  request.used = false;
  copy.in_flight -= 1;
  if (request.arrived) parts_.peers.finish_applying(*copy.peer);
}

// The source could not give the block now.
const char* ResyncTarget::on_busy(Peer& peer, uint64_t sequence) {
  Copy* copy = copies_[peer.slot].get();
  Request* request = copy != nullptr && copy->active ? find(*copy, sequence) : nullptr;
  if (request == nullptr) return "an answer to a resync request that was not made";
  release(*request);
  return nullptr;
}

uint64_t ResyncTarget::oldest_us(uint32_t slot) {
  Copy* copy = copies_[slot].get();
  if (copy == nullptr || !copy->active) return 0;
  uint64_t oldest = 0;
  for (const Request& request : copy->requests) {
    if (!request.used || request.arrived) continue;
    if (oldest == 0 || request.sent_us < oldest) oldest = request.sent_us;
  }
  return oldest;
}

void ResyncTarget::begin_end(Copy& copy) {
  BM_ASSERT(copy.in_flight == 0);
  copy.ending = copy.end_pending = true;
  copy.peer->applying += 1;  // the next connection waits for it
  parts_.disk.flush(copy.flush);
}

void ResyncTarget::finish_end(Copy& copy) {
  BM_ASSERT(copy.end_pending);
  copy.end_pending = false;
  parts_.peers.finish_applying(*copy.peer);
}

void ResyncTarget::flushed(disk::Job& job, int error) {
  Copy& copy = *static_cast<Copy*>(job.owner);
  Parts& parts = copy.target->parts_;
  if (error != 0) parts.fail_disk("flushing the backing disk", error);
  if (!copy.target->still_there(copy)) {
    copy.target->finish_end(copy);
    return;
  }
  parts.bitmap->write_back(copy.bitmap);
}

void ResyncTarget::bitmap_saved(meta::Waiter& waiter, int error) {
  Copy& copy = *static_cast<Copy*>(waiter.owner);
  Parts& parts = copy.target->parts_;
  if (error != 0) parts.fail_disk("writing the bitmap", error);
  if (!copy.target->still_there(copy)) {
    copy.target->finish_end(copy);
    return;
  }
  parts.adopt_generation_of(*copy.peer);
  parts.super->commit(copy.superblock);
}

void ResyncTarget::superblock_saved(meta::Waiter& waiter, int error) {
  Copy& copy = *static_cast<Copy*>(waiter.owner);
  Parts& parts = copy.target->parts_;
  if (error != 0) parts.fail_disk("writing the superblock", error);
  if (error == 0) parts.metadata_changed();
  Peer& peer = *copy.peer;
  if (copy.target->still_there(copy) && peer.current_uuid != parts.superblock().current_uuid) {
    // The source began another generation meanwhile.
    parts.adopt_generation_of(peer);
    parts.super->commit(copy.superblock);
    return;
  }
  copy.target->finish_end(copy);
  peer::FrameHeader header;
  header.type = peer::FrameType::kResyncDone;
  header.offset = parts.superblock().current_uuid;
  if (!copy.target->still_there(copy) || !peer.push(header)) {
    // The source does not know, but this copy has all that it had then.
    if (error == 0 && !parts.failed) parts.events.resync_finished(peer.slot, copy.incarnation);
    return;
  }
  copy.active = false;
  copy.target->active_count_ -= 1;
  copy.target->union_known_ = false;
  peer.resync = ResyncRole::kNone;
  parts.stats.peers[peer.slot].resync_total_bytes.store(0, std::memory_order_relaxed);
  parts.events.resync_finished(peer.slot, copy.incarnation);
  parts.gate.recheck();
}

}  // namespace blkmirror::engine
