// See sim_disk.h.
#include "io/sim_disk.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace blkmirror::io {

namespace {

constexpr size_t kPagesAtOnce = 64;

// Pages that no disk uses. One thread.
std::vector<std::byte*>& spare_pages() {
  static auto* const spare = new std::vector<std::byte*>();
  return *spare;
}

// With any contents.
std::byte* take_page() {
  std::vector<std::byte*>& spare = spare_pages();
  if (spare.empty()) {
    auto* more = static_cast<std::byte*>(
        ::operator new (kPagesAtOnce* SimDisk::kPageBytes, std::align_val_t{SimDisk::kPageBytes}));
    for (size_t i = 0; i < kPagesAtOnce; i++) spare.push_back(more + i * SimDisk::kPageBytes);
  }
  std::byte* page = spare.back();
  spare.pop_back();
  return page;
}

void give_page(std::byte*& page) {
  if (page != nullptr) spare_pages().push_back(page);
  page = nullptr;
}

}  // namespace

SimDisk::SimDisk(uint64_t size_bytes, uint32_t block_bytes, SimRandom& random)
    : size_bytes_(size_bytes),
      block_bytes_(block_bytes),
      random_(random),
      chunks_((size_bytes / kPageBytes + kChunkPages) / kChunkPages) {
  BM_ASSERT(block_bytes == 512 || block_bytes == 4096);
  BM_ASSERT(size_bytes % block_bytes == 0);
}

SimDisk::~SimDisk() { forget_all(); }

void SimDisk::read(uint64_t offset, std::byte* data, uint32_t length) const {
  BM_ASSERT(offset <= size_bytes_);
  BM_ASSERT(length <= size_bytes_ - offset);
  while (length > 0) {
    const uint32_t inside = offset % kPageBytes;
    const uint32_t part = std::min(length, kPageBytes - inside);
    const std::byte* page = peek(offset / kPageBytes);
    if (page == nullptr) {
      std::memset(data, 0, part);
    } else {
      std::memcpy(data, page + inside, part);
    }
    offset += part;
    data += part;
    length -= part;
  }
}

void SimDisk::write(uint64_t offset, const std::byte* data, uint32_t length, bool durable) {
  BM_ASSERT(offset % block_bytes_ == 0);
  BM_ASSERT(length % block_bytes_ == 0);
  BM_ASSERT(length <= size_bytes_ && offset <= size_bytes_ - length);
  for (uint32_t done = 0; done < length;) {
    const uint64_t number = (offset + done) / kPageBytes;
    const uint32_t inside = (offset + done) % kPageBytes;
    const uint32_t part = std::min(kPageBytes - inside, length - done);
    Page& page = at(number);
    write_page(page, inside, data == nullptr ? nullptr : data + done, part, durable);
    done += part;
    if (page.dirty == 0 || page.in_list) continue;
    page.in_list = true;
    dirty_pages_.push_back(number);
  }
}

// A part of one page, in whole blocks.
void SimDisk::write_page(Page& page, uint32_t inside, const std::byte* data, uint32_t length,
                         bool durable) {
  BM_ASSERT(length > 0);
  BM_ASSERT(inside + length <= kPageBytes);
  const uint32_t first = inside / kSectorBytes;
  const auto touched = static_cast<uint8_t>(((1u << length / kSectorBytes) - 1) << first);
  if (durable) {
    page.dirty &= static_cast<uint8_t>(~touched);
  } else if (length == kPageBytes && page.dirty == 0) {
    // Over a clean page: what was there is wholly what the medium has.
    give_page(page.stable);
    std::swap(page.stable, page.current);
    page.dirty = touched;
  } else {
    keep_replaced(page, touched);
    page.dirty |= touched;
  }
  store(page.current, inside, data, length);
}

// A clean sector's contents are on the medium; those of a dirty one may have been written back.
void SimDisk::keep_replaced(Page& page, uint8_t touched) {
  BM_ASSERT(touched != 0);
  uint8_t kept = touched & static_cast<uint8_t>(~page.dirty);
  const uint32_t sectors = block_bytes_ / kSectorBytes;
  const auto block = static_cast<uint8_t>((1u << sectors) - 1);
  for (uint32_t sector = 0; sector < kPageBytes / kSectorBytes; sector += sectors) {
    const auto dirty = static_cast<uint8_t>(touched & page.dirty & (block << sector));
    if (dirty != 0 && random_.chance(2)) kept |= dirty;
  }
  for (uint32_t sector = 0; sector < kPageBytes / kSectorBytes;) {
    const auto run = static_cast<uint32_t>(std::countr_one(static_cast<uint8_t>(kept >> sector)));
    const uint32_t at = sector * kSectorBytes;
    const std::byte* from = page.current == nullptr ? nullptr : page.current + at;
    if (run > 0) store(page.stable, at, from, run * kSectorBytes);
    sector += run + 1;
  }
}

bool SimDisk::write_torn(uint64_t offset, const std::byte* data, uint32_t length) {
  BM_ASSERT(offset % block_bytes_ == 0);
  BM_ASSERT(length % block_bytes_ == 0);
  uint32_t arrived = 0;
  for (uint32_t done = 0; done < length; done += block_bytes_) {
    if (random_.chance(2)) continue;
    write(offset + done, data == nullptr ? nullptr : data + done, block_bytes_, false);
    arrived += block_bytes_;
  }
  return arrived != 0 && arrived != length;
}

void SimDisk::flush() {
  for (const uint64_t number : dirty_pages_) {
    Page& page = at(number);
    BM_ASSERT(page.in_list);
    page.in_list = false;
    page.dirty = 0;
    give_page(page.stable);
  }
  dirty_pages_.clear();
}

uint64_t SimDisk::power_loss() {
  uint64_t lost = 0;
  for (const uint64_t number : dirty_pages_) lost += lose(at(number));
  flush();
  BM_ASSERT(dirty_pages_.empty());
  return lost;
}

bool SimDisk::is_unflushed(uint64_t offset) const {
  const Page* page = find(offset / kPageBytes);
  if (page == nullptr) return false;
  return (page->dirty >> (offset % kPageBytes / kSectorBytes) & 1) != 0;
}

const std::byte* SimDisk::peek(uint64_t number) const {
  const Page* page = find(number);
  return page == nullptr ? nullptr : page->current;
}

std::vector<uint64_t> SimDisk::written_pages() const {
  std::vector<uint64_t> numbers;
  for (uint64_t i = 0; i < chunks_.size(); i++) {
    if (chunks_[i] == nullptr) continue;
    for (uint64_t j = 0; j < kChunkPages; j++) {
      if ((*chunks_[i])[j].current != nullptr) numbers.push_back(i * kChunkPages + j);
    }
  }
  return numbers;
}

std::unique_ptr<SimDisk> SimDisk::copy() const {
  auto copy = std::make_unique<SimDisk>(size_bytes_, block_bytes_, random_);
  copy->restore(*this);
  return copy;
}

void SimDisk::restore(const SimDisk& from) {
  BM_ASSERT(from.size_bytes_ == size_bytes_);
  forget_all();
  for (const uint64_t number : from.written_pages()) {
    std::byte*& mine = at(number).current;
    mine = take_page();
    std::memcpy(mine, from.peek(number), kPageBytes);
  }
}

void SimDisk::forget_all() {
  for (auto& chunk : chunks_) {
    if (chunk == nullptr) continue;
    for (Page& page : *chunk) {
      give_page(page.current);
      give_page(page.stable);
    }
    chunk.reset();
  }
  dirty_pages_.clear();
}

SimDisk::Page& SimDisk::at(uint64_t number) {
  BM_ASSERT(number / kChunkPages < chunks_.size());
  std::unique_ptr<Chunk>& chunk = chunks_[number / kChunkPages];
  if (chunk == nullptr) chunk = std::make_unique<Chunk>();
  return (*chunk)[number % kChunkPages];
}

const SimDisk::Page* SimDisk::find(uint64_t number) const {
  BM_ASSERT(number / kChunkPages < chunks_.size());
  const Chunk* chunk = chunks_[number / kChunkPages].get();
  return chunk == nullptr ? nullptr : &(*chunk)[number % kChunkPages];
}

// Each dirty block falls back to the medium's version, or its newest one made it there.
uint64_t SimDisk::lose(Page& page) {
  uint64_t lost = 0;
  const uint32_t sectors = block_bytes_ / kSectorBytes;
  for (uint32_t first = 0; first < kPageBytes / kSectorBytes; first += sectors) {
    if (random_.chance(2)) continue;
    const uint32_t mask = ((1u << sectors) - 1) << first;
    if ((page.dirty & mask) != 0) lost++;
    for (uint32_t sector = first; sector < first + sectors; sector++) {
      if ((page.dirty & (1u << sector)) == 0) continue;
      const uint32_t inside = sector * kSectorBytes;
      const std::byte* old = page.stable == nullptr ? nullptr : page.stable + inside;
      store(page.current, inside, old, kSectorBytes);
    }
  }
  return lost;
}

void SimDisk::store(std::byte*& page, uint32_t offset, const std::byte* data, uint32_t length) {
  BM_ASSERT(offset % kSectorBytes == 0);
  BM_ASSERT(length <= kPageBytes - offset);
  if (page == nullptr) {
    if (data == nullptr) return;
    page = take_page();
    if (length < kPageBytes) std::memset(page, 0, kPageBytes);
  }
  if (data == nullptr) {
    std::memset(page + offset, 0, length);
  } else {
    std::memcpy(page + offset, data, length);
  }
}

}  // namespace blkmirror::io
