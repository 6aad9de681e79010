// A client's read on the Primary: from the local disk, except where this copy is a SyncTarget and
// the range is out of sync: then from the source, after all writes it received before. Without
// a source such a read is held; local data that is out of sync is never returned.
//
// Without a backing disk every read goes to a peer that has the data. What the disk cannot read is
// read from a peer and written back under the range lock; if that fails, too, or no peer has it,
// on-io-error says what becomes of the copy.
#pragma once

#include <cstdint>
#include <span>

#include "base/slab.h"
#include "disk/backing_disk.h"
#include "engine/range_lock.h"
#include "meta/waiter.h"
#include "nbd/backend.h"
#include "peer/frame.h"

namespace blkmirror::engine {

struct Parts;
struct Peer;

class ReadPath {
 public:
  explicit ReadPath(Parts& parts);

  void submit(nbd::Piece& piece);
  // False: a frame that answers nothing that was asked.
  bool on_data(Peer& peer, const peer::FrameHeader& header, Buffer& buffer);
  bool on_failed(Peer& peer, const peer::FrameHeader& header, uint32_t error);
  void peer_lost(uint32_t slot);
  // Reads held because no copy could answer them: again, or in vain (data_access).
  void retry();
  void fail_held();
  // When the oldest read that the peer has not answered was sent; 0: none.
  uint64_t oldest_us(uint32_t slot);
  uint32_t in_flight() const { return reads_.used(); }
  bool idle() const { return in_flight() == 0; }

 private:
  static constexpr uint32_t kReads = 2048 / limits::kShrunk;

  struct Read {
    ReadPath* path = nullptr;
    nbd::Piece* piece = nullptr;
    disk::Job job;
    int error = 0;     // what the backing disk said: the range is to be repaired
    RangeEntry range;  // held during a repair
    meta::Waiter heat;
    uint32_t slot = 0;   // of the peer, for a remote read
    uint32_t tried = 0;  // slots of peers that could not answer
    uint64_t sequence = 0;
    uint64_t sent_us = 0;
    ListLink link;
  };

  static void prepare(void* owner, Read& read);
  static void local_read(disk::Job& job, int error);
  static void range_granted(RangeEntry& range);
  static void extent_hot(meta::Waiter& waiter, int error);
  static void repaired(disk::Job& job, int error);
  void begin(nbd::Piece& piece, Read& read);
  bool out_of_sync(const nbd::Piece& piece) const;
  bool replace_buffer(nbd::Piece& piece);
  void begin_repair(Read& read, int error);
  void begin_remote(Read& read);
  void ask(Read& read, Peer& peer);
  void unanswered(Read& read);
  void write_back(Read& read);
  void end_repair(Read& read);
  void hold(Read& read);
  Read* find_remote(uint32_t slot, uint64_t sequence);
  void finish(Read& read, int error);
  // The next in the backlog begins with it, or it is free.
  void recycle(Read& read);

  Parts& parts_;
  Slab<Read> reads_;
  uint64_t sequence_ = 0;
  List<Read, &Read::link> remote_;  // oldest first
  List<Read, &Read::link> held_;
  List<nbd::Piece, &nbd::Piece::link> backlog_;
};

}  // namespace blkmirror::engine
