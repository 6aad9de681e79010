// See world.h.
#include "sim/world.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/assert.h"
#include "sim/engine_pages.h"

namespace blkmirror::sim {

World::World(uint64_t seed) : sim_(seed) {
  char note[64];
  std::snprintf(note, sizeof note, "seed %llu", static_cast<unsigned long long>(seed));
  set_assertion_note(note);
  sim_.net().local_minimum_us = 1;
  sim_.net().local_maximum_us = 20;
  use_engine_pages();
}

World::~World() {
  for (const auto& client : clients_) client->random.drop();
  clients_.clear();
  for (const auto& node : nodes_) node->crash(io::SimCrash::kProcess);
  nodes_.clear();
}

Node& World::add_node(std::string name, std::vector<std::string> addresses) {
  nodes_.push_back(std::make_unique<Node>(*this, std::move(name), std::move(addresses)));
  return *nodes_.back();
}

Node* World::node_at(const std::string& address) {
  for (const auto& node : nodes_) {
    if (node->has_own_address(address)) return node.get();
  }
  return nullptr;
}

Node* World::node_of_host(uint32_t host) {
  for (const auto& node : nodes_) {
    if (node->host() == host) return node.get();
  }
  return nullptr;
}

Client& World::add_client(const ClientHabits& habits) {
  clients_.push_back(std::make_unique<Client>(sim_, *this, habits, allowance_));
  return *clients_.back();
}

bool World::connect(Client& client, Node& node, const std::string& path, uint32_t branch) {
  Model* model = this->branch(branch);
  BM_ASSERT(model != nullptr);
  const io::SocketId listener = node.nbd_socket(path);
  client.node = nullptr;
  if (listener == io::kNoSocket) {
    client.random.drop();
    return false;
  }
  const std::shared_ptr<Runner> server = node.server_of(path);
  BM_ASSERT(server != nullptr);
  const auto generation = [server] { return server->events().durable_uuid(); };
  if (!client.random.connect(listener, *model, node.host(), generation)) return false;
  client.node = &node;
  return true;
}

void World::crash(Node& node, io::SimCrash how) {
  if (!node.running() && how == io::SimCrash::kProcess) return;
  count(how == io::SimCrash::kPower ? "crashPower" : "crashProcess");
  // Its clients run on the same machine.
  for (const auto& client : clients_) {
    if (client->node != &node || how != io::SimCrash::kPower) continue;
    client->random.drop();
    client->node = nullptr;
  }
  node.crash(how);
}

void World::allow(uint64_t operations) {
  BM_ASSERT(operations < UINT64_MAX);
  allowance_ = {operations, false};
  for (const auto& client : clients_) client->random.go_on();
}

RunEnd World::run(uint64_t until_us, const bool& news_due) {
  for (;;) {
    if (!violation_.empty()) return RunEnd::kViolation;
    if (news_due || std::exchange(allowance_.just_spent, false)) return RunEnd::kNews;
    if (!sim_.step(until_us)) {
      if (until_us > sim_.now_us()) sim_.advance(until_us);
      return sim_.next_us() == UINT64_MAX ? RunEnd::kIdle : RunEnd::kTime;
    }
    for (const auto& node : nodes_) node->end_runners();
  }
}

void World::set_refusing(const Node& from, const Node& to, bool refusing) {
  const std::pair<const Node*, const Node*> way(&from, &to);
  std::erase(refusing_, way);
  if (refusing) refusing_.push_back(way);
}

bool World::is_refusing(const Node& from, const Node& to) const {
  const std::pair<const Node*, const Node*> way(&from, &to);
  return std::find(refusing_.begin(), refusing_.end(), way) != refusing_.end();
}

uint32_t World::reset_connections(const Node& a, const Node& b) {
  return sim_.net().reset_between(a.host(), b.host());
}

std::map<std::string, uint64_t> World::faults() const {
  std::map<std::string, uint64_t> all = faults_;
  const io::SimFaults& hit = sim_.faults();
  all["tornWrite"] += hit.torn_writes;
  all["lostSector"] += hit.lost_blocks;
  all["readError"] += hit.read_errors;
  all["writeError"] += hit.write_errors;
  all["flushError"] += hit.flush_errors;
  all["heldOperation"] += hit.held_operations;
  all["heldSegment"] += hit.held_segments;
  all["reset"] += hit.resets;
  std::erase_if(all, [](const auto& fault) { return fault.second == 0; });
  return all;
}

uint64_t World::operations() const {
  uint64_t sum = 0;
  for (const auto& client : clients_) sum += client->random.counters().answers;
  return sum;
}

std::string World::name_of_io(uint32_t io_index) const {
  for (const auto& node : nodes_) {
    if (node->runs_on(io_index)) return node->name();
  }
  return "client" + std::to_string(io_index);
}

void World::set_device(uint64_t bytes) {
  BM_ASSERT(branches_.empty());
  device_bytes_ = bytes;
  add_branch(std::make_unique<Model>(bytes));
  branch(0)->keep_history(true);
}

Model* World::branch(uint32_t id) {
  const auto found = branches_.find(id);
  return found == branches_.end() ? nullptr : found->second.get();
}

uint32_t World::add_branch(std::unique_ptr<Model> model) {
  BM_ASSERT(model != nullptr);
  branches_[next_branch_] = std::move(model);
  return next_branch_++;
}

void World::replace_branch(uint32_t id, std::unique_ptr<Model> model) {
  BM_ASSERT(!has_clients(id));
  if (model == nullptr) {
    branches_.erase(id);
  } else {
    branches_[id] = std::move(model);
  }
}

bool World::has_clients(uint32_t id) const {
  const auto found = branches_.find(id);
  if (found == branches_.end()) return false;
  return std::any_of(clients_.begin(), clients_.end(), [&](const auto& client) {
    return client->random.connected() && client->random.uses(*found->second);
  });
}

void World::violated(const std::string& what) {
  if (violation_.empty()) violation_ = what;
}

std::string compare_disks(const io::SimDisk& a, const io::SimDisk& b, uint64_t bytes) {
  constexpr uint64_t kPage = io::SimDisk::kPageBytes;
  static const std::byte zeroes[kPage] = {};
  BM_ASSERT(a.size_bytes() >= bytes);
  BM_ASSERT(b.size_bytes() >= bytes);
  for (uint64_t page = 0; page * kPage < bytes; ++page) {
    const std::byte* of_a = a.peek(page);
    const std::byte* of_b = b.peek(page);
    if (of_a == of_b) continue;  // never written
    if (of_a == nullptr) of_a = zeroes;
    if (of_b == nullptr) of_b = zeroes;
    const uint64_t length = std::min(kPage, bytes - page * kPage);
    for (uint64_t inside = 0; inside < length; inside += kSector) {
      if (std::memcmp(of_a + inside, of_b + inside, kSector) == 0) continue;
      const uint64_t block = (page * kPage + inside) / kSector;
      return "block " + std::to_string(block) + " (extent " + std::to_string(block / 8192) +
             ") differs: tags " + std::to_string(tag_of(of_a + inside, block)) + " and " +
             std::to_string(tag_of(of_b + inside, block));
    }
  }
  return "";
}

}  // namespace blkmirror::sim
