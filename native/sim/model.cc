// See model.h.
#include "sim/model.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "base/assert.h"

namespace blkmirror::sim {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kAlive = UINT64_MAX;

const std::shared_ptr<ModelWrite>& nothing() {
  static const auto write = std::make_shared<ModelWrite>(ModelWrite{0, 0, 0, true, 0, 0});
  return write;
}

}  // namespace

void fill_block(std::byte* data, uint32_t tag, uint64_t block) {
  uint64_t words[kSector / 8] = {};
  if (tag != 0) {
    const uint64_t seed = (uint64_t{tag} << 32 | block) * 0x9e3779b97f4a7c15u;
    words[0] = uint64_t{tag} << 32 | block;
    for (uint32_t i = 1; i < kSector / 8; ++i) words[i] = seed + i;
  }
  std::memcpy(data, words, kSector);
}

uint32_t tag_of(const std::byte* data, uint64_t block) {
  uint64_t word = 0;
  std::memcpy(&word, data, sizeof word);
  std::byte wanted[kSector];
  const auto tag = static_cast<uint32_t>(word >> 32);
  fill_block(wanted, tag, block);
  return std::memcmp(wanted, data, kSector) == 0 ? tag : UINT32_MAX;
}

Model::Model(uint64_t bytes)
    : bytes_(bytes),
      last_tag_(std::make_shared<uint32_t>(0)),
      chunks_((bytes / kSector + kChunk - 1) / kChunk) {
  BM_ASSERT(bytes > 0);
  BM_ASSERT(bytes % kSector == 0);
}

Model::Versions& Model::at(uint64_t block) {
  BM_ASSERT(block < bytes_ / kSector);
  std::unique_ptr<Chunk>& chunk = chunks_[block / kChunk];
  if (chunk == nullptr) chunk = std::make_unique<Chunk>();
  return (*chunk)[block % kChunk];
}

const Model::Versions* Model::find(uint64_t block) const {
  BM_ASSERT(block < bytes_ / kSector);
  const Chunk* chunk = chunks_[block / kChunk].get();
  if (chunk == nullptr || (*chunk)[block % kChunk].empty()) return nullptr;
  return &(*chunk)[block % kChunk];
}

void Model::enter(uint64_t uuid) {
  if (generations_.back().uuid == uuid) return;
  const uint32_t known = generation_of(uuid);
  // One that was left cannot be entered again: a copy that went back to it is another branch.
  if (known == kNone) generations_.push_back({uuid, 0});
}

uint32_t Model::generation_of(uint64_t uuid) const {
  for (size_t i = generations_.size(); i-- > 0;) {
    if (generations_[i].uuid == uuid) return static_cast<uint32_t>(i);
  }
  return kNone;
}

uint64_t Model::acknowledged_after(uint64_t uuid) const {
  const uint32_t generation = generation_of(uuid);
  uint64_t sum = 0;
  if (generation == kNone) return 0;
  for (size_t i = generation + 1; i < generations_.size(); ++i) sum += generations_[i].acknowledged;
  return sum;
}

std::shared_ptr<ModelWrite> Model::issue(uint64_t offset, uint64_t length, uint32_t tag,
                                         bool durable) {
  BM_ASSERT(offset % kSector == 0);
  BM_ASSERT(length % kSector == 0);
  auto write = std::make_shared<ModelWrite>();
  write->first = offset / kSector;
  write->count = length / kSector;
  write->tag = tag;
  write->durable = durable;
  write->issued = now();
  for (uint64_t i = 0; i < write->count; ++i) {
    Versions& versions = at(write->first + i);
    prune(versions);
    versions.push_back({write, kAlive, false, 0, 0});
  }
  in_flight_++;
  return write;
}

void Model::acknowledge(const std::shared_ptr<ModelWrite>& write) {
  BM_ASSERT(write->ended == UINT64_MAX);
  write->ended = now();
  acknowledged_++;
  generations_.back().acknowledged++;
  in_flight_--;
  supersede(*write, false);
  if (write->durable) {
    supersede(*write, true);
  } else {
    volatile_.push_back(write);
  }
}

void Model::give_up(ModelWrite& write) {
  BM_ASSERT(write.ended == UINT64_MAX);
  write.ended = now();
  in_flight_--;
}

void Model::flushed(uint64_t issued) {
  for (auto at = volatile_.begin(); at != volatile_.end();) {
    if ((*at)->ended >= issued) {
      ++at;
      continue;
    }
    supersede(**at, true);
    at = volatile_.erase(at);
  }
}

void Model::lose_volatile() {
  volatile_.clear();
  for (const auto& chunk : chunks_) {
    if (chunk == nullptr) continue;
    for (Versions& versions : *chunk) {
      for (Version& version : versions) version.dead = version.gone ? version.dead : kAlive;
    }
  }
}

uint64_t Model::begin_read() {
  reads_.push_back(now());
  return reads_.back();
}

void Model::end_read(uint64_t started) {
  const auto place = std::find(reads_.begin(), reads_.end(), started);
  if (place != reads_.end()) reads_.erase(place);
}

std::string Model::check(uint64_t offset, const std::byte* data, uint64_t length,
                         uint64_t started) {
  for (uint64_t i = 0; i < length / kSector; ++i) {
    const uint64_t block = offset / kSector + i;
    if (!allowed(block, data + i * kSector, started)) return explain(block, data + i * kSector);
  }
  return "";
}

void Model::settle() {
  volatile_.clear();
  for (const auto& chunk : chunks_) {
    if (chunk == nullptr) continue;
    for (Versions& versions : *chunk) {
      std::erase_if(versions, [](const Version& version) { return version.dead != kAlive; });
    }
  }
}

ModelFacts Model::facts() const { return {acknowledged_, volatile_.size(), in_flight_}; }

void Model::supersede(const ModelWrite& write, bool durably) {
  const uint64_t moment = now();
  for (uint64_t i = 0; i < write.count; ++i) {
    Versions& versions = at(write.first + i);
    bool there = versions.empty();
    for (const Version& version : versions) there = there || version.write.get() == &write;
    if (!there) continue;
    for (Version& version : versions) {
      if (version.write->ended >= write.issued) continue;
      if (version.dead == kAlive) {
        version.dead = moment;
        version.dead_in = current();
      }
      if (durably && !version.gone) {
        version.gone = true;
        version.gone_in = current();
      }
    }
  }
}

void Model::prune(Versions& versions) {
  if (versions.empty()) versions.push_back({nothing(), kAlive, false, 0, 0});
  if (history_) return;
  const uint64_t oldest = reads_.empty() ? UINT64_MAX : reads_.front();
  std::erase_if(versions,
                [&](const Version& version) { return version.gone && version.dead < oldest; });
}

bool Model::allowed(uint64_t block, const std::byte* data, uint64_t started) const {
  const Versions* versions = find(block);
  std::byte wanted[kSector];
  if (versions == nullptr) {
    fill_block(wanted, 0, block);
    return std::memcmp(wanted, data, kSector) == 0;
  }
  for (const Version& version : *versions) {
    if (version.dead < started) continue;
    fill_block(wanted, version.write->tag, block);
    if (std::memcmp(wanted, data, kSector) == 0) return true;
  }
  return false;
}

std::string Model::explain(uint64_t block, const std::byte* data) const {
  uint64_t word = 0;
  std::memcpy(&word, data, 8);
  std::string text = "block " + std::to_string(block) + " (extent " + std::to_string(block / 8192) +
                     ") has tag " + std::to_string(word >> 32) + ", allowed are";
  const Versions* versions = find(block);
  if (versions == nullptr) return text + " zeroes";
  for (const Version& version : *versions) {
    text += " " + std::to_string(version.write->tag) + "(" + std::to_string(version.write->issued) +
            ".." +
            (version.write->ended == UINT64_MAX ? "" : std::to_string(version.write->ended)) +
            (version.dead == kAlive ? "" : " dead " + std::to_string(version.dead)) + ")";
  }
  return text;
}

// Those written on the disk and those this model knows something of, in order.
std::vector<uint64_t> Model::pages_to_check(const io::SimDisk& disk) const {
  std::vector<uint64_t> pages;
  for (const uint64_t page : disk.written_pages()) {
    if (page * kPage < bytes_) pages.push_back(page);
  }
  for (uint64_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    if (chunks_[chunk] == nullptr) continue;
    const uint64_t first = chunk * kChunk * kSector / kPage;
    for (uint64_t i = 0; i < kChunk * kSector / kPage; ++i) pages.push_back(first + i);
  }
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  return pages;
}

std::string Model::check_page(const io::SimDisk& disk, uint64_t page, uint64_t started) const {
  std::byte data[kPage];
  if (page * kPage >= bytes_) return "";
  const auto length = static_cast<uint32_t>(std::min(kPage, bytes_ - page * kPage));
  disk.read(page * kPage, data, length);
  for (uint32_t inside = 0; inside < length; inside += kSector) {
    const uint64_t block = (page * kPage + inside) / kSector;
    if (!allowed(block, data + inside, started)) return explain(block, data + inside);
  }
  return "";
}

std::string Model::check_copy(const io::SimDisk& disk) {
  BM_ASSERT(disk.size_bytes() >= bytes_);
  const uint64_t started = now();
  for (const uint64_t page : pages_to_check(disk)) {
    std::string wrong = check_page(disk, page, started);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

// When the newest write that the copy shows was issued: what had ended then must be there.
uint64_t Model::moment_of(const io::SimDisk& disk) const {
  uint64_t moment = 0;
  std::byte data[kPage];
  for (const uint64_t page : pages_to_check(disk)) {
    if (page * kPage >= bytes_) continue;
    const auto length = static_cast<uint32_t>(std::min(kPage, bytes_ - page * kPage));
    disk.read(page * kPage, data, length);
    for (uint32_t inside = 0; inside < length; inside += kSector) {
      const uint64_t block = (page * kPage + inside) / kSector;
      const uint32_t tag = tag_of(data + inside, block);
      const Versions* versions = find(block);
      if (tag == 0 || versions == nullptr) continue;
      for (const Version& version : *versions) {
        if (version.write->tag == tag) moment = std::max(moment, version.write->issued);
      }
    }
  }
  return moment;
}

std::string Model::check_lagging(const io::SimDisk& disk, bool any_order) const {
  BM_ASSERT(disk.size_bytes() >= bytes_);
  const uint64_t moment = any_order ? 0 : moment_of(disk);
  for (const uint64_t page : pages_to_check(disk)) {
    const std::string wrong = check_page(disk, page, moment);
    if (!wrong.empty()) return "as of moment " + std::to_string(moment) + ", " + wrong;
  }
  return "";
}

bool Model::holds(uint64_t block, const std::byte* data, uint32_t generation,
                  bool power_lost) const {
  const Versions* versions = find(block);
  std::byte wanted[kSector];
  if (versions == nullptr) {
    fill_block(wanted, 0, block);
    return std::memcmp(wanted, data, kSector) == 0;
  }
  for (const Version& version : *versions) {
    if (power_lost && version.gone && version.gone_in <= generation) continue;
    if (!power_lost && version.dead != kAlive && version.dead_in <= generation) continue;
    fill_block(wanted, version.write->tag, block);
    if (std::memcmp(wanted, data, kSector) == 0) return true;
  }
  return false;
}

std::string Model::check_held_page(const io::SimDisk& disk, uint64_t page, uint32_t generation,
                                   bool power_lost) const {
  std::byte data[kPage];
  if (page * kPage >= bytes_) return "";
  const auto length = static_cast<uint32_t>(std::min(kPage, bytes_ - page * kPage));
  disk.read(page * kPage, data, length);
  for (uint32_t inside = 0; inside < length; inside += kSector) {
    const uint64_t block = (page * kPage + inside) / kSector;
    if (!holds(block, data + inside, generation, power_lost)) return explain(block, data + inside);
  }
  return "";
}

std::string Model::check_held(const io::SimDisk& disk, const HeldBefore& held) const {
  BM_ASSERT(disk.size_bytes() >= bytes_);
  uint32_t generation = generation_of(held.uuid);
  if (held.lagging) {
    std::string wrong = check_lagging(disk, held.power_lost);
    if (!wrong.empty() || generation == 0) return wrong;
    generation = (generation == kNone ? current() : generation) - 1;
  }
  for (const uint64_t page : pages_to_check(disk)) {
    std::string wrong = check_held_page(disk, page, generation, held.power_lost);
    if (wrong.empty()) continue;
    const std::string seen =
        generation == kNone ? "a generation not seen" : "generation " + std::to_string(generation);
    return wrong + "; it must hold all up to " + seen + " of " +
           std::to_string(generations_.size());
  }
  return "";
}

std::unique_ptr<Model> Model::rebase(const io::SimDisk& disk, std::string& wrong) const {
  auto made = std::make_unique<Model>(bytes_);
  made->last_tag_ = last_tag_;
  made->history_ = history_;
  made->clock_ = clock_ + 1;
  made->generations_ = generations_;
  for (Generation& generation : made->generations_) generation.acknowledged = 0;
  std::byte data[kPage];
  for (const uint64_t page : pages_to_check(disk)) {
    if (page * kPage >= bytes_) continue;
    const auto length = static_cast<uint32_t>(std::min(kPage, bytes_ - page * kPage));
    disk.read(page * kPage, data, length);
    for (uint32_t inside = 0; inside < length; inside += kSector) {
      const uint64_t block = (page * kPage + inside) / kSector;
      const uint32_t tag = tag_of(data + inside, block);
      if (tag == UINT32_MAX) {
        wrong = explain(block, data + inside);
        return nullptr;
      }
      rebase_block(*made, block, tag, disk.is_unflushed(block * kSector));
    }
  }
  return made;
}

// What is shown lives on; the rest is remembered as dead, and comes back with the next loss of
// power unless it was gone for good.
void Model::rebase_block(Model& to, uint64_t block, uint32_t tag, bool unflushed) const {
  const Versions* versions = find(block);
  if (tag == 0 && versions == nullptr && !unflushed) return;
  Versions& made = to.at(block);
  BM_ASSERT(made.empty());
  bool certain = true;
  if (versions != nullptr) {
    for (const Version& version : *versions) {
      if (version.write->tag == tag) continue;
      auto old = std::make_shared<ModelWrite>(ModelWrite{block, 1, version.write->tag});
      old->ended = 0;
      const bool gone = version.gone && !unflushed;
      certain = certain && gone;
      const uint32_t dead_in = version.dead == kAlive ? current() : version.dead_in;
      made.push_back({std::move(old), 0, gone, dead_in, version.gone_in});
    }
  }
  auto shown = std::make_shared<ModelWrite>(ModelWrite{block, 1, tag, certain, 1, 1});
  made.push_back({shown, kAlive, false, 0, 0});
  if (!certain) to.volatile_.push_back(shown);
}

std::unique_ptr<Model> Model::clone() const {
  auto made = std::make_unique<Model>(bytes_);
  made->last_tag_ = last_tag_;
  made->history_ = history_;
  made->clock_ = clock_;
  made->generations_ = generations_;
  made->acknowledged_ = acknowledged_;
  std::unordered_map<const ModelWrite*, std::shared_ptr<ModelWrite>> copies;
  const auto copy = [&](const std::shared_ptr<ModelWrite>& write) {
    std::shared_ptr<ModelWrite>& known = copies[write.get()];
    if (known == nullptr) known = std::make_shared<ModelWrite>(*write);
    // Whoever asked is not there any more when this is used.
    if (known->ended == UINT64_MAX) known->ended = clock_;
    return known;
  };
  for (uint64_t chunk = 0; chunk < chunks_.size(); ++chunk) {
    if (chunks_[chunk] == nullptr) continue;
    made->chunks_[chunk] = std::make_unique<Chunk>();
    for (uint64_t i = 0; i < kChunk; ++i) {
      for (const Version& version : (*chunks_[chunk])[i]) {
        Version copied = version;
        copied.write = copy(version.write);
        (*made->chunks_[chunk])[i].push_back(std::move(copied));
      }
    }
  }
  for (const auto& write : volatile_) made->volatile_.push_back(copy(write));
  return made;
}

}  // namespace blkmirror::sim
