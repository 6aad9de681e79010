// See model.h.
#include "sim/model.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "meta/superblock.h"

namespace blkmirror::sim {

namespace {

constexpr uint64_t kPage = io::SimDisk::kPageBytes;
constexpr uint32_t kWords = kSector / 8;
constexpr uint64_t kAlive = UINT64_MAX;

uint64_t first_word(uint32_t tag, uint64_t block) {
  return tag == 0 ? 0 : uint64_t{tag} << 32 | block;
}

// What a word's index is added to.
uint64_t seed_of(uint64_t first) { return first * 0x9e3779b97f4a7c15u; }

}  // namespace

// Word by word: a block copied as a whole first costs more than looking at it.
void fill_block(std::byte* data, uint32_t tag, uint64_t block) {
  const uint64_t first = first_word(tag, block);
  const uint64_t seed = tag == 0 ? 0 : seed_of(first);
  const uint64_t step = tag == 0 ? 0 : 1;
  for (uint64_t i = 0; i < kWords; ++i) {
    const uint64_t word = seed + i * step;
    std::memcpy(data + 8 * i, &word, 8);
  }
  std::memcpy(data, &first, 8);
}

uint32_t tag_of(const std::byte* data, uint64_t block) {
  uint64_t first = 0;
  std::memcpy(&first, data, 8);
  const auto tag = static_cast<uint32_t>(first >> 32);
  if (first != first_word(tag, block)) return UINT32_MAX;
  const uint64_t seed = tag == 0 ? 0 : seed_of(first);
  const uint64_t step = tag == 0 ? 0 : 1;
  uint64_t wrong = 0;
  for (uint64_t i = 1; i < kWords; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, data + 8 * i, 8);
    wrong |= word ^ (seed + i * step);
  }
  return wrong == 0 ? tag : UINT32_MAX;
}

Model::Model(uint64_t bytes)
    : bytes_(bytes), last_tag_(std::make_shared<uint32_t>(0)), blocks_(bytes / kSector) {
  BM_ASSERT(bytes > 0);
  BM_ASSERT(bytes % kSector == 0);
  writes_.push_back({0, 0, 0, 0, 0, true});
}

void Model::enter(uint64_t uuid) {
  // Of a fresh copy that is being filled: its clients write on in the generation of its source.
  if (uuid == meta::kJustCreatedUuid) return;
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

WriteId Model::issue(uint64_t offset, uint64_t length, bool zeroes, bool durable) {
  BM_ASSERT(offset % kSector == 0);
  BM_ASSERT(length % kSector == 0);
  BM_ASSERT(offset + length <= bytes_);
  Write write;
  write.first = static_cast<uint32_t>(offset / kSector);
  write.count = static_cast<uint32_t>(length / kSector);
  write.tag = zeroes ? 0 : ++*last_tag_;
  write.durable = durable;
  write.issued = now();
  writes_.push_back(write);
  const auto id = static_cast<WriteId>(writes_.size() - 1);
  for (uint32_t i = 0; i < write.count; ++i) {
    Block& block = blocks_[write.first + i];
    prune(block);
    add_version(block.open, {kAlive, id, kNone, 0, 0});
  }
  in_flight_++;
  return id;
}

void Model::acknowledge(WriteId id) {
  Write& write = writes_[id];
  BM_ASSERT(write.ended == UINT64_MAX);
  write.ended = now();
  acknowledged_++;
  generations_.back().acknowledged++;
  in_flight_--;
  supersede(id, write.durable);
  if (!write.durable) volatile_.push_back(id);
}

void Model::give_up(WriteId id) {
  BM_ASSERT(writes_[id].ended == UINT64_MAX);
  writes_[id].ended = now();
  in_flight_--;
}

void Model::flushed(uint64_t issued) {
  std::erase_if(volatile_, [&](WriteId id) {
    if (writes_[id].ended >= issued) return false;
    supersede(id, true);
    return true;
  });
}

void Model::lose_volatile() {
  volatile_.clear();
  for (const Block& block : blocks_) {
    for (uint32_t i = block.open; i != kNone; i = versions_[i].next) versions_[i].dead = kAlive;
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
  for (Block& block : blocks_) {
    drop_dead(block.open);
    drop_dead(block.gone);
  }
}

// All that is dead of a list.
void Model::drop_dead(uint32_t& list) {
  uint32_t* place = &list;
  while (*place != kNone) {
    const uint32_t at = *place;
    Version& version = versions_[at];
    if (version.dead == kAlive) {
      place = &version.next;
      continue;
    }
    *place = version.next;
    version.next = free_versions_;
    free_versions_ = at;
  }
}

ModelFacts Model::facts() const { return {acknowledged_, volatile_.size(), in_flight_}; }

uint32_t Model::add_version(uint32_t& list, const Version& version) {
  uint32_t at = free_versions_;
  if (at == kNone) {
    at = static_cast<uint32_t>(versions_.size());
    versions_.push_back(version);
  } else {
    free_versions_ = versions_[at].next;
    versions_[at] = version;
  }
  versions_[at].next = list;
  list = at;
  return at;
}

// What ended before this write was asked for is dead now; durably: gone for good.
void Model::supersede(WriteId id, bool durably) {
  const Write& write = writes_[id];
  const uint64_t moment = now();
  for (uint32_t i = 0; i < write.count; ++i) {
    Block& block = blocks_[write.first + i];
    uint32_t* place = &block.open;
    while (*place != kNone) {
      const uint32_t at = *place;
      Version& version = versions_[at];
      if (writes_[version.write].ended >= write.issued) {
        place = &version.next;
        continue;
      }
      if (version.dead == kAlive) {
        version.dead = moment;
        version.dead_in = current();
      }
      if (!durably) {
        place = &version.next;
        continue;
      }
      version.gone_in = current();
      *place = version.next;
      version.next = block.gone;
      block.gone = at;
    }
  }
}

// Before a version is added: what no read can meet any more is forgotten.
void Model::prune(Block& block) {
  if (!block.is_known()) add_version(block.open, {kAlive, kNothing, kNone, 0, 0});
  if (history_) return;
  const uint64_t oldest = reads_.empty() ? UINT64_MAX : reads_.front();
  uint32_t* place = &block.gone;
  while (*place != kNone) {
    const uint32_t at = *place;
    Version& version = versions_[at];
    if (version.dead >= oldest) {
      place = &version.next;
      continue;
    }
    *place = version.next;
    version.next = free_versions_;
    free_versions_ = at;
  }
}

template <class Wanted>
const Model::Version* Model::find(uint32_t list, const Wanted& wanted) const {
  for (uint32_t i = list; i != kNone; i = versions_[i].next) {
    if (wanted(versions_[i])) return &versions_[i];
  }
  return nullptr;
}

bool Model::allowed(uint64_t number, const std::byte* data, uint64_t started) const {
  const Block& block = blocks_[number];
  const uint32_t tag = tag_of(data, number);
  if (tag == UINT32_MAX) return false;
  if (!block.is_known()) return tag == 0;
  const auto fits = [&](const Version& version) {
    return version.dead >= started && writes_[version.write].tag == tag;
  };
  return find(block.open, fits) != nullptr || find(block.gone, fits) != nullptr;
}

// As a copy that was given up after that generation.
bool Model::holds(uint64_t number, const std::byte* data, uint32_t generation,
                  bool power_lost) const {
  const Block& block = blocks_[number];
  const uint32_t tag = tag_of(data, number);
  if (tag == UINT32_MAX) return false;
  if (!block.is_known()) return tag == 0;
  const auto lives = [&](const Version& version) {
    const bool ended = !power_lost && version.dead != kAlive && version.dead_in <= generation;
    return !ended && writes_[version.write].tag == tag;
  };
  if (find(block.open, lives) != nullptr) return true;
  return find(block.gone, [&](const Version& version) {
           return lives(version) && !(power_lost && version.gone_in <= generation);
         }) != nullptr;
}

std::string Model::explain(uint64_t number, const std::byte* data) const {
  uint64_t word = 0;
  std::memcpy(&word, data, 8);
  std::string text = "block " + std::to_string(number) + " (extent " +
                     std::to_string(number / 8192) + ") has tag " + std::to_string(word >> 32) +
                     ", allowed are";
  const Block& block = blocks_[number];
  if (!block.is_known()) return text + " zeroes";
  describe(text, block.open);
  describe(text, block.gone);
  return text;
}

void Model::describe(std::string& text, uint32_t list) const {
  for (uint32_t i = list; i != kNone; i = versions_[i].next) {
    const Version& version = versions_[i];
    const Write& write = writes_[version.write];
    text += " " + std::to_string(write.tag) + "(" + std::to_string(write.issued) + ".." +
            (write.ended == UINT64_MAX ? "" : std::to_string(write.ended)) +
            (version.dead == kAlive ? "" : " dead " + std::to_string(version.dead)) + ")";
  }
}

bool Model::knows_page(uint64_t page) const {
  const uint64_t end = std::min((page + 1) * (kPage / kSector), uint64_t{blocks_.size()});
  for (uint64_t block = page * (kPage / kSector); block < end; ++block) {
    if (blocks_[block].is_known()) return true;
  }
  return false;
}

template <class Visit>
bool Model::each_block(const io::SimDisk& disk, const Visit& visit) const {
  static const std::byte zeroes[kPage] = {};
  BM_ASSERT(disk.size_bytes() >= bytes_);
  for (uint64_t page = 0; page * kPage < bytes_; ++page) {
    const std::byte* data = disk.peek(page);
    if (data == nullptr && !knows_page(page)) continue;
    if (data == nullptr) data = zeroes;
    const uint64_t length = std::min(kPage, bytes_ - page * kPage);
    for (uint64_t inside = 0; inside < length; inside += kSector) {
      if (!visit((page * kPage + inside) / kSector, data + inside)) return false;
    }
  }
  return true;
}

std::string Model::check_copy(const io::SimDisk& disk) {
  const uint64_t started = now();
  std::string wrong;
  each_block(disk, [&](uint64_t block, const std::byte* data) {
    if (allowed(block, data, started)) return true;
    wrong = explain(block, data);
    return false;
  });
  return wrong;
}

// When the newest write that the copy shows was issued: what had ended then must be there.
uint64_t Model::moment_of(const io::SimDisk& disk) const {
  uint64_t moment = 0;
  each_block(disk, [&](uint64_t number, const std::byte* data) {
    const uint32_t tag = tag_of(data, number);
    if (tag == 0 || !blocks_[number].is_known()) return true;
    const auto fits = [&](const Version& version) { return writes_[version.write].tag == tag; };
    for (const uint32_t list : {blocks_[number].open, blocks_[number].gone}) {
      const Version* version = find(list, fits);
      if (version != nullptr) moment = std::max(moment, writes_[version->write].issued);
    }
    return true;
  });
  return moment;
}

std::string Model::check_lagging(const io::SimDisk& disk, bool any_order) const {
  const uint64_t moment = any_order ? 0 : moment_of(disk);
  std::string wrong;
  each_block(disk, [&](uint64_t block, const std::byte* data) {
    if (allowed(block, data, moment)) return true;
    wrong = "as of moment " + std::to_string(moment) + ", " + explain(block, data);
    return false;
  });
  return wrong;
}

std::string Model::check_held(const io::SimDisk& disk, const HeldBefore& held) const {
  uint32_t generation = generation_of(held.uuid);
  if (held.lagging) {
    std::string wrong = check_lagging(disk, held.power_lost);
    if (!wrong.empty() || generation == 0) return wrong;
    generation = (generation == kNone ? current() : generation) - 1;
  }
  std::string wrong;
  each_block(disk, [&](uint64_t block, const std::byte* data) {
    if (holds(block, data, generation, held.power_lost)) return true;
    const std::string seen =
        generation == kNone ? "a generation not seen" : "generation " + std::to_string(generation);
    wrong = explain(block, data) + "; it must hold all up to " + seen + " of " +
            std::to_string(generations_.size());
    return false;
  });
  return wrong;
}

std::unique_ptr<Model> Model::rebase(const io::SimDisk& disk, std::string& wrong) const {
  auto made = std::make_unique<Model>(bytes_);
  made->last_tag_ = last_tag_;
  made->history_ = history_;
  made->clock_ = clock_ + 1;
  made->generations_ = generations_;
  for (Generation& generation : made->generations_) generation.acknowledged = 0;
  made->versions_.reserve(2 * versions_.size());
  std::vector<WriteId> known(*last_tag_ + 1, kNoWrite);
  const bool whole = each_block(disk, [&](uint64_t block, const std::byte* data) {
    const uint32_t tag = tag_of(data, block);
    if (tag == UINT32_MAX) {
      wrong = explain(block, data);
      return false;
    }
    rebase_block(*made, block, tag, disk.is_unflushed(block * kSector), known);
    return true;
  });
  if (!whole) made.reset();
  return made;
}

// What is shown lives on; the rest is remembered as dead, and comes back with the next loss of
// power unless it was gone for good. `known`: writes of the new model by tag, that are not shown.
void Model::rebase_block(Model& to, uint64_t number, uint32_t tag, bool unflushed,
                         std::vector<WriteId>& known) const {
  const Block& block = blocks_[number];
  if (tag == 0 && !block.is_known() && !unflushed) return;
  Block& made = to.blocks_[number];
  BM_ASSERT(!made.is_known());
  bool certain = true;
  for (const bool gone_before : {true, false}) {
    const uint32_t list = gone_before ? block.gone : block.open;
    for (uint32_t i = list; i != kNone; i = versions_[i].next) {
      const Version& version = versions_[i];
      const uint32_t old = writes_[version.write].tag;
      if (old == tag) continue;
      if (known[old] == kNoWrite) {
        known[old] = static_cast<WriteId>(to.writes_.size());
        to.writes_.push_back({0, 0, 0, 0, old, false});
      }
      const bool gone = gone_before && !unflushed;
      certain = certain && gone;
      const uint32_t dead_in = version.dead == kAlive ? current() : version.dead_in;
      to.add_version(gone ? made.gone : made.open,
                     {0, known[old], kNone, dead_in, version.gone_in});
    }
  }
  to.writes_.push_back({1, 1, static_cast<uint32_t>(number), 1, tag, certain});
  const auto shown = static_cast<WriteId>(to.writes_.size() - 1);
  to.add_version(made.open, {kAlive, shown, kNone, 0, 0});
  if (!certain) to.volatile_.push_back(shown);
}

std::string Model::admit(const io::SimDisk& disk, const Model& from) {
  BM_ASSERT(from.bytes_ == bytes_);
  BM_ASSERT(from.last_tag_ == last_tag_);
  std::string wrong;
  each_block(disk, [&](uint64_t block, const std::byte* data) {
    if (allowed(block, data, kAlive)) return true;
    if (!from.allowed(block, data, kAlive)) {
      wrong = from.explain(block, data);
      return false;
    }
    add_alternative(block, tag_of(data, block));
    return true;
  });
  return wrong;
}

// Beside what is shown, until something is written there.
void Model::add_alternative(uint64_t number, uint32_t tag) {
  BM_ASSERT(number < blocks_.size());
  BM_ASSERT(tag <= *last_tag_);
  Block& block = blocks_[number];
  if (!block.is_known()) add_version(block.open, {kAlive, kNothing, kNone, 0, 0});
  writes_.push_back({1, 1, static_cast<uint32_t>(number), 1, tag, false});
  add_version(block.open, {kAlive, static_cast<WriteId>(writes_.size() - 1), kNone, 0, 0});
}

std::unique_ptr<Model> Model::clone() const {
  std::unique_ptr<Model> made(new Model(*this));
  made->reads_.clear();
  made->in_flight_ = 0;
  // Whoever asked is not there any more when this is used.
  for (Write& write : made->writes_) {
    if (write.ended == UINT64_MAX) write.ended = clock_;
  }
  return made;
}

}  // namespace blkmirror::sim
