// Every unit of the metadata in turn rots: each sector and each page is zeroed, inverted,
// replaced by what was there earlier, by another page, by the same page of other metadata. The
// copy then attaches with at least what is truly out of sync marked, or is refused.
#include <set>
#include <vector>

#include "check.h"
#include "engine_fixture.h"
#include "meta/page_codec.h"

using namespace fixture;

namespace {

constexpr uint64_t kDevice = 300u << 20;
constexpr uint32_t kSlotCount = 2;
constexpr uint64_t kExtent = limits::kExtentBytes;
constexpr uint64_t kExtents = kDevice / kExtent;
constexpr uint64_t kBlocks = kDevice / limits::kBlockBytes;
constexpr uint64_t kPageBlocks = kBitmapPageCoverBytes / limits::kBlockBytes;
using Image = std::vector<std::byte>;

// What is truly out of sync, and may differ after a crash.
struct Truth {
  std::set<uint64_t> hot;
  std::set<uint64_t> blocks[kSlotCount];
};

struct LogBatch : io::BatchHandler {
  ActivityLog& log;
  explicit LogBatch(ActivityLog& of) : log(of) {}
  void batch_end() override { log.batch_end(); }
  void woken() override {}
};

// Metadata on a disk of its own, that lived through some epochs.
struct Life {
  Node node{uint64_t{1} << 30};
  Superblock state;
  Truth truth;
  std::vector<Image> images;  // after each epoch

  Life(uint64_t id, const char* resource, uint32_t commits) {
    state.metadata_id = id;
    state.layout = external(kDevice, kSlotCount);
    state.resource = resource;
    state.node = "alpha";
    state.current_uuid = id * 2;
    state.flags = kConsistent | kWasUpToDate;
    state.peers[0].name = "beta";
    state.peers[1].name = "gamma";
    format();
    for (uint32_t epoch = 1; epoch <= 3; ++epoch) live(epoch, commits);
  }

  uint64_t bytes() const { return state.layout.end(); }

  Image read() { return node.world.read_back(node.disk, 0, static_cast<uint32_t>(bytes())); }

  void format() {
    ActivityLog log(node.io, node.disk);
    Bitmap bitmap(node.io, node.disk);
    Waiting waiting[2];
    log.format(state.layout, state.metadata_id, waiting[0].waiter);
    bitmap.format(state.layout, state.metadata_id, PageState::kNone, waiting[1].waiter);
    for (Waiting& each : waiting) node.wait(each);
    commit(1);
    images.push_back(read());
  }

  void commit(uint32_t times) {
    SuperblockStore store(node.io, node.disk);
    store.current() = state;
    for (; times > 0; --times) {
      Waiting waiting;
      store.commit(waiting.waiter);
      node.wait(waiting);
    }
    state = store.current();
  }

  // Heats, cools, sets, clears: what was true in the epoch before is mostly true no more.
  void live(uint32_t epoch, uint32_t commits) {
    ActivityLog log(node.io, node.disk);
    Bitmap bitmap(node.io, node.disk);
    LogBatch batch(log);
    node.io.set_handler(&batch);
    Waiting loaded[2];
    log.load(state.layout, state.metadata_id, loaded[0].waiter);
    bitmap.load(state.layout, state.metadata_id, loaded[1].waiter);
    for (Waiting& each : loaded) node.wait(each);
    change_log(log, epoch);
    change_bits(bitmap, epoch);
    Waiting done[2];
    log.commit(done[0].waiter);
    bitmap.write_back(done[1].waiter);
    for (Waiting& each : done) node.wait(each);
    node.io.set_handler(&node);
    state.flags |= kInUse;
    state.generation += 1;
    commit(commits);
    images.push_back(read());
  }

  void change_log(ActivityLog& log, uint32_t epoch) {
    for (const uint64_t extent : truth.hot) log.cool(extent);
    truth.hot.clear();
    for (uint64_t extent = epoch; extent < kExtents; extent += 20) {
      Waiting heated;
      log.heat(extent, heated.waiter);
      node.wait(heated);
      truth.hot.insert(extent);
    }
  }

  void change_bits(Bitmap& bitmap, uint32_t epoch) {
    for (uint32_t slot = 0; slot < kSlotCount; ++slot) {
      bitmap.clear_all(slot);
      truth.blocks[slot].clear();
      // Partial pages, and by turns one that is all and one that is none.
      for (uint64_t block = epoch + 7 * slot; block < kBlocks; block += 7001) {
        mark(bitmap, slot, block, 3);
      }
      if (epoch % 2 == 0) mark(bitmap, slot, kPageBlocks, kPageBlocks);
    }
  }

  void mark(Bitmap& bitmap, uint32_t slot, uint64_t block, uint64_t count) {
    for (uint64_t end = std::min(kBlocks, block + count); block < end; ++block) {
      bitmap.set(1u << slot, block * limits::kBlockBytes, limits::kBlockBytes);
      truth.blocks[slot].insert(block);
    }
  }
};

// The rotten image on a disk; what attaching makes of it.
struct Patient {
  Copy copy;

  explicit Patient(io::SimWorld& world) : copy(world, "alpha", {"beta", "gamma"}) {}

  void infect(const Image& image) {
    io::SimDisk& disk = copy.world.disk(meta);
    disk.write(0, image.data(), static_cast<uint32_t>(image.size()), true);
  }

  int attach() {
    copy.stats = std::make_unique<engine::Statistics>();
    copy.engine = std::make_unique<engine::Engine>(copy.io, copy.events, *copy.stats);
    if (!copy.engine->init().ok()) return -1;
    engine::AttachSpec spec;
    spec.resource = "r0";
    spec.node = "alpha";
    spec.peers = copy.peers;
    spec.internal = false;
    spec.data_disk = data;
    spec.meta_disk = meta;
    spec.data_disk_bytes = kDevice;
    spec.meta_disk_bytes = uint64_t{1} << 30;
    Done done;
    copy.engine->attach(spec, done.completion);
    copy.wait(done);
    return done.error;
  }

  io::DiskId data = copy.world.make_disk(kDevice, 512);
  io::DiskId meta = copy.world.make_disk(uint64_t{1} << 30, 512);
};

// Reads the metadata as attach does, without an engine.
struct Survey {
  SuperblockStore store;
  ActivityLog log;
  Bitmap bitmap;
  int error = 0;

  Survey(Node& node)
      : store(node.io, node.disk), log(node.io, node.disk), bitmap(node.io, node.disk) {
    Waiting waiting[3];
    store.load(0, waiting[0].waiter);
    error = node.wait(waiting[0]);
    if (error != 0) return;
    log.load(store.current().layout, store.current().metadata_id, waiting[1].waiter);
    bitmap.load(store.current().layout, store.current().metadata_id, waiting[2].waiter);
    for (Waiting* each : {&waiting[1], &waiting[2]}) {
      if (node.wait(*each) != 0) error = EIO;
    }
  }

  bool covers(const Truth& truth) const {
    for (const uint64_t extent : truth.hot) {
      if (!log.hot(extent)) return false;
    }
    for (uint32_t slot = 0; slot < kSlotCount; ++slot) {
      for (const uint64_t block : truth.blocks[slot]) {
        if (!bitmap.any(slot, block * limits::kBlockBytes, limits::kBlockBytes)) return false;
      }
    }
    return true;
  }
};

// After attach() hot extents are bits towards every peer.
bool marked(const Bitmap& bitmap, const Truth& truth) {
  for (uint32_t slot = 0; slot < kSlotCount; ++slot) {
    for (const uint64_t block : truth.blocks[slot]) {
      if (!bitmap.any(slot, block * limits::kBlockBytes, limits::kBlockBytes)) return false;
    }
    for (const uint64_t extent : truth.hot) {
      for (uint64_t at = 0; at < kExtent; at += limits::kBlockBytes) {
        if (!bitmap.any(slot, extent * kExtent + at, limits::kBlockBytes)) return false;
      }
    }
  }
  return true;
}

// Everything that one unit can be replaced by.
struct Rot {
  Life mine{0x1111, "r0", 2};
  Life other_resource{0x2222, "r1", 2};
  Life other_life{0x3333, "r0", 9};  // an earlier create-md of the same copy, with more updates

  std::vector<Image> replacements(uint64_t at, uint64_t length) const {
    const Image& now = mine.images.back();
    std::vector<Image> all(2, Image(length));
    for (uint64_t i = 0; i < length; ++i) all[1][i] = ~now[at + i];
    Image one_bit(&now[at], &now[at] + length);
    one_bit[length / 3] ^= std::byte{0x10};
    all.push_back(one_bit);
    for (const Life* life : {&mine, &other_resource, &other_life}) {
      for (const Image& image : life->images) all.emplace_back(&image[at], &image[at] + length);
    }
    return all;
  }
};

// Refused only where a superblock of other metadata turned up.
bool may_refuse(uint64_t at) { return at < 2 * limits::kPageBytes; }

void check_survey(Node& node, const Truth& truth, uint64_t at) {
  const Survey survey(node);
  if (survey.error != 0) {
    CHECK_EQ(survey.error, EBADMSG);
    CHECK(may_refuse(at));
    return;
  }
  CHECK_EQ(survey.store.current().metadata_id, 0x1111u);
  CHECK(survey.covers(truth));
}

void check_attach(Rot& rot, const Image& image, uint64_t at) {
  static uint32_t attached = 0;
  io::SimWorld world(++attached);
  Patient patient(world);
  patient.infect(image);
  const int error = patient.attach();
  if (error != 0) {
    CHECK_EQ(error, EBADMSG);
    CHECK(may_refuse(at));
    return;
  }
  // The next attach finds nothing damaged: both copies and both slots are whole again.
  Node again(uint64_t{1} << 30);
  const auto now = world.read_back(patient.meta, 0, static_cast<uint32_t>(rot.mine.bytes()));
  again.world.disk(again.disk).write(0, now.data(), static_cast<uint32_t>(now.size()), true);
  const Survey survey(again);
  CHECK_EQ(survey.error, 0);
  CHECK_EQ(survey.store.damaged_slots() + survey.log.damaged_pages(), 0u);
  CHECK_EQ(survey.bitmap.damaged_pages(), 0u);
  CHECK(marked(survey.bitmap, rot.mine.truth));
}

}  // namespace

TEST(rot_of_any_sector_loses_no_mark) {
  const Rot rot;
  const Image& whole = rot.mine.images.back();
  Node node(uint64_t{1} << 30);
  node.world.disk(node.disk).write(0, whole.data(), static_cast<uint32_t>(whole.size()), true);
  for (uint64_t at = 0; at < whole.size(); at += 512) {
    for (const Image& sector : rot.replacements(at, 512)) {
      node.world.disk(node.disk).write(at, sector.data(), 512, true);
      check_survey(node, rot.mine.truth, at);
      CHECK_OK();
    }
    node.world.disk(node.disk).write(at, &whole[at], 512, true);
  }
}

TEST(rot_of_any_page_loses_no_mark_and_is_repaired_by_attach) {
  Rot rot;
  const Image& whole = rot.mine.images.back();
  CHECK_EQ(whole.size() / 4096, 20u);
  for (uint64_t at = 0; at < whole.size(); at += 4096) {
    for (const Image& page : rot.replacements(at, 4096)) {
      Image image = whole;
      std::copy(page.begin(), page.end(), image.begin() + static_cast<long>(at));
      check_attach(rot, image, at);
      CHECK_OK();
    }
  }
}

TEST(rot_by_any_two_pages_swapped_loses_no_mark) {
  Rot rot;
  const Image& whole = rot.mine.images.back();
  Node node(uint64_t{1} << 30);
  for (uint64_t a = 0; a < whole.size(); a += 4096) {
    for (uint64_t b = 0; b < a; b += 4096) {
      Image image = whole;
      std::swap_ranges(&image[a], &image[a] + 4096, &image[b]);
      node.world.disk(node.disk).write(0, image.data(), static_cast<uint32_t>(image.size()), true);
      check_survey(node, rot.mine.truth, UINT64_MAX);
      CHECK_OK();
    }
  }
}

// The newer slot is gone: what is left is an older generation, which a peer that remembers the
// newer one refuses as reverted.
TEST(rot_of_the_newer_slot_shows_in_the_generation) {
  Life life(0x4444, "r0", 1);
  const uint64_t newer = life.state.generation;
  Image image = life.images.back();
  // A crash between the two slots of the last attach, then the first slot rots.
  std::copy_n(&life.images[2][4096], 4096, &image[4096]);
  std::fill_n(image.begin(), 4096, std::byte{0});
  Node node(uint64_t{1} << 30);
  node.world.disk(node.disk).write(0, image.data(), static_cast<uint32_t>(image.size()), true);
  const Survey survey(node);
  CHECK_EQ(survey.error, 0);
  CHECK_EQ(survey.store.damaged_slots(), 1u);
  CHECK(survey.store.current().generation < newer);
}

TEST(attach_refuses_a_metadata_disk_that_became_smaller) {
  const Life life(0x1111, "r0", 1);
  io::SimWorld world(7);
  Patient patient(world);
  patient.infect(life.images.back());
  engine::AttachSpec spec;
  spec.resource = "r0";
  spec.node = "alpha";
  spec.internal = false;
  spec.data_disk = patient.data;
  spec.meta_disk = patient.meta;
  spec.data_disk_bytes = kDevice;
  for (const bool fits : {false, true}) {
    spec.meta_disk_bytes = life.bytes() - (fits ? 0 : 4096);
    engine::Statistics statistics;
    engine::Engine engine(patient.copy.io, patient.copy.events, statistics);
    CHECK(engine.init().ok());
    Done done;
    engine.attach(spec, done.completion);
    patient.copy.wait(done);
    CHECK_EQ(done.error, fits ? 0 : ENOSPC);
    Done closed;
    engine.close(closed.completion);
    patient.copy.wait(closed);
    patient.copy.io.set_handler(nullptr);
  }
}
