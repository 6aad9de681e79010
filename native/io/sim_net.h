// The sockets of the simulated world: byte streams with latency, back-pressure, partitions and
// resets. Receives return a random part of what is there, so parsers see every boundary.
//
// Used by SimWorld and SimIo only. A stream's segments arrive in order; the sender is held while
// more than kWindowBytes are unread on the way.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "io/io.h"

namespace blkmirror::io {

class SimIo;
class SimWorld;

class SimNet {
 public:
  uint32_t minimum_us = 20;  // latency of one segment
  uint32_t maximum_us = 120;
  uint32_t local_minimum_us = 20;  // within one host
  uint32_t local_maximum_us = 120;
  bool split_receives = true;

  explicit SimNet(SimWorld& world) : world_(world) {}

  std::pair<SocketId, SocketId> connect_pair(SimIo& a, SimIo& b);
  SocketId listen(SimIo& node);
  SocketId connect(SimIo& node, SocketId listener);
  void set_partition(SimIo& a, SimIo& b, bool partitioned);
  // Between hosts, one way: nothing arrives until set to false.
  void set_cut(uint32_t from, uint32_t to, bool cut);
  bool is_cut(uint32_t from, uint32_t to) const;
  void set_latency(uint32_t from, uint32_t to, uint32_t minimum_us, uint32_t maximum_us);
  uint64_t latency_us(uint32_t from, uint32_t to);
  // Every connection between the two fails at both ends; how many there were.
  uint32_t reset_between(uint32_t a, uint32_t b);
  // A host has power again: it answers with resets what is sent on connections of its past.
  void host_up(uint32_t host);
  // Nothing may be in flight on the socket.
  void move(SocketId socket, SimIo& to);
  // A listener that connect() would find.
  bool accepts(SocketId listener);
  // Closes an end that nothing is in flight on, whoever has it.
  void discard(SocketId socket);
  uint32_t peer_host(SocketId socket);
  void reset(SocketId socket);
  void node_gone(SimIo& node, bool silent);

  void accept(SimIo& node, SocketId listener, Op& op);
  void receive(SimIo& node, SocketId socket, Op& op);
  void send(SimIo& node, SocketId socket, Op& op);
  void shutdown(SocketId socket);
  void cancel(Op& op);
  void close(SimIo& node, SocketId socket);
  uint32_t peer_node(SocketId socket) const;

  // Events.
  void on_receive(SocketId socket);
  void on_send(SocketId socket);
  void on_arrive(SocketId socket);
  void on_accept(SocketId listener);

 private:
  static constexpr size_t kWindowBytes = 512 << 10;
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Segment {
    uint64_t arrival_us;
    std::vector<std::byte> bytes;  // empty: the end of the stream
    bool reset = false;            // instead of it
  };
  struct Socket {
    SimIo* node = nullptr;  // alive while open
    uint32_t node_index = 0;
    uint32_t host = 0;
    bool listener = false;
    bool open = false;
    bool ended = false;        // the other end sends no more
    bool shut = false;         // shutdown() was called here
    bool silent = false;       // the other end lost power
    bool orphan = false;       // silent, and the other host is up again
    bool receive_due = false;  // an event is on its way
    bool send_due = false;
    int32_t error = 0;
    uint32_t other = kNone;          // the connection's other end
    std::deque<Segment> on_the_way;  // to this end
    std::vector<std::byte> arrived;  // unread from `read_position`
    size_t read_position = 0;
    size_t unread_bytes = 0;  // on the way and arrived
    Op* receiving = nullptr;
    Op* sending = nullptr;
    Op* accepting = nullptr;
    std::deque<uint32_t> backlog;  // of a listener: ends waiting to be accepted
  };

  Socket& at(SocketId socket);
  uint32_t add(SimIo& node);
  bool cut_towards(const Socket& socket) const;
  std::vector<std::byte> gather(const Op& op);
  void transmit(Socket& from, std::vector<std::byte> bytes);
  void wake_receiver(uint32_t index);
  void wake_sender(uint32_t index);
  void wake_listener(uint32_t index);
  void release(uint32_t index);
  void reset_one(uint32_t index);
  size_t read_arrived(Socket& socket, Op& op);

  SimWorld& world_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  std::vector<std::vector<std::byte>> spare_;  // memory for segments
  struct Latency {
    uint32_t from;
    uint32_t to;
    uint32_t minimum_us;
    uint32_t maximum_us;
  };
  std::vector<std::pair<uint32_t, uint32_t>> cuts_;  // of hosts: from, to
  std::vector<Latency> latencies_;
};

}  // namespace blkmirror::io
