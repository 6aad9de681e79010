// One connection to a peer: receives and checks frames, gathers and sends them, notices silence.
//
// A Link belongs to a peer's slot and is used again for each new connection (incarnation).
// Life: idle → open() → … → lost() (once; nothing more is sent or delivered) → closed() when
// nothing is in flight → idle. Data frames are held back until allow_data(): the state
// exchange comes first. Buffers are allocated in the constructor.
#pragma once

#include <cstdint>
#include <span>

#include "base/buffer_pool.h"
#include "base/locked_array.h"
#include "base/locked_bytes.h"
#include "io/io.h"
#include "peer/frame.h"
#include "peer/send_queue.h"

namespace blkmirror::peer {

class Link;

enum class LinkLoss : uint8_t { kTimeout, kBrokenPipe, kNetworkFailure, kProtocolError };

class LinkOwner {
 public:
  // Any frame but bulk ones, pings and pongs. The payload is valid during the call.
  virtual void on_frame(Link& link, const FrameHeader& header,
                        std::span<const std::byte> payload) = 0;
  // A bulk frame; its payload's buffer with one reference becomes the owner's.
  virtual void on_bulk(Link& link, const FrameHeader& header, Buffer& buffer) = 0;
  // What was watched is with the kernel.
  virtual void on_sent(Link& link, uint64_t sequence) = 0;
  virtual void on_lost(Link& link, LinkLoss loss, const char* detail) = 0;
  virtual void on_closed(Link& link) = 0;

 protected:
  ~LinkOwner() = default;
};

class Link {
 public:
  Link(io::Io& io, BufferPool& pool, LinkOwner& owner, uint32_t slot);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  void open(io::SocketId socket, uint32_t incarnation, uint64_t timeout_us);
  // Ends the connection: on_lost() inside the call, on_closed() later.
  void lose(LinkLoss loss, const char* detail);
  void allow_data();
  void set_timeout(uint64_t timeout_us) { timeout_us_ = timeout_us; }

  // Only while up(). push() copies the payload; push_bulk() takes a reference to the buffer.
  void push(const FrameHeader& header, std::span<const std::byte> payload = {});
  void push_bulk(const FrameHeader& header, Buffer& buffer);
  uint32_t space() const { return queue_.space(); }
  // on_sent() follows when the kernel has taken all that was pushed until now.
  void watch(uint64_t sequence);
  // Reports, sent together with others at the end of the batch: "received" (protocol B) first.
  void report_received(uint64_t sequence);
  void report_written(uint64_t sequence);
  // A write completed: the next data frame begins a new epoch.
  void end_epoch() { epoch_ended_ = true; }

  // Starts a send of what was queued; from the engine's batch_end().
  void batch_end();
  // Pings, and loses the connection on silence. `oldest_us`: when the oldest thing the owner
  // waits for was sent, 0 when it waits for nothing.
  void tick(uint64_t now_us, uint64_t oldest_us);

  bool up() const { return state_ == State::kOpen; }
  bool idle() const { return state_ == State::kIdle; }
  uint32_t slot() const { return slot_; }
  uint32_t incarnation() const { return incarnation_; }
  uint64_t sent_bytes() const { return queue_.sent_bytes(); }
  uint64_t received_bytes() const { return received_bytes_; }

 private:
  enum class State : uint8_t { kIdle, kOpen, kClosing };

  static void receive_complete(io::Op& op, int32_t result);
  static void send_complete(io::Op& op, int32_t result);
  static void buffer_ready(BufferWaiter& waiter);

  void start_receive();
  void received(uint32_t bytes);
  void parse();
  bool parse_one();
  bool begin_bulk();
  void continue_bulk();
  void finish_bulk();
  bool deliver_small();
  void answer_ping(uint64_t sequence);
  struct Reports {
    LockedArray<uint64_t> sequences{limits::kFramesInFlight};
    uint32_t count = 0;
  };
  struct Watched {
    uint64_t sequence;
    uint64_t end;  // of its bytes, as SendQueue counts
  };

  FrameHeader marked(const FrameHeader& header);
  void report(Reports& reports, uint64_t sequence);
  bool push_reports(FrameType type, Reports& reports);
  void tell_sent();
  void finish_closing();
  uint32_t available() const { return tail_ - head_; }

  io::Io& io_;
  BufferPool& pool_;
  LinkOwner& owner_;
  const uint32_t slot_;
  State state_ = State::kIdle;
  io::SocketId socket_ = io::kNoSocket;
  uint32_t incarnation_ = 0;

  io::Op receive_op_;
  iovec receive_parts_[2];
  bool receiving_ = false;
  bool receives_bulk_ = false;  // the receive in flight fills the bulk payload first
  bool parsing_ = false;
  bool data_allowed_ = false;
  LockedBytes stream_;
  uint32_t head_ = 0;  // first byte not yet parsed
  uint32_t tail_ = 0;
  bool have_header_ = false;
  FrameHeader header_;
  Buffer* bulk_ = nullptr;  // payload being received
  uint32_t bulk_filled_ = 0;
  struct LinkWaiter : BufferWaiter {
    Link* link_owner = nullptr;
  };
  LinkWaiter waiter_;
  bool resume_ = false;  // parse again at the end of the batch: a buffer came

  io::Op send_op_;
  bool sending_ = false;
  bool epoch_ended_ = false;
  SendQueue queue_;
  Reports received_;
  Reports written_;
  // A ring: in protocol A, frames that the kernel has not taken yet.
  LockedArray<Watched> watched_;
  uint64_t watched_head_ = 0;
  uint64_t watched_tail_ = 0;

  uint64_t timeout_us_ = 0;
  uint64_t last_received_us_ = 0;
  uint64_t last_ping_us_ = 0;
  bool ping_unanswered_ = false;
  uint64_t received_bytes_ = 0;
};

}  // namespace blkmirror::peer
