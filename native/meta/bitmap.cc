// The out-of-sync bitmap between memory (bitmap_pages) and disk.
//
// write_back() in two passes: the bits of dirty partial pages, flush; then the state pages that
// changed, flush. At every crash point a page on disk reads as it was, as it is to become, or,
// where it is torn, as all:
// - to partial: its bits are durable before a state says partial. Until then the disk says
//   none or all, as before, or partial with the old or the new bits, each whole or torn.
// - to none or all: only the state changes.
// The state pages show `disk_state`, fixed for a page when the first pass comes by: a page that
// turns partial after that is not called partial before its own bits are durable.
#include "meta/bitmap.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "base/assert.h"
#include "meta/bitmap_pages.h"
#include "meta/page_codec.h"
#include "meta/page_io.h"

namespace blkmirror::meta {

namespace {

// Flags of a chunk during a write-back.
constexpr uint8_t kInBatch = 1;       // has pages for the first pass
constexpr uint8_t kStateChanged = 2;  // its state page is written in the second

}  // namespace

struct Bitmap::Private final : PageSource {
  enum class Task : uint8_t { kNone, kFormat, kLoadStates, kLoadPages, kWritePages, kWriteStates };

  io::Io& io;
  PageIo pages;
  BitmapPages memory;
  Layout layout;
  uint64_t metadata_id = 0;
  uint64_t sequence = 0;  // of the last page written
  uint64_t damaged = 0;   // pages at load()
  Task task = Task::kNone;
  PageState format_state = PageState::kNone;
  uint64_t cursor = 0;         // slot * chunk count + chunk
  uint64_t page_cursor = 0;    // in that chunk, from 0
  std::vector<uint8_t> batch;  // flags by slot and chunk
  int failed = 0;              // positive errno
  io::Timer failing;           // tells those who come after a failure
  WaiterList riding;           // on the task under way
  WaiterList next;             // on the write-back after it

  Private(io::Io& world, io::DiskId disk) : io(world), pages(world, disk, *this) {
    failing.owner = this;
    failing.fire = [](io::Timer& timer) {
      auto& self = *static_cast<Private*>(timer.owner);
      tell_all(self.next, self.failed);
    };
  }
  ~Private() {
    if (failing.link.linked()) io.disarm(failing);
  }

  void prepare(const Layout& new_layout, uint64_t id, Task new_task, Waiter& waiter);
  bool next_page(Page& page) override;
  void page_read(const Page& page) override;
  void pages_finished(int error) override;

  void begin(Task new_task);
  bool next_chunk(Page& page);
  bool next_partial(Page& page);
  bool find_partial(uint32_t slot, uint64_t chunk);
  bool wanted_partial(uint32_t slot, uint64_t page);
  void fill_states(uint32_t slot, uint64_t chunk, PageBytes bytes);
  void fill_bits(uint32_t slot, uint64_t page, PageBytes bytes);
  bool open_both(const PageName& name, const Page& read);
  void states_read(uint32_t slot, uint64_t chunk, const Page& read);
  void bits_read(uint32_t slot, uint64_t page, const Page& read);
  void start_write_back();
  bool states_changed() const;
  void conclude(int error);

  uint64_t cursors() const { return layout.slots * memory.chunk_count(); }
  uint64_t chunk_end(uint64_t chunk) const {
    return std::min(memory.page_count(), (chunk + 1) * kStatesPerStatePage);
  }
};

Bitmap::Bitmap(io::Io& io, io::DiskId disk) : private_(std::make_unique<Private>(io, disk)) {}

Bitmap::~Bitmap() = default;

void Bitmap::load(const Layout& layout, uint64_t metadata_id, Waiter& waiter) {
  private_->prepare(layout, metadata_id, Private::Task::kLoadStates, waiter);
  const bool started = private_->pages.read();
  BM_ASSERT(started);
}

void Bitmap::format(const Layout& layout, uint64_t metadata_id, PageState state, Waiter& waiter) {
  BM_ASSERT(state != PageState::kPartial);
  private_->format_state = state;
  private_->prepare(layout, metadata_id, Private::Task::kFormat, waiter);
  private_->pages.write();
}

void Bitmap::set(uint32_t slot_mask, uint64_t offset, uint32_t length) {
  BitmapPages& memory = private_->memory;
  BM_ASSERT(length > 0);
  BM_ASSERT(offset + length <= private_->layout.device_size_bytes);
  BM_ASSERT(slot_mask >> memory.slots() == 0);
  uint64_t block = offset / limits::kBlockBytes;
  const uint64_t end = (offset + length - 1) / limits::kBlockBytes + 1;
  while (block < end) {
    const uint64_t page = block / kBlocksPerPage;
    const uint64_t start = page * kBlocksPerPage;
    const uint64_t stop = std::min(end, start + kBlocksPerPage);
    for (uint32_t rest = slot_mask; rest != 0; rest &= rest - 1) {
      const auto slot = static_cast<uint32_t>(std::countr_zero(rest));
      memory.set(slot, page, block - start, stop - start);
    }
    block = stop;
  }
}

void Bitmap::clear(uint32_t slot, uint64_t offset, uint32_t length) {
  BitmapPages& memory = private_->memory;
  const uint64_t device = private_->layout.device_size_bytes;
  BM_ASSERT(slot < memory.slots());
  BM_ASSERT(offset + length <= device);
  uint64_t block = (offset + limits::kBlockBytes - 1) / limits::kBlockBytes;
  const uint64_t reach = offset + length;
  const uint64_t rounding = reach == device ? limits::kBlockBytes - 1 : 0;
  const uint64_t end = (reach + rounding) / limits::kBlockBytes;
  while (block < end) {
    const uint64_t page = block / kBlocksPerPage;
    const uint64_t start = page * kBlocksPerPage;
    const uint64_t stop = std::min(end, start + kBlocksPerPage);
    memory.clear(slot, page, block - start, stop - start);
    block = stop;
  }
}

void Bitmap::set_all(uint32_t slot) {
  BitmapPages& memory = private_->memory;
  BM_ASSERT(slot < memory.slots());
  for (uint64_t page = 0; page < memory.page_count(); ++page) {
    memory.make(slot, page, PageState::kAll);
  }
}

void Bitmap::clear_all(uint32_t slot) {
  BitmapPages& memory = private_->memory;
  BM_ASSERT(slot < memory.slots());
  for (uint64_t page = memory.next_page(slot, 0); page < memory.page_count();
       page = memory.next_page(slot, page + 1)) {
    memory.make(slot, page, PageState::kNone);
  }
}

bool Bitmap::any(uint32_t slot, uint64_t offset, uint32_t length) const {
  const BitmapPages& memory = private_->memory;
  BM_ASSERT(length > 0);
  BM_ASSERT(offset + length <= private_->layout.device_size_bytes);
  if (memory.blocks(slot) == 0) return false;
  uint64_t block = offset / limits::kBlockBytes;
  const uint64_t end = (offset + length - 1) / limits::kBlockBytes + 1;
  while (block < end) {
    const uint64_t page = block / kBlocksPerPage;
    const uint64_t start = page * kBlocksPerPage;
    const uint64_t stop = std::min(end, start + kBlocksPerPage);
    if (memory.any(slot, page, block - start, stop - start)) return true;
    block = stop;
  }
  return false;
}

std::optional<Range> Bitmap::next(uint32_t slot, uint64_t from, uint32_t limit) const {
  const BitmapPages& memory = private_->memory;
  BM_ASSERT(slot < memory.slots());
  BM_ASSERT(limit >= limits::kBlockBytes);
  if (memory.blocks(slot) == 0) return std::nullopt;
  uint64_t block = (from + limits::kBlockBytes - 1) / limits::kBlockBytes;
  for (;;) {
    const uint64_t page = memory.next_page(slot, block / kBlocksPerPage);
    if (page == memory.page_count()) return std::nullopt;
    const uint64_t start = page * kBlocksPerPage;
    const uint64_t size = memory.page_blocks(page);
    const uint64_t first =
        memory.find(slot, page, std::min(size, std::max(block, start) - start), size, true);
    block = start + kBlocksPerPage;
    if (first == size) continue;
    const uint64_t extent_end = (first / kBlocksPerExtent + 1) * kBlocksPerExtent;
    const uint64_t most = std::min({size, extent_end, first + limit / limits::kBlockBytes});
    const uint64_t end = memory.find(slot, page, first, most, false);
    const uint64_t offset = (start + first) * limits::kBlockBytes;
    const uint64_t reach =
        std::min((start + end) * limits::kBlockBytes, private_->layout.device_size_bytes);
    return Range{offset, static_cast<uint32_t>(reach - offset)};
  }
}

uint64_t Bitmap::out_of_sync_bytes(uint32_t slot) const {
  const BitmapPages& memory = private_->memory;
  BM_ASSERT(slot < memory.slots());
  const uint64_t bytes = memory.blocks(slot) * limits::kBlockBytes;
  const uint64_t tail = private_->layout.device_size_bytes % limits::kBlockBytes;
  if (tail == 0 || bytes == 0 || !memory.last_block_set(slot)) return bytes;
  return bytes - limits::kBlockBytes + tail;
}

uint64_t Bitmap::page_count() const { return private_->memory.page_count(); }

PageState Bitmap::page_state(uint32_t slot, uint64_t page) const {
  return private_->memory.state(slot, page);
}

std::span<const std::byte> Bitmap::page_bits(uint32_t slot, uint64_t page) const {
  return private_->memory.bits(slot, page);
}

void Bitmap::merge(uint32_t slot, uint64_t page, PageState state, std::span<const std::byte> bits) {
  BM_ASSERT(page < page_count());
  BM_ASSERT(bits.size() == (state == PageState::kPartial ? kBitmapPageBitBytes : 0));
  if (state == PageState::kAll) private_->memory.make(slot, page, PageState::kAll);
  if (state == PageState::kPartial) private_->memory.merge(slot, page, bits);
}

void Bitmap::write_back(Waiter& waiter) {
  BM_ASSERT(waiter.done != nullptr);
  BM_ASSERT(private_->memory.page_count() > 0);
  private_->next.push_back(waiter);
  if (private_->failed != 0) {
    if (!private_->failing.link.linked()) {
      private_->io.arm(private_->failing, private_->io.now_us());
    }
  } else if (private_->task == Private::Task::kNone) {
    private_->start_write_back();
  }
}

bool Bitmap::idle() const {
  return private_->task == Private::Task::kNone && private_->next.empty();
}

uint64_t Bitmap::damaged_pages() const { return private_->damaged; }

uint64_t Bitmap::page_writes() const { return private_->pages.page_writes(); }

void Bitmap::Private::prepare(const Layout& new_layout, uint64_t id, Task new_task,
                              Waiter& waiter) {
  BM_ASSERT(task == Task::kNone);
  BM_ASSERT(waiter.done != nullptr);
  layout = new_layout;
  metadata_id = id;
  memory.prepare(layout);
  batch.assign(cursors(), 0);
  sequence = 0;
  damaged = 0;
  failed = 0;
  riding.push_back(waiter);
  begin(new_task);
}

void Bitmap::Private::begin(Task new_task) {
  task = new_task;
  cursor = 0;
  page_cursor = 0;
}

bool Bitmap::Private::next_page(Page& page) {
  BM_ASSERT(task != Task::kNone);
  const bool whole_chunks =
      task == Task::kFormat || task == Task::kLoadStates || task == Task::kWriteStates;
  return whole_chunks ? next_chunk(page) : next_partial(page);
}

// State pages: every one, or in a write-back those that changed.
bool Bitmap::Private::next_chunk(Page& page) {
  if (task == Task::kWriteStates) {
    while (cursor < cursors() && (batch[cursor] & kStateChanged) == 0) ++cursor;
  }
  if (cursor == cursors()) return false;
  const auto slot = static_cast<uint32_t>(cursor / memory.chunk_count());
  const uint64_t chunk = cursor % memory.chunk_count();
  page.key = cursor;
  page.places = layout.state_page(slot, chunk);
  if (task != Task::kLoadStates) fill_states(slot, chunk, page.bytes());
  batch[cursor] = 0;
  ++cursor;
  return true;
}

// Bitmap pages: those to be read, or in a write-back those that are dirty and partial.
bool Bitmap::Private::next_partial(Page& page) {
  for (; cursor < cursors(); ++cursor, page_cursor = 0) {
    const auto slot = static_cast<uint32_t>(cursor / memory.chunk_count());
    const uint64_t chunk = cursor % memory.chunk_count();
    if (task == Task::kWritePages && (batch[cursor] & kInBatch) == 0) continue;
    if (!find_partial(slot, chunk)) continue;
    const uint64_t index = chunk * kStatesPerStatePage + page_cursor;
    page.key = slot * memory.page_count() + index;
    page.places = layout.bitmap_page(slot, index);
    if (task == Task::kWritePages) fill_bits(slot, index, page.bytes());
    ++page_cursor;
    return true;
  }
  return false;
}

// Moves the page cursor to the chunk's next page for next_partial().
bool Bitmap::Private::find_partial(uint32_t slot, uint64_t chunk) {
  const uint64_t start = chunk * kStatesPerStatePage;
  for (; start + page_cursor < chunk_end(chunk); ++page_cursor) {
    if (wanted_partial(slot, start + page_cursor)) return true;
  }
  return false;
}

bool Bitmap::Private::wanted_partial(uint32_t slot, uint64_t page) {
  const PageState state = memory.state(slot, page);
  if (task == Task::kLoadPages) return state == PageState::kPartial;
  BM_ASSERT(task == Task::kWritePages);
  if (!memory.dirty(slot, page)) return false;
  memory.clean(slot, page);
  if (memory.disk_state(slot, page) != state) {
    memory.set_disk_state(slot, page, state);
    batch[cursor] |= kStateChanged;
  }
  return state == PageState::kPartial;
}

void Bitmap::Private::fill_states(uint32_t slot, uint64_t chunk, PageBytes bytes) {
  BM_ASSERT(task == Task::kFormat || task == Task::kWriteStates);
  const uint64_t start = chunk * kStatesPerStatePage;
  for (uint64_t i = 0; i < kStatesPerStatePage; ++i) {
    PageState state = PageState::kNone;  // also beyond the last page
    if (start + i < chunk_end(chunk)) {
      state = task == Task::kFormat ? format_state : memory.disk_state(slot, start + i);
    }
    bytes[kPageHeaderBytes + i] = static_cast<std::byte>(state);
  }
  seal_page({PageKind::kStates, slot, chunk}, ++sequence, metadata_id, bytes);
}

void Bitmap::Private::fill_bits(uint32_t slot, uint64_t page, PageBytes bytes) {
  const auto bits = memory.bits(slot, page);
  BM_ASSERT(bits.size() == kBitmapPageBitBytes);
  std::copy(bits.begin(), bits.end(), bytes.begin() + kBitmapPageHeaderBytes);
  seal_page({PageKind::kBitmap, slot, page}, ++sequence, metadata_id, bytes);
}

void Bitmap::Private::page_read(const Page& page) {
  const uint64_t count = task == Task::kLoadStates ? memory.chunk_count() : memory.page_count();
  BM_ASSERT(task == Task::kLoadStates || task == Task::kLoadPages);
  const auto slot = static_cast<uint32_t>(page.key / count);
  if (task == Task::kLoadStates) {
    states_read(slot, page.key % count, page);
  } else {
    bits_read(slot, page.key % count, page);
  }
}

// False when either copy is damaged.
bool Bitmap::Private::open_both(const PageName& name, const Page& read) {
  const auto first = open_page(name, metadata_id, read.bytes());
  const auto second = open_page(name, metadata_id, read.twin_bytes());
  if (!first || !second) return false;
  sequence = std::max({sequence, *first, *second});
  return true;
}

// Of two copies that differ the state with more out of sync: none < partial < all.
void Bitmap::Private::states_read(uint32_t slot, uint64_t chunk, const Page& read) {
  static_assert(PageState::kNone < PageState::kPartial);
  static_assert(PageState::kPartial < PageState::kAll);
  const bool opened = open_both({PageKind::kStates, slot, chunk}, read);
  if (!opened) ++damaged;
  const uint64_t start = chunk * kStatesPerStatePage;
  for (uint64_t page = start; page < chunk_end(chunk); ++page) {
    const std::byte first = read.bytes()[kPageHeaderBytes + (page - start)];
    const std::byte second = read.twin_bytes()[kPageHeaderBytes + (page - start)];
    const std::byte state = std::max(first, second);
    if (!opened || state > static_cast<std::byte>(PageState::kAll)) {
      memory.distrust(slot, page);
    } else {
      memory.restore(slot, page, static_cast<PageState>(state));
      if (first != second) memory.rewrite(slot, page);
    }
  }
}

void Bitmap::Private::bits_read(uint32_t slot, uint64_t page, const Page& read) {
  if (!open_both({PageKind::kBitmap, slot, page}, read)) {
    ++damaged;
    memory.fill_all(slot, page);
    return;
  }
  const auto first = read.bytes().subspan(kBitmapPageHeaderBytes);
  const auto second = read.twin_bytes().subspan(kBitmapPageHeaderBytes);
  const bool differ = !std::equal(first.begin(), first.end(), second.begin());
  for (size_t at = 0; at < first.size(); ++at) first[at] |= second[at];
  memory.fill(slot, page, first);
  if (differ) memory.rewrite(slot, page);
}

void Bitmap::Private::start_write_back() {
  BM_ASSERT(task == Task::kNone);
  BM_ASSERT(riding.empty());
  move_all(next, riding);
  for (uint64_t i = 0; i < cursors(); ++i) {
    const auto slot = static_cast<uint32_t>(i / memory.chunk_count());
    const uint64_t chunk = i % memory.chunk_count();
    batch[i] = memory.chunk_dirty(slot, chunk) ? kInBatch : 0;
    memory.clean_chunk(slot, chunk);
  }
  begin(Task::kWritePages);
  pages.write();
}

bool Bitmap::Private::states_changed() const {
  return std::any_of(batch.begin(), batch.end(),
                     [](uint8_t flags) { return (flags & kStateChanged) != 0; });
}

void Bitmap::Private::pages_finished(int error) {
  BM_ASSERT(task != Task::kNone);
  if (error == 0 && task == Task::kLoadStates) {
    begin(Task::kLoadPages);
    if (pages.read()) return;
  } else if (error == 0 && task == Task::kWritePages && states_changed()) {
    begin(Task::kWriteStates);
    pages.write();
    return;
  }
  conclude(error);
}

void Bitmap::Private::conclude(int error) {
  WaiterList told;
  move_all(riding, told);
  task = Task::kNone;
  if (error != 0) {
    failed = error;
    move_all(next, told);
  } else if (!next.empty()) {
    start_write_back();
  }
  tell_all(told, error);
}

}  // namespace blkmirror::meta
