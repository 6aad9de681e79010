// See node.h.
#include "sim/node.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "sim/world.h"

namespace blkmirror::sim {

namespace {

constexpr uint64_t kPage = limits::kPageBytes;

}  // namespace

Node::Node(World& world, std::string name, std::vector<std::string> addresses)
    : world_(world), name_(std::move(name)), addresses_(std::move(addresses)), io_(world.sim()) {
  BM_ASSERT(!name_.empty());
}

Node::~Node() { BM_ASSERT(!running_); }

void Node::boot() {
  BM_ASSERT(!running_);
  running_ = true;
  powered_ = true;
  life_++;
  guard_ = std::make_shared<Node*>(this);
  net().host_up(host());
}

void Node::crash(io::SimCrash how) {
  if (!running_) {
    if (how == io::SimCrash::kPower) lose_power();
    return;
  }
  running_ = false;
  paused_ = false;
  *guard_ = nullptr;
  guard_.reset();
  for (const auto& io : engine_ios_) world_.sim().crash(*io, how);
  world_.sim().crash(io_, how);
  for (const auto& runner : runners_) runner->abandon();
  for (const auto& lobby : lobbies_) lobby->abandon();
  runners_.clear();
  lobbies_.clear();
  unix_listeners_.clear();
  spare_ios_.clear();
  for (const auto& io : engine_ios_) spare_ios_.push_back(io.get());
  if (how == io::SimCrash::kPower) lose_power();
}

void Node::lose_power() {
  powered_ = false;
  for (const auto& [path, disk] : disks_) world_.sim().power_loss(disk.id);
}

void Node::pause() {
  if (!running_ || paused_) return;
  paused_ = true;
  for (const auto& io : engine_ios_) world_.sim().pause(*io);
  world_.sim().pause(io_);
}

void Node::resume() {
  if (!paused_) return;
  paused_ = false;
  for (const auto& io : engine_ios_) world_.sim().resume(*io);
  world_.sim().resume(io_);
}

void Node::add_disk(const std::string& path, uint64_t bytes, uint32_t block) {
  BM_ASSERT(disks_.find(path) == disks_.end());
  NodeDisk& disk = disks_[path];
  disk.id = world_.sim().make_disk(bytes, block);
  disk.bytes = bytes;
  disk.block = block;
}

NodeDisk* Node::find_disk(const std::string& path) {
  const auto found = disks_.find(path);
  return found == disks_.end() ? nullptr : &found->second;
}

io::SimDisk& Node::disk_of(const NodeDisk& disk) { return world_.sim().disk(disk.id); }

bool Node::damage(const std::string& path, Area area, Damage how) {
  NodeDisk* found = find_disk(path);
  BM_ASSERT(found != nullptr);
  io::SimDisk& disk = disk_of(*found);
  Result<meta::Superblock> superblock = read_superblock(disk, true);
  if (!superblock.ok()) superblock = read_superblock(disk, false);
  if (!superblock.ok()) return false;
  const meta::Layout& layout = superblock.value().layout;
  const meta::Area slot0{layout.superblocks.offset, kPage};
  const meta::Area slot1{layout.superblocks.offset + kPage, kPage};
  const meta::Area& where = area == Area::kSuperblock0   ? slot0
                            : area == Area::kSuperblock1 ? slot1
                            : area == Area::kActivityLog ? layout.activity_log
                                                         : layout.bitmap;
  std::vector<uint64_t> pages;
  for (const uint64_t number : disk.written_pages()) {
    const uint64_t at = number * kPage;
    if (at >= where.offset && at < where.offset + where.length) pages.push_back(at);
  }
  if (pages.empty()) return false;
  const uint64_t at = pages[world_random().between(0, pages.size() - 1)];
  return damage_page(disk, at, how, where);
}

bool Node::damage_page(io::SimDisk& disk, uint64_t offset, Damage how, const meta::Area& area) {
  io::SimRandom& random = world_random();
  std::byte page[kPage];
  disk.read(offset, page, kPage);
  switch (how) {
    case Damage::kFlip:
      page[random.between(0, kPage - 1)] ^= std::byte(1u << random.between(0, 7));
      break;
    case Damage::kTear:
      for (uint32_t sector = 1 + random.between(0, 6); sector < 8; sector++) {
        for (uint32_t i = 0; i < 512; i += 8) {
          const uint64_t word = random.next();
          std::memcpy(page + sector * 512 + i, &word, 8);
        }
      }
      break;
    case Damage::kZero:
      std::memset(page, 0, kPage);
      break;
    case Damage::kMisdirect: {
      if (area.length <= kPage) return false;
      const uint64_t count = area.length / kPage;
      const uint64_t own = (offset - area.offset) / kPage;
      const uint64_t other = (own + random.between(1, count - 1)) % count;
      disk.write(area.offset + other * kPage, page, kPage, true);
      world_.count("damagedPage");
      return true;
    }
  }
  disk.write(offset, page, kPage, true);
  world_.count("damagedPage");
  return true;
}

uint32_t Node::snapshot(const std::string& path) {
  NodeDisk* disk = find_disk(path);
  BM_ASSERT(disk != nullptr);
  disk->snapshots.push_back(disk_of(*disk).copy());
  return static_cast<uint32_t>(disk->snapshots.size() - 1);
}

void Node::restore(const std::string& path, uint32_t snapshot) {
  NodeDisk* disk = find_disk(path);
  BM_ASSERT(disk != nullptr);
  BM_ASSERT(disk->owner == nullptr);
  BM_ASSERT(snapshot < disk->snapshots.size());
  disk_of(*disk).restore(*disk->snapshots[snapshot]);
  world_.count("restoredDisk");
}

std::shared_ptr<Runner> Node::start_runner(bind::StartSpec spec, Told& told) {
  BM_ASSERT(running_);
  runners_.push_back(std::make_shared<Runner>(*this, spare_io(), std::move(spec), told));
  return runners_.back();
}

std::shared_ptr<Lobby> Node::start_lobby(Told& told) {
  BM_ASSERT(running_);
  lobbies_.push_back(std::make_shared<Lobby>(*this, io_, told));
  return lobbies_.back();
}

io::SimIo& Node::spare_io() {
  if (spare_ios_.empty()) {
    engine_ios_.push_back(std::make_unique<io::SimIo>(world_.sim(), host()));
    spare_ios_.push_back(engine_ios_.back().get());
    if (paused_) world_.sim().pause(*spare_ios_.back());
  }
  io::SimIo& io = *spare_ios_.back();
  spare_ios_.pop_back();
  return io;
}

void Node::give_back(io::SimIo& io) {
  BM_ASSERT(io.in_flight() == 0);
  spare_ios_.push_back(&io);
}

bool Node::runs_on(uint32_t io_index) const {
  if (io_.index() == io_index) return true;
  return std::any_of(engine_ios_.begin(), engine_ios_.end(),
                     [&](const auto& io) { return io->index() == io_index; });
}

void Node::end_runners() {
  for (size_t i = 0; i < runners_.size();) {
    if (!runners_[i]->ending_due()) {
      i++;
      continue;
    }
    const std::shared_ptr<Runner> runner = runners_[i];
    runners_.erase(runners_.begin() + static_cast<std::ptrdiff_t>(i));
    runner->end();
  }
}

io::SocketId Node::nbd_socket(const std::string& path) {
  const auto found = unix_listeners_.find(path);
  if (found == unix_listeners_.end()) return io::kNoSocket;
  return net().accepts(found->second.socket) ? found->second.socket : io::kNoSocket;
}

std::shared_ptr<Runner> Node::server_of(const std::string& path) {
  const auto found = unix_listeners_.find(path);
  if (found == unix_listeners_.end()) return nullptr;
  for (const auto& runner : runners_) {
    if (runner->io() == found->second.io) return runner;
  }
  return nullptr;
}

io::SimNet& Node::net() { return world_.sim().net(); }

io::SimRandom& Node::world_random() { return world_.sim().random(); }

io::SocketId Node::listen_unix(const std::string& path, io::SimIo& io) {
  const io::SocketId socket = net().listen(io);
  unix_listeners_[path] = {socket, &io};
  return socket;
}

void Node::close_socket(io::SocketId socket) { net().discard(socket); }

void Node::move_socket(io::SocketId socket, io::SimIo& to) { net().move(socket, to); }

bool Node::has_address(const std::string& host) const {
  return host == "0.0.0.0" || host == "::" || has_own_address(host);
}

bool Node::has_own_address(const std::string& host) const {
  return std::find(addresses_.begin(), addresses_.end(), host) != addresses_.end();
}

io::SocketId Node::listener_at(const std::string& host, uint16_t port) const {
  for (const auto& lobby : lobbies_) {
    const io::SocketId socket = lobby->listener_at(host, port);
    if (socket != io::kNoSocket) return socket;
  }
  return io::kNoSocket;
}

Reach Node::reach(const std::string& host) {
  const Node* to = world_.node_at(host);
  if (to == nullptr) return Reach::kSilent;
  if (to == this) return Reach::kUp;
  if (net().is_cut(this->host(), to->host()) || net().is_cut(to->host(), this->host())) {
    return Reach::kSilent;
  }
  if (!to->powered()) return Reach::kSilent;
  if (world_.is_refusing(*this, *to)) {
    world_.count("refusedDial");
    return Reach::kRefused;
  }
  return Reach::kUp;
}

uint64_t Node::round_trip_us(const std::string& host) {
  const Node* to = world_.node_at(host);
  const uint32_t other = to == nullptr ? this->host() : to->host();
  return net().latency_us(this->host(), other) + net().latency_us(other, this->host());
}

io::SocketId Node::connect(io::SimIo& io, const std::string& host, uint16_t port) {
  const Node* to = world_.node_at(host);
  BM_ASSERT(to != nullptr);
  const io::SocketId listener = to->listener_at(host, port);
  return listener == io::kNoSocket ? io::kNoSocket : net().connect(io, listener);
}

std::string Node::remote_of(io::SocketId socket) {
  const Node* other = world_.node_of_host(net().peer_host(socket));
  const std::string address = other == nullptr || other->addresses_.empty()
                                  ? std::string("0.0.0.0")
                                  : other->addresses_.front();
  return host::address_text(address, static_cast<uint16_t>(32768 + uint32_t(socket) % 28000));
}

}  // namespace blkmirror::sim
