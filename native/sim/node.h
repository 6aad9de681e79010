// One simulated machine: addresses, disks, and what runs on it in its present life. Disks and
// their contents outlive crashes; runners, lobbies and sockets do not.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/failure.h"
#include "io/sim_io.h"
#include "io/sim_world.h"
#include "sim/format.h"
#include "sim/lobby.h"
#include "sim/runner.h"

namespace blkmirror::sim {

class World;

// What a dial finds.
enum class Reach : uint8_t { kUp, kRefused, kSilent };
enum class Area : uint8_t { kSuperblock0, kSuperblock1, kActivityLog, kBitmap };
enum class Damage : uint8_t { kFlip, kTear, kZero, kMisdirect };

struct NodeDisk {
  io::DiskId id = io::kNoDisk;
  uint64_t bytes = 0;
  uint32_t block = 512;
  Runner* owner = nullptr;  // who has claimed it
  std::vector<std::unique_ptr<io::SimDisk>> snapshots;
};

class Node {
 public:
  Node(World& world, std::string name, std::vector<std::string> addresses);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const std::string& name() const { return name_; }
  World& world() { return world_; }
  uint32_t host() const { return io_.host(); }
  bool running() const { return running_; }
  bool paused() const { return paused_; }
  // Its kernel answers: it runs, or only the process was killed.
  bool powered() const { return powered_; }
  // Raised by every boot; what belongs to an earlier life is void.
  uint32_t life() const { return life_; }

  void boot();
  void crash(io::SimCrash how);
  void pause();
  void resume();

  void add_disk(const std::string& path, uint64_t bytes, uint32_t block);
  NodeDisk* find_disk(const std::string& path);
  io::SimDisk& disk_of(const NodeDisk& disk);
  // False when there is no metadata, or nothing of the kind.
  bool damage(const std::string& path, Area area, Damage how);
  uint32_t snapshot(const std::string& path);
  void restore(const std::string& path, uint32_t snapshot);

  // Of the present life, which must be on.
  std::shared_ptr<Runner> start_runner(bind::StartSpec spec, Told& told);
  std::shared_ptr<Lobby> start_lobby(Told& told);
  // The listening NBD socket; kNoSocket when nobody accepts there.
  io::SocketId nbd_socket(const std::string& path);
  // Who serves there; null when nobody does.
  std::shared_ptr<Runner> server_of(const std::string& path);

  // For runners and lobbies.
  io::SimNet& net();
  io::SimRandom& world_random();
  std::shared_ptr<Node*> guard() const { return guard_; }
  io::SocketId listen_unix(const std::string& path, io::SimIo& io);
  void close_socket(io::SocketId socket);
  void move_socket(io::SocketId socket, io::SimIo& to);
  void give_back(io::SimIo& io);
  bool has_address(const std::string& host) const;
  bool has_own_address(const std::string& host) const;
  uint16_t next_port() { return ++last_port_; }
  io::SocketId listener_at(const std::string& host, uint16_t port) const;
  Reach reach(const std::string& host);
  uint64_t round_trip_us(const std::string& host);
  io::SocketId connect(io::SimIo& io, const std::string& host, uint16_t port);
  std::string remote_of(io::SocketId socket);

  bool runs_on(uint32_t io_index) const;
  // Ends runners that are due, between two events.
  void end_runners();

 private:
  io::SimIo& spare_io();
  void lose_power();
  bool damage_page(io::SimDisk& disk, uint64_t offset, Damage how, const meta::Area& area);

  World& world_;
  std::string name_;
  std::vector<std::string> addresses_;
  io::SimIo io_;  // of lobbies
  std::vector<std::unique_ptr<io::SimIo>> engine_ios_;
  std::vector<io::SimIo*> spare_ios_;
  bool running_ = false;
  bool paused_ = false;
  bool powered_ = true;
  uint32_t life_ = 0;
  uint16_t last_port_ = 40000;
  std::shared_ptr<Node*> guard_;  // of the life: null inside when it is over
  std::map<std::string, NodeDisk> disks_;
  struct UnixListener {
    io::SocketId socket = io::kNoSocket;
    const io::SimIo* io = nullptr;  // of the runner that serves
  };
  std::map<std::string, UnixListener> unix_listeners_;
  std::vector<std::shared_ptr<Runner>> runners_;
  std::vector<std::shared_ptr<Lobby>> lobbies_;
};

}  // namespace blkmirror::sim
