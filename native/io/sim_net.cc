// See sim_net.h.
#include "io/sim_net.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/assert.h"
#include "io/sim_io.h"

namespace blkmirror::io {

std::pair<SocketId, SocketId> SimNet::connect_pair(SimIo& a, SimIo& b) {
  const uint32_t first = add(a);
  const uint32_t second = add(b);
  sockets_[first]->other = second;
  sockets_[second]->other = first;
  return {SocketId{first}, SocketId{second}};
}

SocketId SimNet::listen(SimIo& node) {
  const uint32_t index = add(node);
  sockets_[index]->listener = true;
  return SocketId{index};
}

SocketId SimNet::connect(SimIo& node, SocketId listener) {
  Socket& target = at(listener);
  BM_ASSERT(target.listener);
  if (!target.open || target.shut) return kNoSocket;
  const auto ends = connect_pair(node, *target.node);
  target.backlog.push_back(static_cast<uint32_t>(ends.second));
  wake_listener(static_cast<uint32_t>(listener));
  return ends.first;
}

void SimNet::set_partition(SimIo& a, SimIo& b, bool partitioned) {
  BM_ASSERT(&a != &b);
  set_cut(a.host(), b.host(), partitioned);
  set_cut(b.host(), a.host(), partitioned);
}

void SimNet::set_cut(uint32_t from, uint32_t to, bool cut) {
  BM_ASSERT(from != to);
  const std::pair<uint32_t, uint32_t> way(from, to);
  std::erase(cuts_, way);
  if (cut) {
    cuts_.push_back(way);
    return;
  }
  for (uint32_t i = 0; i < sockets_.size(); i++) {
    const Socket& socket = *sockets_[i];
    if (!socket.open) continue;
    for (size_t held = 0; held < socket.on_the_way.size(); held++) {
      world_.schedule(held + 1, SimEventKind::kArrive, *socket.node, nullptr, 0, SocketId{i});
    }
    wake_sender(i);
    if (socket.listener) wake_listener(i);
  }
}

bool SimNet::is_cut(uint32_t from, uint32_t to) const {
  const std::pair<uint32_t, uint32_t> way(from, to);
  return std::find(cuts_.begin(), cuts_.end(), way) != cuts_.end();
}

void SimNet::set_latency(uint32_t from, uint32_t to, uint32_t minimum_us, uint32_t maximum_us) {
  BM_ASSERT(minimum_us <= maximum_us);
  std::erase_if(latencies_, [&](const Latency& way) { return way.from == from && way.to == to; });
  latencies_.push_back({from, to, minimum_us, maximum_us});
}

uint64_t SimNet::latency_us(uint32_t from, uint32_t to) {
  SimRandom& random = world_.random();
  if (from == to) return random.between(local_minimum_us, local_maximum_us);
  for (const Latency& way : latencies_) {
    if (way.from == from && way.to == to) return random.between(way.minimum_us, way.maximum_us);
  }
  return random.between(minimum_us, maximum_us);
}

uint32_t SimNet::reset_between(uint32_t a, uint32_t b) {
  BM_ASSERT(a != b);
  uint32_t count = 0;
  for (uint32_t i = 0; i < sockets_.size(); i++) {
    const Socket& socket = *sockets_[i];
    if (!socket.open || socket.host != a || socket.other == kNone) continue;
    if (!sockets_[socket.other]->open || sockets_[socket.other]->host != b) continue;
    reset(SocketId{i});
    count++;
  }
  return count;
}

void SimNet::host_up(uint32_t host) {
  for (uint32_t i = 0; i < sockets_.size(); i++) {
    Socket& socket = *sockets_[i];
    if (!socket.open || !socket.silent || sockets_[socket.other]->host != host) continue;
    socket.orphan = true;
    wake_sender(i);
  }
}

void SimNet::move(SocketId socket, SimIo& to) {
  Socket& mine = at(socket);
  BM_ASSERT(mine.open);
  BM_ASSERT(mine.receiving == nullptr && mine.sending == nullptr && mine.accepting == nullptr);
  mine.node = &to;
  mine.node_index = to.index();
  for (size_t held = 0; held < mine.on_the_way.size(); held++) {
    const uint64_t arrival_us = mine.on_the_way[held].arrival_us;
    const uint64_t after_us = arrival_us > world_.now_us() ? arrival_us - world_.now_us() : 0;
    world_.schedule(after_us, SimEventKind::kArrive, to, nullptr, 0, socket);
  }
}

bool SimNet::accepts(SocketId listener) {
  const Socket& socket = at(listener);
  BM_ASSERT(socket.listener);
  return socket.open && !socket.shut;
}

void SimNet::discard(SocketId socket) {
  Socket& mine = at(socket);
  if (mine.open) close(*mine.node, socket);
}

uint32_t SimNet::peer_host(SocketId socket) {
  const Socket& mine = at(socket);
  BM_ASSERT(mine.other != kNone);
  return sockets_[mine.other]->host;
}

void SimNet::reset(SocketId socket) {
  const uint32_t other = at(socket).other;
  reset_one(static_cast<uint32_t>(socket));
  if (other != kNone) reset_one(other);
}

// All sockets of a node that crashed go; silent: the other ends are not told.
void SimNet::node_gone(SimIo& node, bool silent) {
  for (uint32_t i = 0; i < sockets_.size(); i++) {
    Socket& socket = *sockets_[i];
    if (!socket.open || socket.node != &node) continue;
    for (Op* op : {socket.receiving, socket.sending, socket.accepting}) {
      if (op != nullptr) op->impl.pending = false;
    }
    const uint32_t other = socket.other;
    release(i);
    if (other == kNone) continue;
    Socket& left = *sockets_[other];
    left.silent = silent;
    if (silent || !left.open) continue;
    if (cut_towards(left)) {
      left.on_the_way.push_back({world_.now_us(), {}, true});
    } else {
      reset_one(other);
    }
  }
}

void SimNet::accept(SimIo& node, SocketId listener, Op& op) {
  Socket& socket = at(listener);
  BM_ASSERT(socket.listener);
  BM_ASSERT(socket.node == &node);
  BM_ASSERT(socket.accepting == nullptr);
  socket.accepting = &op;
  wake_listener(static_cast<uint32_t>(listener));
}

void SimNet::receive(SimIo& node, SocketId socket, Op& op) {
  Socket& mine = at(socket);
  BM_ASSERT(mine.open);
  BM_ASSERT(mine.node == &node);
  BM_ASSERT(mine.receiving == nullptr);
  mine.receiving = &op;
  wake_receiver(static_cast<uint32_t>(socket));
}

void SimNet::send(SimIo& node, SocketId socket, Op& op) {
  Socket& mine = at(socket);
  BM_ASSERT(mine.open);
  BM_ASSERT(mine.node == &node);
  BM_ASSERT(mine.sending == nullptr);
  mine.sending = &op;
  wake_sender(static_cast<uint32_t>(socket));
}

void SimNet::shutdown(SocketId socket) {
  Socket& mine = at(socket);
  BM_ASSERT(mine.open);
  if (mine.shut) return;
  mine.shut = true;
  if (mine.other != kNone) transmit(mine, {});
  wake_receiver(static_cast<uint32_t>(socket));
  wake_sender(static_cast<uint32_t>(socket));
  if (mine.listener) wake_listener(static_cast<uint32_t>(socket));
}

void SimNet::cancel(Op& op) {
  for (const auto& socket : sockets_) {
    if (socket->accepting != &op && socket->receiving != &op) continue;
    BM_ASSERT(socket->open);
    if (socket->accepting == &op) socket->accepting = nullptr;
    if (socket->receiving == &op) socket->receiving = nullptr;
    world_.schedule(1, SimEventKind::kComplete, *socket->node, &op, -ECANCELED, kNoSocket);
  }
}

void SimNet::close(SimIo& node, SocketId socket) {
  Socket& mine = at(socket);
  BM_ASSERT(mine.open);
  BM_ASSERT(mine.node == &node);
  BM_ASSERT(mine.receiving == nullptr);
  BM_ASSERT(mine.sending == nullptr);
  BM_ASSERT(mine.accepting == nullptr);
  for (const uint32_t waiting : mine.backlog) reset(SocketId{waiting});
  if (mine.other != kNone && !mine.shut) transmit(mine, {});
  release(static_cast<uint32_t>(socket));
}

uint32_t SimNet::peer_node(SocketId socket) const {
  BM_ASSERT(static_cast<uint32_t>(socket) < sockets_.size());
  const uint32_t other = sockets_[static_cast<uint32_t>(socket)]->other;
  return other == kNone ? 0 : sockets_[other]->node_index;
}

void SimNet::on_receive(SocketId id) {
  Socket& socket = at(id);
  socket.receive_due = false;
  if (socket.receiving == nullptr) return;
  const bool readable = socket.read_position < socket.arrived.size();
  if (!readable && !socket.ended && !socket.shut && socket.error == 0) return;
  Op& op = *socket.receiving;
  socket.receiving = nullptr;
  int32_t result = 0;
  if (socket.error != 0) {
    result = socket.error;
  } else if (!socket.shut) {
    result = static_cast<int32_t>(read_arrived(socket, op));
    if (socket.other != kNone) wake_sender(socket.other);
  }
  world_.finish(*socket.node, op, result);
}

void SimNet::on_send(SocketId id) {
  BM_ASSERT(at(id).send_due || !at(id).open);
  Socket& socket = at(id);
  socket.send_due = false;
  if (socket.sending == nullptr) return;
  const bool gone = socket.other == kNone || (!socket.silent && !sockets_[socket.other]->open);
  const bool broken = socket.shut || (gone && (socket.other == kNone || !cut_towards(socket)));
  if (socket.orphan && !cut_towards(socket)) socket.error = -ECONNRESET;
  int32_t result = socket.error != 0 ? socket.error : broken ? -EPIPE : 0;
  if (result == 0) {
    Socket& other = *sockets_[socket.other];
    if (other.unread_bytes >= kWindowBytes || socket.silent) return;  // goes on when it reads
    transmit(socket, gather(*socket.sending));
  }
  Op& op = *socket.sending;
  socket.sending = nullptr;
  world_.finish(*socket.node, op, result);
}

void SimNet::on_arrive(SocketId id) {
  Socket& socket = at(id);
  if (!socket.open || socket.on_the_way.empty()) return;
  if (cut_towards(socket)) {
    world_.faults_.held_segments++;
    return;
  }
  if (socket.on_the_way.front().arrival_us > world_.now_us()) return;
  if (socket.on_the_way.front().reset) return reset_one(static_cast<uint32_t>(id));
  Segment segment = std::move(socket.on_the_way.front());
  socket.on_the_way.pop_front();
  if (segment.bytes.empty()) {
    socket.ended = true;
  } else if (socket.arrived.empty()) {
    BM_ASSERT(socket.read_position == 0);
    socket.arrived.swap(segment.bytes);
  } else {
    socket.arrived.insert(socket.arrived.end(), segment.bytes.begin(), segment.bytes.end());
  }
  spare_.push_back(std::move(segment.bytes));
  wake_receiver(static_cast<uint32_t>(id));
}

void SimNet::on_accept(SocketId id) {
  Socket& listener = at(id);
  if (listener.accepting == nullptr) return;
  int32_t result = -EINVAL;
  if (!listener.shut) {
    const auto reachable = [&](uint32_t index) {
      const Socket& end = *sockets_[index];
      return !cut_towards(end) && !is_cut(end.host, sockets_[end.other]->host);
    };
    const auto first = std::find_if(listener.backlog.begin(), listener.backlog.end(), reachable);
    if (first == listener.backlog.end()) return;
    result = static_cast<int32_t>(*first);
    listener.backlog.erase(first);
  }
  Op& op = *listener.accepting;
  listener.accepting = nullptr;
  world_.finish(*listener.node, op, result);
}

SimNet::Socket& SimNet::at(SocketId socket) {
  BM_ASSERT(static_cast<uint32_t>(socket) < sockets_.size());
  return *sockets_[static_cast<uint32_t>(socket)];
}

uint32_t SimNet::add(SimIo& node) {
  auto socket = std::make_unique<Socket>();
  socket->node = &node;
  socket->node_index = node.index();
  socket->host = node.host();
  socket->open = true;
  sockets_.push_back(std::move(socket));
  BM_ASSERT(sockets_.size() < INT32_MAX);
  return static_cast<uint32_t>(sockets_.size() - 1);
}

bool SimNet::cut_towards(const Socket& socket) const {
  if (socket.other == kNone || cuts_.empty()) return false;
  return is_cut(sockets_[socket.other]->host, socket.host);
}

// Puts a segment on the way to the other end, behind those sent before.
// What a send operation is to send.
std::vector<std::byte> SimNet::gather(const Op& op) {
  std::vector<std::byte> bytes;
  if (!spare_.empty()) {
    bytes.swap(spare_.back());
    spare_.pop_back();
  }
  bytes.clear();
  const auto* parts = reinterpret_cast<const iovec*>(op.impl.address);
  size_t total = 0;
  for (uint32_t i = 0; i < op.impl.length; i++) total += parts[i].iov_len;
  BM_ASSERT(total > 0);
  bytes.reserve(total);
  for (uint32_t i = 0; i < op.impl.length; i++) {
    const auto* begin = static_cast<const std::byte*>(parts[i].iov_base);
    bytes.insert(bytes.end(), begin, begin + parts[i].iov_len);
  }
  BM_ASSERT(bytes.size() == total);
  return bytes;
}

void SimNet::transmit(Socket& from, std::vector<std::byte> bytes) {
  BM_ASSERT(from.other != kNone);
  Socket& to = *sockets_[from.other];
  if (!to.open) return;
  uint64_t arrival_us = world_.now_us() + latency_us(from.host, to.host);
  if (!to.on_the_way.empty()) {
    arrival_us = std::max(arrival_us, to.on_the_way.back().arrival_us);
  }
  to.unread_bytes += bytes.size();
  to.on_the_way.push_back({arrival_us, std::move(bytes), false});
  world_.schedule(arrival_us - world_.now_us(), SimEventKind::kArrive, *to.node, nullptr, 0,
                  SocketId{from.other});
}

void SimNet::wake_receiver(uint32_t index) {
  Socket& socket = *sockets_[index];
  if (socket.receiving == nullptr || socket.receive_due) return;
  const bool readable = socket.read_position < socket.arrived.size();
  if (!readable && !socket.ended && !socket.shut && socket.error == 0) return;
  socket.receive_due = true;
  world_.schedule(1, SimEventKind::kReceive, *socket.node, nullptr, 0, SocketId{index});
}

void SimNet::wake_sender(uint32_t index) {
  Socket& socket = *sockets_[index];
  if (socket.sending == nullptr || socket.send_due) return;
  socket.send_due = true;
  world_.schedule(1, SimEventKind::kSend, *socket.node, nullptr, 0, SocketId{index});
}

void SimNet::wake_listener(uint32_t index) {
  const Socket& listener = *sockets_[index];
  BM_ASSERT(listener.listener);
  if (listener.accepting == nullptr) return;
  world_.schedule(latency_us(listener.host, listener.host), SimEventKind::kAccept, *listener.node,
                  nullptr, 0, SocketId{index});
}

void SimNet::release(uint32_t index) {
  Socket& socket = *sockets_[index];
  BM_ASSERT(socket.open);
  const uint32_t other = socket.other;
  const uint32_t node_index = socket.node_index;
  const uint32_t host = socket.host;
  const bool listener = socket.listener;
  const bool silent = socket.silent;
  socket = Socket{};
  socket.node_index = node_index;
  socket.host = host;
  socket.listener = listener;
  socket.other = other;
  socket.silent = silent;
  if (other != kNone) wake_sender(other);
}

void SimNet::reset_one(uint32_t index) {
  Socket& socket = *sockets_[index];
  if (!socket.open) return;
  world_.faults_.resets++;
  socket.error = -ECONNRESET;
  socket.on_the_way.clear();
  wake_receiver(index);
  wake_sender(index);
}

// Copies what has arrived, or a random first part of it, into the operation's vector.
size_t SimNet::read_arrived(Socket& socket, Op& op) {
  BM_ASSERT(socket.read_position <= socket.arrived.size());
  size_t left = socket.arrived.size() - socket.read_position;
  if (split_receives && left > 1 && world_.random().chance(3)) {
    left = world_.random().between(1, left);
  }
  const auto* parts = reinterpret_cast<const iovec*>(op.impl.address);
  size_t total = 0;
  for (uint32_t i = 0; i < op.impl.length; i++) {
    const size_t part = std::min(left - total, parts[i].iov_len);
    if (part == 0) continue;
    std::memcpy(parts[i].iov_base, socket.arrived.data() + socket.read_position, part);
    socket.read_position += part;
    total += part;
  }
  BM_ASSERT(socket.unread_bytes >= total);
  socket.unread_bytes -= total;
  if (socket.read_position == socket.arrived.size()) {
    socket.arrived.clear();
    socket.read_position = 0;
  }
  return total;
}

}  // namespace blkmirror::io
