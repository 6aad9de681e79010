// The activity log in three bit arrays, one bit for each extent:
//
//   wanted   what heat() and cool() asked for; what the next page written says
//   durable  hot on disk and not cooled since: what hot() tells
//   written  the content of the pages of the batch under way, as they were submitted, less
//            what was cooled since
//
// A batch takes all dirty pages, writes them, flushes; then durable = written for them. A
// caller whose bit is in a page that the batch has yet to submit, or has submitted with the
// bit, rides on that batch, everybody else on the next; so nobody waits for a hot extent, and
// cooling one never deceives a waiter.
#include "meta/activity_log.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "base/assert.h"
#include "meta/page_codec.h"
#include "meta/page_io.h"

namespace blkmirror::meta {

namespace {

constexpr uint64_t kWordsPerPage = kExtentsPerLogPage / 64;
static_assert(kLogPageHeaderBytes + kWordsPerPage * 8 == limits::kPageBytes);

// Flags of a page.
constexpr uint8_t kDirty = 1;    // wanted differs from what was last submitted
constexpr uint8_t kInBatch = 2;  // belongs to the batch under way

std::span<const std::byte> body(ConstPageBytes bytes) { return bytes.subspan(kLogPageHeaderBytes); }

}  // namespace

struct ActivityLog::Private final : PageSource {
  enum class Task : uint8_t { kNone, kLoad, kFormat, kBatch };

  PageIo pages;
  Layout layout;
  uint64_t metadata_id = 0;
  uint64_t sequence = 0;  // of the last page written
  uint64_t extents = 0;
  uint64_t page_count = 0;
  Task task = Task::kNone;
  uint64_t cursor = 0;                             // the next page of the task
  std::vector<uint64_t> wanted, durable, written;  // kWordsPerPage for each page
  std::vector<uint32_t> page_hot;                  // durable bits of each page
  std::vector<uint8_t> flags;
  uint64_t hot_count = 0;
  uint64_t dirty_pages = 0;
  uint64_t damaged = 0;  // pages at load()
  int failed = 0;        // positive errno
  WaiterList riding;     // on the task under way
  WaiterList next;       // on the batch after it
  WaiterList ready;      // told at the next batch_end()

  Private(io::Io& io, io::DiskId disk) : pages(io, disk, *this) {}

  void prepare(const Layout& new_layout, uint64_t id, Task new_task, Waiter& waiter);
  bool next_page(Page& page) override;
  void page_read(const Page& page) override;
  void pages_finished(int error) override;

  bool carried(uint64_t extent) const;
  bool next_in_batch();
  void write_page(const Page& page);
  bool unite(const Page& page, uint64_t* bits);
  void mark_dirty(uint64_t page);
  void adopt(uint64_t page);
  void count_page(uint64_t page);
  void start_batch();
  uint64_t page_end(uint64_t page) const {
    return std::min(extents, (page + 1) * kExtentsPerLogPage);
  }
};

ActivityLog::ActivityLog(io::Io& io, io::DiskId disk)
    : private_(std::make_unique<Private>(io, disk)) {}

ActivityLog::~ActivityLog() = default;

void ActivityLog::load(const Layout& layout, uint64_t metadata_id, Waiter& waiter) {
  private_->prepare(layout, metadata_id, Private::Task::kLoad, waiter);
  const bool started = private_->pages.read();
  BM_ASSERT(started);
}

void ActivityLog::format(const Layout& layout, uint64_t metadata_id, Waiter& waiter) {
  private_->prepare(layout, metadata_id, Private::Task::kFormat, waiter);
  private_->pages.write();
}

bool ActivityLog::hot(uint64_t extent) const {
  BM_ASSERT(extent < private_->extents);
  return test_bit(private_->durable.data(), extent);
}

void ActivityLog::heat(uint64_t extent, Waiter& waiter) {
  Private& log = *private_;
  BM_ASSERT(extent < log.extents);
  BM_ASSERT(waiter.done != nullptr);
  if (log.failed != 0 || hot(extent)) {
    log.ready.push_back(waiter);
    return;
  }
  if (log.carried(extent)) {
    log.riding.push_back(waiter);
  } else {
    log.mark_dirty(extent / kExtentsPerLogPage);
    log.next.push_back(waiter);
  }
  set_bits(log.wanted.data(), extent, extent + 1);
}

void ActivityLog::batch_end() {
  Private& log = *private_;
  tell_all(log.ready, log.failed);
  if (log.failed != 0) return;
  if (log.task == Private::Task::kNone && log.dirty_pages > 0) log.start_batch();
}

void ActivityLog::cool(uint64_t extent) {
  Private& log = *private_;
  BM_ASSERT(extent < log.extents);
  // One that is only becoming hot has writes waiting for it: it stays wanted.
  if (!hot(extent)) return;
  const uint64_t page = extent / kExtentsPerLogPage;
  BM_ASSERT(log.hot_count > 0);
  BM_ASSERT(log.page_hot[page] > 0);
  clear_bits(log.durable.data(), extent, extent + 1);
  clear_bits(log.wanted.data(), extent, extent + 1);
  clear_bits(log.written.data(), extent, extent + 1);
  --log.hot_count;
  --log.page_hot[page];
  log.mark_dirty(page);
}

void ActivityLog::commit(Waiter& waiter) {
  Private& log = *private_;
  BM_ASSERT(waiter.done != nullptr);
  BM_ASSERT(log.task == Private::Task::kNone || log.task == Private::Task::kBatch);
  if (log.failed != 0) {
    log.ready.push_back(waiter);
  } else if (log.dirty_pages > 0) {
    log.next.push_back(waiter);
  } else if (log.task == Private::Task::kBatch) {
    log.riding.push_back(waiter);
  } else {
    log.ready.push_back(waiter);
  }
}

uint64_t ActivityLog::extent_count() const { return private_->extents; }

uint64_t ActivityLog::hot_count() const { return private_->hot_count; }

uint64_t ActivityLog::next_hot(uint64_t from) const {
  const Private& log = *private_;
  BM_ASSERT(from <= log.extents);
  for (uint64_t page = from / kExtentsPerLogPage; page < log.page_count; ++page) {
    if (log.page_hot[page] == 0) continue;
    const uint64_t start = std::max(from, page * kExtentsPerLogPage);
    const uint64_t found = find_bit(log.durable.data(), start, log.page_end(page), true);
    if (found < log.page_end(page)) return found;
  }
  return log.extents;
}

bool ActivityLog::idle() const {
  const Private& log = *private_;
  if (log.failed != 0) return log.task == Private::Task::kNone && log.ready.empty();
  return log.task == Private::Task::kNone && log.dirty_pages == 0 && log.ready.empty();
}

uint64_t ActivityLog::damaged_pages() const { return private_->damaged; }

uint64_t ActivityLog::page_writes() const { return private_->pages.page_writes(); }

void ActivityLog::Private::prepare(const Layout& new_layout, uint64_t id, Task new_task,
                                   Waiter& waiter) {
  BM_ASSERT(task == Task::kNone);
  BM_ASSERT(waiter.done != nullptr);
  layout = new_layout;
  metadata_id = id;
  extents = layout.extent_count();
  page_count = layout.log_page_count();
  BM_ASSERT(page_count > 0);
  for (auto* array : {&wanted, &durable, &written}) array->assign(page_count * kWordsPerPage, 0);
  page_hot.assign(page_count, 0);
  flags.assign(page_count, 0);
  sequence = 0;
  hot_count = 0;
  dirty_pages = 0;
  damaged = 0;
  failed = 0;
  cursor = 0;
  task = new_task;
  riding.push_back(waiter);
}

void ActivityLog::Private::start_batch() {
  BM_ASSERT(task == Task::kNone);
  BM_ASSERT(riding.empty());
  for (uint8_t& flag : flags) flag = (flag & kDirty) != 0 ? kInBatch : 0;
  dirty_pages = 0;
  move_all(next, riding);
  task = Task::kBatch;
  cursor = 0;
  pages.write();
}

// Whether the batch under way makes the extent hot, or will when wanted says so.
bool ActivityLog::Private::carried(uint64_t extent) const {
  const uint64_t page = extent / kExtentsPerLogPage;
  BM_ASSERT(page < page_count);
  if (task != Task::kBatch || (flags[page] & kInBatch) == 0) return false;
  return page >= cursor || test_bit(written.data(), extent);
}

bool ActivityLog::Private::next_page(Page& page) {
  BM_ASSERT(task != Task::kNone);
  if (task == Task::kBatch && !next_in_batch()) return false;
  if (cursor == page_count) return false;
  page.key = cursor;
  page.places = layout.log_page(cursor);
  if (task != Task::kLoad) write_page(page);
  ++cursor;
  return true;
}

// Moves the cursor to the next page of the batch.
bool ActivityLog::Private::next_in_batch() {
  while (cursor < page_count && (flags[cursor] & kInBatch) == 0) ++cursor;
  return cursor < page_count;
}

void ActivityLog::Private::write_page(const Page& page) {
  BM_ASSERT(page.key < page_count);
  const uint64_t first = page.key * kWordsPerPage;
  std::copy_n(&wanted[first], kWordsPerPage, &written[first]);
  std::memcpy(&page.bytes()[kLogPageHeaderBytes], &written[first], kWordsPerPage * 8);
  seal_page({PageKind::kLog, 0, page.key}, ++sequence, metadata_id, page.bytes());
}

void ActivityLog::Private::page_read(const Page& page) {
  BM_ASSERT(task == Task::kLoad);
  BM_ASSERT(page.key < page_count);
  uint64_t* bits = &wanted[page.key * kWordsPerPage];
  const uint64_t used = page_end(page.key) - page.key * kExtentsPerLogPage;
  // A page with extents that the device does not have was not written by us either.
  if (!unite(page, bits) || count_bits(bits, used, kExtentsPerLogPage) != 0) {
    clear_bits(bits, 0, kExtentsPerLogPage);
    set_bits(bits, 0, used);
    mark_dirty(page.key);
    ++damaged;
  }
  std::copy_n(bits, kWordsPerPage, &durable[page.key * kWordsPerPage]);
  count_page(page.key);
}

// What either copy says is hot; false when one is damaged. Copies that differ are written anew.
bool ActivityLog::Private::unite(const Page& page, uint64_t* bits) {
  const PageName name{PageKind::kLog, 0, page.key};
  const auto first = open_page(name, metadata_id, page.bytes());
  const auto second = open_page(name, metadata_id, page.twin_bytes());
  if (!first || !second) return false;
  sequence = std::max({sequence, *first, *second});
  uint64_t twin[kWordsPerPage];
  std::memcpy(bits, body(page.bytes()).data(), sizeof twin);
  std::memcpy(twin, body(page.twin_bytes()).data(), sizeof twin);
  if (std::memcmp(bits, twin, sizeof twin) != 0) mark_dirty(page.key);
  for (uint64_t word = 0; word < kWordsPerPage; ++word) bits[word] |= twin[word];
  return true;
}

void ActivityLog::Private::mark_dirty(uint64_t page) {
  BM_ASSERT(page < page_count);
  if ((flags[page] & kDirty) != 0) return;
  flags[page] |= kDirty;
  ++dirty_pages;
}

// What the batch wrote is durable now.
void ActivityLog::Private::adopt(uint64_t page) {
  BM_ASSERT(page < page_count);
  BM_ASSERT((flags[page] & kInBatch) != 0);
  flags[page] &= static_cast<uint8_t>(~kInBatch);
  const uint64_t first = page * kWordsPerPage;
  for (uint64_t word = first; word < first + kWordsPerPage; ++word) {
    durable[word] = written[word];
  }
  count_page(page);
}

void ActivityLog::Private::count_page(uint64_t page) {
  const uint64_t start = page * kExtentsPerLogPage;
  hot_count -= page_hot[page];
  page_hot[page] = static_cast<uint32_t>(count_bits(durable.data(), start, page_end(page)));
  hot_count += page_hot[page];
}

void ActivityLog::Private::pages_finished(int error) {
  BM_ASSERT(task != Task::kNone);
  const Task done = task;
  task = Task::kNone;
  WaiterList told;
  move_all(riding, told);
  if (error != 0) {
    failed = error;
    move_all(next, told);
  } else if (done == Task::kBatch) {
    for (uint64_t page = 0; page < page_count; ++page) {
      if ((flags[page] & kInBatch) != 0) adopt(page);
    }
  }
  tell_all(told, error);
}

}  // namespace blkmirror::meta
