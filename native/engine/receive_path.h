// What a peer sends to be done here: writes, zeroes, flushes and new generations.
//
// A received write obeys the same order as a client's: range lock, activity log durable, disk.
// "Written" is reported when the disk has completed it; the link gathers the reports. What was
// wholly received is applied even when its connection is gone; its report is then dropped.
//
// In protocols A and B the Primary's clients have an answer before the write is on this disk. So
// epochs are applied in order: a write that begins one waits until all before it are finished, as
// does a flush, and what comes after a flush or a durable write waits for that. Whatever the
// Primary's end leaves here is then something its clients might have left. The range is locked
// from receipt on, so that reads and resync blocks see what was received before them.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "base/buffer_pool.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/slab.h"
#include "disk/backing_disk.h"
#include "engine/range_lock.h"
#include "meta/superblock_store.h"
#include "peer/frame.h"

namespace blkmirror::engine {

struct Parts;
struct Peer;

class ReceivePath {
 public:
  explicit ReceivePath(Parts& parts);

  // Each returns null, or what is wrong with the frame (then the connection is closed).
  // on_data takes over the buffer's reference when it returns null.
  const char* on_data(Peer& peer, const peer::FrameHeader& header, Buffer& buffer);
  const char* on_zeroes(Peer& peer, const peer::FrameHeader& header,
                        std::span<const std::byte> payload);
  const char* on_flush(Peer& peer, const peer::FrameHeader& header);
  const char* on_new_uuid(Peer& peer, const peer::FrameHeader& header,
                          std::span<const std::byte> payload);
  uint32_t in_flight() const { return items_.used(); }
  bool idle() const { return in_flight() == 0; }

 private:
  // One received frame being applied.
  struct Item {
    ReceivePath* path = nullptr;
    Peer* peer = nullptr;
    uint32_t incarnation = 0;
    peer::FrameHeader header;
    uint32_t length = 0;
    bool turn = false;     // nothing before it holds it back
    uint32_t missing = 0;  // of a new generation: slots that miss writes from here on
    Buffer* buffer = nullptr;
    RangeEntry range;
    meta::Waiter waiter;
    disk::Job job;
    ListLink link;
  };

  // A peer's writes and flushes in protocols A and B.
  struct Order {
    List<Item, &Item::link> later;  // have not got their turn
    uint32_t running = 0;           // have got it, and are not finished
    bool barrier = false;           // one of them is a flush or a durable write
    bool advancing = false;
  };

  static void prepare(void* owner, Item& item);
  static void range_granted(RangeEntry& range);
  static void extent_hot(meta::Waiter& waiter, int error);
  static void written(disk::Job& job, int error);
  static void flushed(disk::Job& job, int error);
  static void bits_durable(meta::Waiter& waiter, int error);
  static void generation_durable(meta::Waiter& waiter, int error);

  const char* refusal(const Peer& peer, uint64_t sequence);
  Item* take(Peer& peer, const peer::FrameHeader& header);
  const char* check_range(uint64_t offset, uint64_t length) const;
  void begin_write(Item& item);
  void arrange(Item& item);
  void advance(Order& order);
  void start(Item& item);
  void heat(Item& item);
  void flush(Item& item);
  void launch(Item& item);
  uint32_t mark_missing(const Peer& peer, std::span<const std::byte> names);
  void finish(Item& item, bool report);

  Parts& parts_;
  Slab<Item> items_;
  std::array<Order, limits::kSlots> orders_;
};

}  // namespace blkmirror::engine
