// What a device may contain, block by block of 512 bytes: the last acknowledged writes, those in
// flight, and those whose fate is unknown.
//
// Every write has a tag of its own and fills its blocks with it (0: zeroes), so a block that is
// read tells which write it came from. A version dies when a write issued after its end is
// acknowledged; it is gone for good when such a write is durable. A power loss of every copy
// revives what is not gone. With history, even what is gone is remembered until settle(), with the
// generation (currentUuid) of the acknowledgement that ended it: a copy that lags behind may still
// show it, if it does not share that generation.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "io/sim_disk.h"

namespace blkmirror::sim {

inline constexpr uint32_t kSector = 512;

// One write of a model.
using WriteId = uint32_t;
inline constexpr WriteId kNoWrite = UINT32_MAX;

// What a copy must hold: everything acknowledged under generations up to this one.
struct HeldBefore {
  uint64_t uuid = 0;
  bool power_lost = false;  // of that, what was durable
  bool lagging = false;     // of the last generation, what there was at some moment
};

struct ModelFacts {
  uint64_t acknowledged = 0;
  uint64_t unflushed = 0;
  uint64_t in_flight = 0;
};

void fill_block(std::byte* data, uint32_t tag, uint64_t block);
// The tag of a block's contents (0: zeroes), or UINT32_MAX when no write ever wrote this there.
uint32_t tag_of(const std::byte* data, uint64_t block);

class Model {
 public:
  explicit Model(uint64_t bytes);
  Model& operator=(const Model&) = delete;

  uint64_t bytes() const { return bytes_; }
  uint64_t now() { return ++clock_; }
  uint64_t clock() const { return clock_; }

  // What is acknowledged from here on is so under this generation, which is durable where the
  // client asked.
  void enter(uint64_t uuid);
  // Something was acknowledged under it, on this branch or before it began.
  bool knows(uint64_t uuid) const { return generation_of(uuid) != kNone; }
  // Acknowledged writes since the branch began, under generations that came after this one; 0
  // when it is none of this branch.
  uint64_t acknowledged_after(uint64_t uuid) const;

  WriteId issue(uint64_t offset, uint64_t length, bool zeroes, bool durable);
  // What it fills its blocks with.
  uint32_t tag(WriteId write) const { return writes_[write].tag; }
  void acknowledge(WriteId write);
  // Answered with an error, or never: it may have happened, wholly or in part.
  void give_up(WriteId write);
  // A flush issued at `issued` was acknowledged.
  void flushed(uint64_t issued);
  // Every copy that had everything lost its power.
  void lose_volatile();

  uint64_t begin_read();
  void end_read(uint64_t started);
  // Empty, or what is wrong with data read since `started`.
  std::string check(uint64_t offset, const std::byte* data, uint64_t length, uint64_t started);

  void keep_history(bool keep) { history_ = keep; }
  bool keeps_history() const { return history_; }
  // Everything acknowledged is on every copy, durably: what was before is forgotten.
  void settle();
  ModelFacts facts() const;

  // The whole of a copy, with nothing in flight: empty, or what is wrong.
  std::string check_copy(const io::SimDisk& disk);
  // A copy that lacks the last acknowledged writes, but has applied epochs in order: it must be
  // what the device may have been at some moment. `any_order`: any remembered version will do.
  std::string check_lagging(const io::SimDisk& disk, bool any_order) const;
  // A new history that begins with this copy's contents, whatever they are. What the disk has
  // not on its medium may fall back to what is known here. Null when a block was never written
  // by anybody; then `wrong` says which.
  std::unique_ptr<Model> rebase(const io::SimDisk& disk, std::string& wrong) const;
  // Another copy goes along on this branch, which began with one of `from`. Where the two differ it
  // shows what `from` could not tell from the other's: that is allowed here, too. Empty, or what is
  // wrong.
  std::string admit(const io::SimDisk& disk, const Model& from);
  // A copy that goes on alone: empty, or what it lacks of what it must hold.
  std::string check_held(const io::SimDisk& disk, const HeldBefore& held) const;
  // As it is now. Nothing may be in flight.
  std::unique_ptr<Model> clone() const;

 private:
  Model(const Model&) = default;

  struct Write {
    uint64_t issued = 0;
    uint64_t ended = UINT64_MAX;
    uint32_t first = 0;  // block
    uint32_t count = 0;
    uint32_t tag = 0;
    bool durable = false;
  };
  struct Version {
    uint64_t dead;
    WriteId write;
    uint32_t next;     // in the list of its block
    uint32_t dead_in;  // index of the generation; meaningful when it is dead
    uint32_t gone_in;  // when it is gone
  };
  // Versions of one block, newest first. One that nothing is known of is zeroes from the start.
  struct Block {
    uint32_t open = kNone;  // not gone for good
    uint32_t gone = kNone;
    bool is_known() const { return open != kNone || gone != kNone; }
  };
  struct Generation {
    uint64_t uuid;
    uint64_t acknowledged;  // writes, since the branch began
  };
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr WriteId kNothing = 0;  // the zeroes from the start

  uint32_t add_version(uint32_t& list, const Version& version);
  void supersede(WriteId write, bool durably);
  void prune(Block& block);
  void drop_dead(uint32_t& list);
  template <class Wanted>
  const Version* find(uint32_t list, const Wanted& wanted) const;
  bool allowed(uint64_t block, const std::byte* data, uint64_t started) const;
  bool holds(uint64_t block, const std::byte* data, uint32_t generation, bool power_lost) const;
  std::string explain(uint64_t block, const std::byte* data) const;
  void describe(std::string& text, uint32_t list) const;
  // Calls `visit(block, data)` for everything that the copy or this model knows, in order, until
  // it answers false; answers whether it never did.
  template <class Visit>
  bool each_block(const io::SimDisk& disk, const Visit& visit) const;
  bool knows_page(uint64_t page) const;
  // kNone when the branch has not seen it.
  uint32_t generation_of(uint64_t uuid) const;
  uint32_t current() const { return static_cast<uint32_t>(generations_.size() - 1); }
  uint64_t moment_of(const io::SimDisk& disk) const;
  void add_alternative(uint64_t block, uint32_t tag);
  void rebase_block(Model& to, uint64_t block, uint32_t tag, bool unflushed,
                    std::vector<WriteId>& known) const;

  uint64_t bytes_;
  uint64_t clock_ = 0;
  bool history_ = false;
  std::vector<Generation> generations_ = {{0, 0}};  // in order
  std::shared_ptr<uint32_t> last_tag_;              // of all branches
  std::vector<Write> writes_;
  std::vector<Version> versions_;
  uint32_t free_versions_ = kNone;  // a list
  std::vector<Block> blocks_;
  std::vector<uint64_t> reads_;  // in progress, oldest first
  std::vector<WriteId> volatile_;
  uint64_t acknowledged_ = 0;
  uint64_t in_flight_ = 0;
};

}  // namespace blkmirror::sim
