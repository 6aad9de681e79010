// What a device may contain, block by block of 512 bytes: the last acknowledged writes, those in
// flight, and those whose fate is unknown.
//
// Every write has a tag of its own and fills its blocks with it (0: zeroes), so a block that is
// read tells which write it came from. A version dies when a write issued after its end is
// acknowledged; it is gone for good when such a write is durable. A power loss of every copy
// revives what is not gone.
#pragma once

#include <algorithm>
#include <cstring>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace fixture {

constexpr uint32_t kSector = 512;

struct ModelWrite {
  uint64_t first = 0;  // block
  uint64_t count = 0;
  uint32_t tag = 0;
  bool durable = false;
  uint64_t issued = 0;
  uint64_t ended = UINT64_MAX;
};

inline void fill_block(std::byte* data, uint32_t tag, uint64_t block) {
  uint64_t words[kSector / 8] = {};
  if (tag != 0) {
    const uint64_t seed = (uint64_t{tag} << 32 | block) * 0x9e3779b97f4a7c15u;
    words[0] = uint64_t{tag} << 32 | block;
    for (uint32_t i = 1; i < kSector / 8; ++i) words[i] = seed + i;
  }
  std::memcpy(data, words, kSector);
}

class Model {
 public:
  explicit Model(uint64_t bytes) : blocks_(bytes / kSector) {}

  uint64_t now() { return ++clock_; }
  uint64_t clock() const { return clock_; }
  uint32_t next_tag() { return ++last_tag_; }

  std::shared_ptr<ModelWrite> issue(uint64_t offset, uint64_t length, uint32_t tag, bool durable) {
    auto write = std::make_shared<ModelWrite>();
    write->first = offset / kSector;
    write->count = length / kSector;
    write->tag = tag;
    write->durable = durable;
    write->issued = now();
    for (uint64_t i = 0; i < write->count; ++i) {
      std::vector<Version>& versions = blocks_[write->first + i];
      prune(versions);
      versions.push_back({write, UINT64_MAX, false});
    }
    return write;
  }

  void acknowledge(const std::shared_ptr<ModelWrite>& write) {
    write->ended = now();
    supersede(*write, false);
    if (write->durable) {
      supersede(*write, true);
    } else {
      volatile_.push_back(write);
    }
  }

  // Answered with an error, or never: it may have happened, wholly or in part.
  void give_up(ModelWrite& write) { write.ended = now(); }

  // A flush issued at `issued` was acknowledged.
  void flushed(uint64_t issued) {
    for (auto at = volatile_.begin(); at != volatile_.end();) {
      if ((*at)->ended >= issued) {
        ++at;
        continue;
      }
      supersede(**at, true);
      at = volatile_.erase(at);
    }
  }

  // Every copy that had everything lost its power.
  void lose_volatile() {
    volatile_.clear();
    for (std::vector<Version>& versions : blocks_) {
      for (Version& version : versions) version.dead = version.gone ? version.dead : UINT64_MAX;
    }
  }

  uint64_t begin_read() {
    reads_.push_back(now());
    return reads_.back();
  }
  void end_read(uint64_t started) {
    const auto place = std::find(reads_.begin(), reads_.end(), started);
    if (place != reads_.end()) reads_.erase(place);
  }

  // Empty, or what is wrong with data read since `started`.
  std::string check(uint64_t offset, const std::byte* data, uint64_t length, uint64_t started) {
    for (uint64_t i = 0; i < length / kSector; ++i) {
      const uint64_t block = offset / kSector + i;
      if (!allowed(block, data + i * kSector, started)) return explain(block, data + i * kSector);
    }
    return "";
  }

 private:
  struct Version {
    std::shared_ptr<ModelWrite> write;
    uint64_t dead;
    bool gone;
  };

  void supersede(const ModelWrite& write, bool durably) {
    const uint64_t at = now();
    for (uint64_t i = 0; i < write.count; ++i) {
      std::vector<Version>& versions = blocks_[write.first + i];
      bool there = versions.empty();
      for (const Version& version : versions) there = there || version.write.get() == &write;
      if (!there) continue;
      for (Version& version : versions) {
        if (version.write->ended >= write.issued) continue;
        if (version.dead == UINT64_MAX) version.dead = at;
        if (durably) version.gone = true;
      }
    }
  }

  void prune(std::vector<Version>& versions) {
    if (versions.empty()) {
      static const auto nothing = std::make_shared<ModelWrite>(ModelWrite{0, 0, 0, true, 0, 0});
      versions.push_back({nothing, UINT64_MAX, false});
    }
    const uint64_t oldest = reads_.empty() ? UINT64_MAX : reads_.front();
    std::erase_if(versions,
                  [&](const Version& version) { return version.gone && version.dead < oldest; });
  }

  bool allowed(uint64_t block, const std::byte* data, uint64_t started) const {
    const std::vector<Version>& versions = blocks_[block];
    std::byte wanted[kSector];
    if (versions.empty()) {
      fill_block(wanted, 0, block);
      return std::memcmp(wanted, data, kSector) == 0;
    }
    for (const Version& version : versions) {
      if (version.dead < started) continue;
      fill_block(wanted, version.write->tag, block);
      if (std::memcmp(wanted, data, kSector) == 0) return true;
    }
    return false;
  }

  std::string explain(uint64_t block, const std::byte* data) const {
    uint64_t word = 0;
    std::memcpy(&word, data, 8);
    std::string text = "block " + std::to_string(block) + " (extent " +
                       std::to_string(block / 8192) + ") has tag " + std::to_string(word >> 32) +
                       ", allowed are";
    for (const Version& version : blocks_[block]) {
      text += " " + std::to_string(version.write->tag) + "(" +
              std::to_string(version.write->issued) + ".." +
              (version.write->ended == UINT64_MAX ? "" : std::to_string(version.write->ended)) +
              (version.dead == UINT64_MAX ? "" : " dead " + std::to_string(version.dead)) + ")";
    }
    return text;
  }

  uint64_t clock_ = 0;
  uint32_t last_tag_ = 0;
  std::vector<std::vector<Version>> blocks_;
  std::vector<uint64_t> reads_;  // in progress, oldest first
  std::list<std::shared_ptr<ModelWrite>> volatile_;
};

}  // namespace fixture
