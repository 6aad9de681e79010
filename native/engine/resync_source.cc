// See resync_source.h.
#include "engine/resync_source.h"

#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "base/digest.h"
#include "base/endian.h"
#include "engine/parts.h"

namespace blkmirror::engine {

ResyncSource::ResyncSource(Parts& parts) : parts_(parts), jobs_(kJobs, this, prepare) {
  for (Ending& ending : endings_) {
    ending.source = this;
    ending.bitmap.owner = ending.superblock.owner = &ending;
    ending.bitmap.done = bitmap_saved;
    ending.superblock.done = superblock_saved;
  }
  checkpoint_.owner = this;
  checkpoint_.done = checkpoint_saved;
}

void ResyncSource::prepare(void* owner, Job& job) {
  job.source = static_cast<ResyncSource*>(owner);
  job.range.owner = job.read.owner = &job;
  job.range.granted = range_granted;
  // What the target has not written yet would make it drop the block, again and again.
  job.range.behind_settled = true;
  job.read.done = read_done;
  job.waiter.job = &job;
  job.waiter.ready = buffer_ready;
}

void ResyncSource::begin(Peer& peer) {
  BM_ASSERT(peer.resync == ResyncRole::kSource);
  BM_ASSERT(peer.receiving);
  parts_.stats.peers[peer.slot].resync_total_bytes.store(
      parts_.bitmap->out_of_sync_bytes(peer.slot), std::memory_order_relaxed);
}

const char* ResyncSource::on_request(Peer& peer, const peer::FrameHeader& header,
                                     std::span<const std::byte> payload) {
  const bool running = peer.resync == ResyncRole::kSource && !parts_.exchange.active(peer.slot);
  if (!running) return "a resync request without a resync";
  return start(peer, header, payload, true);
}

const char* ResyncSource::on_read_request(Peer& peer, const peer::FrameHeader& header,
                                          std::span<const std::byte> payload) {
  if (!peer.receiving) return "a read before the connection was established";
  return start(peer, header, payload, false);
}

const char* ResyncSource::start(Peer& peer, const peer::FrameHeader& header,
                                std::span<const std::byte> payload, bool resync) {
  const uint32_t length = load_be32(payload.data());
  const uint64_t size = parts_.disk.size_bytes();
  const uint32_t block = parts_.superblock().block;
  const uint64_t last = header.offset + length - 1;
  if (length == 0 || length > limits::kPieceBytes || length % block != 0 ||
      header.offset % block != 0 || header.offset >= size || length > size - header.offset ||
      header.offset / limits::kExtentBytes != last / limits::kExtentBytes) {
    return "a request for an impossible range";
  }
  Job* job = jobs_.try_take();
  if (job == nullptr) return "more requests in flight than the protocol allows";
  active_.push_back(*job);
  job->peer = &peer;
  job->resync = resync;
  job->cancelled = job->yielded = false;
  job->compare = resync && (header.flags & peer::kFlagCompare) != 0;
  job->sequence = header.sequence;
  job->range.offset = header.offset;
  job->range.length = length;
  job->buffer = nullptr;
  job->step = Step::kLine;
  peer.applying += 1;
  line_.push_back(*job);
  serve_line();
  return nullptr;
}

void ResyncSource::serve_line() {
  if (serving_line_) return;  // the outer call goes on
  serving_line_ = true;
  while (holders_ < kHolders) {
    Job* job = line_.pop_front();
    if (job == nullptr) break;
    holders_ += 1;
    take_buffer(*job);
  }
  serving_line_ = false;
}

void ResyncSource::take_buffer(Job& job) {
  BM_ASSERT(job.step == Step::kLine);
  BM_ASSERT(job.buffer == nullptr);
  job.buffer = parts_.peer_pool.try_get(job.range.length);
  if (job.buffer != nullptr) {
    lock(job);
  } else {
    job.step = Step::kBuffer;
    job.waiter.length = job.range.length;
    parts_.peer_pool.wait(job.waiter);
  }
}

void ResyncSource::buffer_ready(BufferWaiter& waiter) {
  Job& job = *static_cast<Job::JobWaiter&>(waiter).job;
  BM_ASSERT(job.step == Step::kBuffer);
  job.buffer = job.source->parts_.peer_pool.try_get(waiter.length);
  BM_ASSERT(job.buffer != nullptr);
  job.source->lock(job);
}

void ResyncSource::lock(Job& job) {
  job.step = Step::kLock;
  if (job.cancelled) {
    finish(job);
  } else if (parts_.ranges.acquire(job.range)) {
    read(job);
  }
}

void ResyncSource::range_granted(RangeEntry& range) {
  Job& job = *static_cast<Job*>(range.owner);
  job.source->read(job);
}

void ResyncSource::read(Job& job) {
  BM_ASSERT(job.step == Step::kLock);
  BM_ASSERT(job.range.held);
  if (parts_.failed || job.cancelled) {
    finish(job);
    return;
  }
  job.step = Step::kRead;
  parts_.disk.read(job.range.offset, job.buffer->data, job.range.length, job.read);
}

void ResyncSource::read_done(disk::Job& read, int error) {
  Job& job = *static_cast<Job*>(read.owner);
  BM_ASSERT(job.step == Step::kRead);
  if (job.cancelled) {
    job.source->finish(job);
  } else if (job.yielded) {
    job.source->send_busy(job);
    job.source->finish(job);
  } else {
    job.source->answer(job, error);
  }
}

void ResyncSource::answer(Job& job, int error) {
  peer::Link& link = *job.peer->link;
  peer::FrameHeader header;
  header.sequence = job.sequence;
  header.offset = job.range.offset;
  if (link.space() < 2 * peer::kFrameHeaderBytes) {
    link.lose(peer::LinkLoss::kTimeout, "the peer does not take what is sent");
    finish(job);
    return;
  }
  if (error == 0) {
    if (job.compare) {
      send_sum(job);
    } else {
      send_data(job);
    }
    job.step = Step::kSent;
    if (!job.resync) finish(job);
  } else if (job.resync) {
    link.lose(peer::LinkLoss::kNetworkFailure, "the backing disk cannot be read for the resync");
    finish(job);
  } else {
    header.type = peer::FrameType::kReadFailed;
    header.payload_bytes = 8;
    std::byte payload[8] = {};
    store_be32(payload, static_cast<uint32_t>(EIO));
    link.push(header, payload);
    finish(job);
  }
}

void ResyncSource::send_data(Job& job) {
  BM_ASSERT(job.range.held);
  peer::FrameHeader header;
  header.type = job.resync ? peer::FrameType::kResyncData : peer::FrameType::kReadData;
  header.sequence = job.sequence;
  header.offset = job.range.offset;
  header.payload_bytes = job.range.length;
  job.peer->link->push_bulk(header, *job.buffer);
}

// The range stays locked and the buffer kept until the target has compared (rule 12).
void ResyncSource::send_sum(Job& job) {
  BM_ASSERT(job.resync);
  BM_ASSERT(job.range.held);
  const uint64_t seed = parts_.superblock().current_uuid;
  const Digest digest = digest_of(seed, job.buffer->data, job.range.length);
  peer::FrameHeader header;
  header.type = peer::FrameType::kResyncSum;
  header.sequence = job.sequence;
  header.offset = job.range.offset;
  std::byte payload[8 + kDigestBytes];
  header.payload_bytes = sizeof payload;
  store_be64(payload, seed);
  std::memcpy(payload + 8, digest.data(), digest.size());
  job.peer->link->push(header, payload);
}

// May lose the link.
void ResyncSource::send_busy(Job& job) {
  peer::FrameHeader header;
  header.type = peer::FrameType::kResyncBusy;
  header.sequence = job.sequence;
  job.peer->push(header);
}

void ResyncSource::finish(Job& job) {
  BM_ASSERT(job.step != Step::kFree);
  Peer& peer = *job.peer;
  job.step = Step::kFree;
  active_.remove(job);
  if (job.range.link.linked()) parts_.ranges.release(job.range);
  BufferPool::release(*job.buffer);
  job.buffer = nullptr;
  BM_ASSERT(holders_ > 0);
  holders_ -= 1;
  jobs_.give_back(job);
  parts_.peers.finish_applying(peer);
  serve_line();
}

ResyncSource::Job* ResyncSource::find(Peer& peer, uint64_t sequence) {
  for (Job* job = active_.front(); job != nullptr; job = active_.next(*job)) {
    const bool matches = job->peer == &peer && job->sequence == sequence && job->resync;
    if (job->step == Step::kSent && matches) return job;
  }
  return nullptr;
}

const char* ResyncSource::on_written(Peer& peer, uint64_t sequence) {
  Job* job = find(peer, sequence);
  if (job == nullptr) return "a report of a resync block that was not sent";
  // After a yield the range may hold newer data: the bits stay, and the target asks again.
  if (!job->yielded) {
    parts_.bitmap->clear(peer.slot, job->range.offset, job->range.length);
    parts_.stats.peers[peer.slot].resynced_bytes.fetch_add(job->range.length,
                                                           std::memory_order_relaxed);
  }
  finish(*job);
  return nullptr;
}

const char* ResyncSource::on_wanted(Peer& peer, uint64_t sequence) {
  Job* job = find(peer, sequence);
  if (job == nullptr || !job->compare) return "a report of a digest that was not sent";
  job->compare = false;
  if (job->yielded) {
    // The target drops the block in any case.
    send_busy(*job);
    finish(*job);
  } else if (peer.link->space() < 2 * peer::kFrameHeaderBytes) {
    peer.link->lose(peer::LinkLoss::kTimeout, "the peer does not take what is sent");
  } else {
    send_data(*job);
  }
  return nullptr;
}

const char* ResyncSource::on_busy(Peer& peer, uint64_t sequence) {
  Job* job = find(peer, sequence);
  if (job == nullptr) return "a report of a resync block that was not sent";
  finish(*job);
  return nullptr;
}

void ResyncSource::yield(Peer& peer, uint64_t offset, uint32_t length) {
  Job* next = nullptr;
  for (Job* job = active_.front(); job != nullptr; job = next) {
    next = active_.next(*job);
    if (job->peer != &peer || !job->resync || !job->range.link.linked()) continue;
    const RangeEntry& range = job->range;
    if (range.offset >= offset + length || offset >= range.offset + range.length) continue;
    if (job->step == Step::kLock) {
      job->step = Step::kRead;  // ours to finish, also when the link is lost
      send_busy(*job);
      finish(*job);
      next = active_.front();
    } else {
      job->yielded = true;
      parts_.ranges.release(job->range);
    }
  }
}

void ResyncSource::peer_lost(uint32_t slot) {
  Job* next = nullptr;
  for (Job* job = active_.front(); job != nullptr; job = next) {
    next = active_.next(*job);
    if (job->peer->slot != slot || job->cancelled) continue;
    job->cancelled = true;
    if (job->step == Step::kSent || job->step == Step::kLock) {
      finish(*job);
      next = active_.front();
    }
  }
}

// The target has everything so far on stable storage: what was cleared may be kept.
const char* ResyncSource::on_checkpoint() {
  if (checkpoint_busy_ || parts_.failed) return nullptr;
  checkpoint_busy_ = true;
  parts_.bitmap->write_back(checkpoint_);
  return nullptr;
}

void ResyncSource::checkpoint_saved(meta::Waiter& waiter, int error) {
  auto& source = *static_cast<ResyncSource*>(waiter.owner);
  BM_ASSERT(source.checkpoint_busy_);
  source.checkpoint_busy_ = false;
  if (error != 0) source.parts_.fail_disk("writing the bitmap", error);
}

// The target's superblock says that it is in sync: last, so does ours.
const char* ResyncSource::on_done(Peer& peer, const peer::FrameHeader& header) {
  const bool running = peer.resync == ResyncRole::kSource && !parts_.exchange.active(peer.slot);
  if (!running) return "the end of a resync that does not run";
  peer.current_uuid = header.offset;
  Ending& ending = endings_[peer.slot];
  if (ending.busy) return "the end of a resync twice";
  ending.busy = true;
  ending.peer = &peer;
  ending.incarnation = peer.link->incarnation();
  peer.applying += 1;  // the next connection waits for it
  parts_.bitmap->write_back(ending.bitmap);
  return nullptr;
}

void ResyncSource::finish_end(Ending& ending) {
  BM_ASSERT(ending.busy);
  ending.busy = false;
  parts_.peers.finish_applying(*ending.peer);
}

bool ResyncSource::still_there(const Ending& ending) {
  const peer::Link& link = *ending.peer->link;
  return link.up() && link.incarnation() == ending.incarnation;
}

void ResyncSource::bitmap_saved(meta::Waiter& waiter, int error) {
  Ending& ending = *static_cast<Ending*>(waiter.owner);
  Parts& parts = ending.source->parts_;
  BM_ASSERT(ending.busy);
  if (error != 0) parts.fail_disk("writing the bitmap", error);
  if (!still_there(ending)) {
    // What was written since is out of sync under the bitmapUuid that stands.
    ending.source->finish_end(ending);
    return;
  }
  parts.mark_in_sync(ending.peer->slot);
  parts.super->commit(ending.superblock);
}

void ResyncSource::superblock_saved(meta::Waiter& waiter, int error) {
  Ending& ending = *static_cast<Ending*>(waiter.owner);
  Parts& parts = ending.source->parts_;
  ending.source->finish_end(ending);
  if (error != 0) {
    parts.fail_disk("writing the superblock", error);
    return;
  }
  parts.metadata_changed();
  if (!still_there(ending)) return;
  Peer& peer = *ending.peer;
  peer.resync = ResyncRole::kNone;
  parts.stats.peers[peer.slot].resync_total_bytes.store(0, std::memory_order_relaxed);
  parts.events.resync_finished(peer.slot, ending.incarnation);
  parts.gate.recheck();
}

}  // namespace blkmirror::engine
