// The whole simulation: nodes, clients, the branches of the model, faults. JavaScript calls it
// through native/simbind; nothing here knows JavaScript.
//
// run() delivers events of the simulated world until there is something to tell.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/sim_world.h"
#include "sim/model.h"
#include "sim/node.h"
#include "sim/random_client.h"

namespace blkmirror::sim {

enum class RunEnd : uint8_t { kNews, kTime, kIdle, kViolation };

struct Client {
  Client(io::SimWorld& world, Violations& violations, const ClientHabits& habits,
         Allowance& allowance)
      : random(world, violations, habits, &allowance) {}
  RandomClient random;
  Node* node = nullptr;  // it is connected to
};

class World final : public Violations {
 public:
  explicit World(uint64_t seed);
  ~World();

  io::SimWorld& sim() { return sim_; }

  Node& add_node(std::string name, std::vector<std::string> addresses);
  Node* node_at(const std::string& address);
  Node* node_of_host(uint32_t host);
  Client& add_client(const ClientHabits& habits);
  bool connect(Client& client, Node& node, const std::string& path, uint32_t branch);
  void crash(Node& node, io::SimCrash how);

  // All clients together may ask for so many requests from now on.
  void allow(uint64_t operations);
  uint64_t allowed() const { return allowance_.left; }

  // Until something noted that it has news (`news_due`, set by whoever is told), the clients have
  // asked for all they may, `until_us`, or a violation. At the end of the world the clock is moved
  // to `until_us`.
  RunEnd run(uint64_t until_us, const bool& news_due);

  void set_refusing(const Node& from, const Node& to, bool refusing);
  bool is_refusing(const Node& from, const Node& to) const;
  uint32_t reset_connections(const Node& a, const Node& b);
  void count(const char* fault) { faults_[fault]++; }
  std::map<std::string, uint64_t> faults() const;
  uint64_t operations() const;
  // Who runs on this Io, for a trace.
  std::string name_of_io(uint32_t io_index) const;
  uint64_t trace_hash() const { return sim_.hash(); }

  void set_device(uint64_t bytes);
  uint64_t device_bytes() const { return device_bytes_; }
  // Null when there is no such branch.
  Model* branch(uint32_t id);
  uint32_t add_branch(std::unique_ptr<Model> model);
  void replace_branch(uint32_t id, std::unique_ptr<Model> model);
  bool has_clients(uint32_t branch) const;

  void violated(const std::string& what) override;
  const std::string& violation() const { return violation_; }

 private:
  io::SimWorld sim_;
  std::vector<std::unique_ptr<Node>> nodes_;
  Allowance allowance_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::map<uint32_t, std::unique_ptr<Model>> branches_;
  uint32_t next_branch_ = 0;
  uint64_t device_bytes_ = 0;
  std::vector<std::pair<const Node*, const Node*>> refusing_;
  std::map<std::string, uint64_t> faults_;
  std::string violation_;
};

// The first difference of two devices in words, or empty.
std::string compare_disks(const io::SimDisk& a, const io::SimDisk& b, uint64_t bytes);

}  // namespace blkmirror::sim
