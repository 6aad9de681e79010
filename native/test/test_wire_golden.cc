// The bytes on disk and on the wire are those of test/wire/golden, on every machine.
//
// Each file there is one structure: lines `OFFSET: hex bytes`, of which all-zero ones are left
// out, and `size N`. Each is compared with what the encoder makes, and decoded again. With
// GOLDEN_WRITE=1 in the environment the files are written instead; a change to one of them is a
// change to the format.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "check.h"
#include "meta/page_codec.h"
#include "meta/superblock.h"
#include "peer/frame.h"

using namespace blkmirror;
using namespace blkmirror::meta;

namespace {

using Bytes = std::vector<std::byte>;
constexpr uint64_t kMetadataId = 0x0123456789abcdef;
constexpr size_t kLineBytes = 32;

std::string path_of(const std::string& name) {
  const char* folder = std::getenv("GOLDEN_DIR");
  return std::string(folder != nullptr ? folder : "../../test/wire/golden") + "/" + name + ".hex";
}

std::string line_of(const Bytes& bytes, size_t start) {
  const size_t end = std::min(bytes.size(), start + kLineBytes);
  const bool zero =
      std::all_of(bytes.begin() + static_cast<long>(start), bytes.begin() + static_cast<long>(end),
                  [](std::byte b) { return b == std::byte{0}; });
  if (zero) return "";
  char part[24];
  std::snprintf(part, sizeof part, "%04zx:", start);
  std::string line = part;
  for (size_t i = start; i < end; ++i) {
    std::snprintf(part, sizeof part, i % 8 == 0 ? " %02x" : "%02x", static_cast<int>(bytes[i]));
    line += part;
  }
  return line + "\n";
}

std::string text_of(const Bytes& bytes) {
  std::string text = "size " + std::to_string(bytes.size()) + "\n";
  for (size_t start = 0; start < bytes.size(); start += kLineBytes) text += line_of(bytes, start);
  return text;
}

// The golden bytes of that name, which must be `made`; empty when they are not.
Bytes golden(const std::string& name, const Bytes& made) {
  if (std::getenv("GOLDEN_WRITE") != nullptr) std::ofstream(path_of(name)) << text_of(made);
  std::ifstream file(path_of(name));
  std::ostringstream content;
  content << file.rdbuf();
  std::istringstream lines(content.str());
  std::string word;
  size_t size = 0;
  lines >> word >> size;
  if (word != "size" || size != made.size()) {
    check::fail(__FILE__, __LINE__, path_of(name) + " cannot be read, or has another size");
    return {};
  }
  Bytes bytes(size);
  size_t at = 0;
  while (lines >> word) {
    if (word.back() == ':') {
      at = std::stoul(word, nullptr, 16);
      continue;
    }
    for (size_t i = 0; i + 1 < word.size() && at < size; i += 2, ++at) {
      bytes[at] = static_cast<std::byte>(std::stoul(word.substr(i, 2), nullptr, 16));
    }
  }
  const auto differ = std::mismatch(bytes.begin(), bytes.end(), made.begin());
  if (differ.first != bytes.end()) {
    const auto place = std::to_string(differ.first - bytes.begin());
    check::fail(__FILE__, __LINE__, name + " differs at byte " + place);
    return {};
  }
  return bytes;
}

PageBytes page_of(Bytes& bytes) { return PageBytes(bytes.data(), 4096); }

Superblock superblock_example() {
  Superblock superblock;
  superblock.metadata_id = kMetadataId;
  superblock.revision = 0x1122334455667788;
  superblock.generation = 0x0102030405060708;
  superblock.layout = compute_layout(true, 300'000'001'024, 300'000'001'024, 7, 512).value();
  superblock.block = 512;
  superblock.resource = "r0";
  superblock.node = "alpha.example.org";
  superblock.flags = kConsistent | kWasUpToDate | kPrimaryIndicator | kInUse | kCrashedMachine;
  superblock.current_uuid = 0xfedcba9876543210;
  std::iota(superblock.history_uuids.begin(), superblock.history_uuids.end(), 0xa000000000000000);
  superblock.peers[0] = {"beta",
                         0xb000000000000001,
                         3,
                         kPeerOutdated | kPeerFullSync | kPeerPromotedApart,
                         1'700'000'000'123,
                         0x0102030405060700};
  superblock.peers[6] = {"g\xc3\xa4mma", 0, 0x8000000000000000, 0, 0, 0x7fffffffffffffff};
  superblock.write_sequence = 0x0000000a0000000b;
  superblock.promoted_ms = 1'700'000'000'000;
  superblock.boot_id = 0x5152535455565758;
  return superblock;
}

struct Frame {
  const char* name;
  peer::FrameHeader header;
};

const Frame kFrames[] = {
    {"frame-control", {peer::FrameType::kControl, 0, 0, 321, 0, 0}},
    {"frame-data",
     {peer::FrameType::kData, peer::kFlagEpoch | peer::kFlagDurable, 0, 262144, 0x0102030405060708,
      0x0000123456789000}},
    {"frame-zeroes",
     {peer::FrameType::kZeroes, peer::kFlagMayUnmap, 0, 8, 0x1112131415161718, 0x200}},
    {"frame-flush", {peer::FrameType::kFlush, peer::kFlagEpoch, 0, 0, 0xfffffffffffffffe, 0}},
    {"frame-written", {peer::FrameType::kWritten, 0, 0, 4096, 0, 0}},
    {"frame-zeroes-epoch",
     {peer::FrameType::kZeroes, peer::kFlagEpoch | peer::kFlagDurable, 0, 8, 0x2122232425262728,
      0x7fffffff000}},
    {"frame-received", {peer::FrameType::kReceived, 0, 0, 16, 0, 0}},
    {"frame-ping", {peer::FrameType::kPing, 0, 0, 0, 42, 0}},
    {"frame-resync-request", {peer::FrameType::kResyncRequest, 0, 0, 8, 7, 0x0fedcba987654000}},
    {"frame-resync-compare",
     {peer::FrameType::kResyncRequest, peer::kFlagCompare, 0, 8, 8, 0x0fedcba987654000}},
    {"frame-resync-sum", {peer::FrameType::kResyncSum, 0, 0, 24, 8, 0x0fedcba987654000}},
    {"frame-resync-wanted", {peer::FrameType::kResyncWanted, 0, 0, 0, 8, 0}},
};

}  // namespace

TEST(golden_superblock) {
  Bytes made(4096);
  const Superblock superblock = superblock_example();
  encode(superblock, page_of(made));
  Bytes bytes = golden("superblock", made);
  CHECK_OK();
  const auto decoded = decode(page_of(bytes), superblock.layout.superblocks.offset);
  CHECK(decoded.ok());
  CHECK_EQ(decoded.value().revision, superblock.revision);
  CHECK_EQ(decoded.value().current_uuid, superblock.current_uuid);
  CHECK_EQ(decoded.value().peers[6].name, superblock.peers[6].name);
  CHECK_EQ(decoded.value().peers[6].generation, superblock.peers[6].generation);
  CHECK_EQ(decoded.value().peers[6].met_generation, superblock.peers[6].met_generation);
  CHECK_EQ(decoded.value().peers[0].parted_ms, superblock.peers[0].parted_ms);
  CHECK_EQ(decoded.value().promoted_ms, superblock.promoted_ms);
  CHECK_EQ(decoded.value().boot_id, superblock.boot_id);
  CHECK_EQ(decoded.value().layout.device_size_bytes, superblock.layout.device_size_bytes);
}

TEST(golden_activity_log_page) {
  // Bits in memory are kept in disk order; extents 0, 9, 63, 64 to 200 and the last are hot.
  std::vector<uint64_t> words(kExtentsPerLogPage / 64);
  set_bits(words.data(), 0, 1);
  set_bits(words.data(), 9, 10);
  set_bits(words.data(), 63, 201);
  set_bits(words.data(), kExtentsPerLogPage - 1, kExtentsPerLogPage);
  Bytes made(4096);
  std::memcpy(&made[kLogPageHeaderBytes], words.data(), words.size() * 8);
  const PageName name{PageKind::kLog, 0, 0x0a0b0c};
  seal_page(name, 0x0102030405060708, kMetadataId, page_of(made));
  Bytes bytes = golden("activity-log-page", made);
  CHECK_OK();
  CHECK(open_page(name, kMetadataId, page_of(bytes)) == 0x0102030405060708u);
  std::memcpy(words.data(), &bytes[kLogPageHeaderBytes], words.size() * 8);
  CHECK_EQ(count_bits(words.data(), 0, kExtentsPerLogPage), 141u);
  CHECK_EQ(find_bit(words.data(), 1, kExtentsPerLogPage, true), 9u);
  CHECK_EQ(find_bit(words.data(), 10, kExtentsPerLogPage, true), 63u);
  CHECK_EQ(find_bit(words.data(), 64, kExtentsPerLogPage, false), 201u);
  CHECK_EQ(static_cast<int>(bytes[kLogPageHeaderBytes]), 0x01);
  CHECK_EQ(static_cast<int>(bytes[kLogPageHeaderBytes + 1]), 0x02);
}

TEST(golden_bitmap_state_page) {
  Bytes made(4096);
  for (size_t i = 0; i < kStatesPerStatePage; i += 5) {
    made[kPageHeaderBytes + i] = static_cast<std::byte>(i % 3);
  }
  const PageName name{PageKind::kStates, 30, 33};
  seal_page(name, 9, kMetadataId, page_of(made));
  Bytes bytes = golden("bitmap-state-page", made);
  CHECK_OK();
  CHECK(open_page(name, kMetadataId, page_of(bytes)) == 9u);
}

TEST(golden_bitmap_page) {
  std::vector<uint64_t> words(kBitmapPageBitBytes / 8);
  set_bits(words.data(), 3, 70);
  set_bits(words.data(), 1000, 1001);
  set_bits(words.data(), 31743, 31744);
  Bytes made(4096);
  std::memcpy(&made[kBitmapPageHeaderBytes], words.data(), words.size() * 8);
  const PageName name{PageKind::kBitmap, 2, 135'300};
  seal_page(name, 0x1000000000000001, kMetadataId, page_of(made));
  Bytes bytes = golden("bitmap-page", made);
  CHECK_OK();
  CHECK(open_page(name, kMetadataId, page_of(bytes)) == 0x1000000000000001u);
  CHECK_EQ(static_cast<int>(bytes[kBitmapPageHeaderBytes]), 0xf8);
  CHECK_EQ(static_cast<int>(bytes[4095]), 0x80);
}

TEST(golden_frame_headers) {
  for (const Frame& frame : kFrames) {
    Bytes made(peer::kFrameHeaderBytes);
    using Header = std::span<std::byte, peer::kFrameHeaderBytes>;
    peer::encode(frame.header, Header(made.data(), made.size()));
    Bytes bytes = golden(frame.name, made);
    CHECK_OK();
    const auto decoded = peer::decode(Header(bytes.data(), bytes.size()));
    CHECK(decoded.ok());
    CHECK_EQ(decoded.value().type, frame.header.type);
    CHECK_EQ(decoded.value().flags, frame.header.flags);
    CHECK_EQ(decoded.value().payload_bytes, frame.header.payload_bytes);
    CHECK_EQ(decoded.value().sequence, frame.header.sequence);
    CHECK_EQ(decoded.value().offset, frame.header.offset);
  }
}

TEST(golden_bytes_changed_anywhere_are_refused) {
  for (const Frame& frame : kFrames) {
    Bytes bytes(peer::kFrameHeaderBytes);
    using Header = std::span<std::byte, peer::kFrameHeaderBytes>;
    peer::encode(frame.header, Header(bytes.data(), bytes.size()));
    for (std::byte& byte : bytes) {
      byte ^= std::byte{1};
      CHECK(!peer::decode(Header(bytes.data(), bytes.size())).ok());
      byte ^= std::byte{1};
    }
  }
  Bytes page(4096, std::byte{0x5a});
  const PageName name{PageKind::kBitmap, 1, 2};
  seal_page(name, 3, kMetadataId, page_of(page));
  for (std::byte& byte : page) {
    byte ^= std::byte{0x80};
    CHECK(!open_page(name, kMetadataId, page_of(page)));
    byte ^= std::byte{0x80};
  }
  CHECK(open_page(name, kMetadataId, page_of(page)) == 3u);
  CHECK(!open_page(name, kMetadataId + 1, page_of(page)));
  CHECK(!open_page({PageKind::kBitmap, 0, 2}, kMetadataId, page_of(page)));
  CHECK(!open_page({PageKind::kBitmap, 1, 3}, kMetadataId, page_of(page)));
  CHECK(!open_page({PageKind::kStates, 1, 2}, kMetadataId, page_of(page)));
}
