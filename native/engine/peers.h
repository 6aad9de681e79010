// The peers of a resource, by metadata slot: their links and which of them receive writes.
//
// Turns link events into calls on the parts that care: frames by type to the receive path, the
// acknowledgement tracker, the resync. A peer is lost in one place, peer_lost(): its writes get
// their bits first, then everything else that waited for it ends.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/limits.h"
#include "engine/interface.h"
#include "meta/superblock.h"
#include "peer/link.h"

namespace blkmirror::engine {

struct Parts;

struct Peer {
  uint32_t slot = 0;
  std::string name;
  bool configured = false;
  bool compare = false;    // a resync from it copies only what differs
  bool receiving = false;  // established: with a disk, writes and flushes reach it
  bool diskless = false;   // a Primary without a backing disk: it lacks what it sends
  uint64_t current_uuid = 0;
  meta::History past{};      // of its copy, which a target takes over with current_uuid
  uint32_t crash_flags = 0;  // of its copy in that generation: what it lacks its target will lack
  ResyncRole resync = ResyncRole::kNone;  // exchanging bitmaps, copying or finishing
  uint32_t applying = 0;                  // received writes and flushes not finished here
  // It may hold the current generation: its loss calls for another (generation_gate).
  bool may_share = true;
  std::unique_ptr<peer::Link> link;

  // A connection that waits for the old one's end.
  io::SocketId next_socket = io::kNoSocket;
  uint32_t next_incarnation = 0;
  Completion* connecting = nullptr;

  uint32_t bit() const { return 1u << slot; }
  // Its copy has begun another generation.
  void move_to(uint64_t uuid);
  // Sends a frame; a link without room for it is lost. False: nothing was sent.
  bool push(const peer::FrameHeader& header, std::span<const std::byte> payload = {});
};

class Peers final : public peer::LinkOwner {
 public:
  explicit Peers(Parts& parts) : parts_(parts) {}

  void configure(uint32_t slot, const std::string& name);
  Peer& at(uint32_t slot);
  Peer* find(std::string_view name);
  // Slots of configured peers, and of those that receive writes.
  uint32_t configured() const { return configured_; }
  uint32_t receiving() const { return receiving_; }
  void set_receiving(Peer& peer, bool receiving);
  // The peer's frames say that its copy lacks what it sends.
  void note_diskless(Peer& peer);

  void connect(uint32_t slot, io::SocketId socket, uint32_t incarnation, Completion& completion);
  void close_link(uint32_t slot, uint32_t incarnation);
  void send_control(uint32_t slot, uint32_t incarnation, std::span<const std::byte> text);
  void establish(uint32_t slot, uint32_t incarnation, const EstablishPlan& plan,
                 Completion& completion);

  void set_timeout(uint64_t timeout_us);
  void lose_all(const char* detail);
  void lose_all_but(uint32_t slots, const char* detail);
  void finish_applying(Peer& peer);
  bool all_idle() const;
  void tick(uint64_t now_us);
  void batch_end();

  void on_frame(peer::Link& link, const peer::FrameHeader& header,
                std::span<const std::byte> payload) override;
  void on_bulk(peer::Link& link, const peer::FrameHeader& header, Buffer& buffer) override;
  void on_sent(peer::Link& link, uint64_t sequence) override;
  void on_lost(peer::Link& link, peer::LinkLoss loss, const char* detail) override;
  void on_closed(peer::Link& link) override;

 private:
  void open_next(Peer& peer);
  void mark_receiving(Peer& peer, bool receiving);
  void begin_feeding(Peer& peer, bool resync, Completion& completion);
  bool still_holds(const Peer& peer, const EstablishPlan& plan) const;
  // Null, or what is wrong with the frame.
  const char* dispatch(Peer& peer, const peer::FrameHeader& header,
                       std::span<const std::byte> payload);
  const char* on_received(Peer& peer, std::span<const std::byte> payload);
  const char* on_written(Peer& peer, std::span<const std::byte> payload);

  Parts& parts_;
  uint32_t configured_ = 0;
  uint32_t receiving_ = 0;
  std::array<Peer, limits::kSlots> peers_;
};

}  // namespace blkmirror::engine
