// The ring between the engine's thread and JavaScript: order, coalescing, overflow, two threads.
#include "bind/event_ring.h"

#include <atomic>
#include <cerrno>
#include <string>
#include <thread>

#include "check.h"

using namespace blkmirror;        // NOLINT: a test
using namespace blkmirror::bind;  // NOLINT: a test

namespace {

void count(void* owner) { ++*static_cast<uint32_t*>(owner); }

void send(EventRing& ring, uint32_t incarnation, const std::string& text) {
  ring.control(3, incarnation, std::as_bytes(std::span(text.data(), text.size())));
}

std::string numbered(uint64_t number) {
  return std::to_string(number) + ":" + std::string(number % 3000, char('a' + number % 26));
}

meta::Superblock some_superblock() {
  meta::Superblock superblock;
  superblock.resource = "r0";
  superblock.node = "alpha";
  superblock.peers[4].name = "beta";
  superblock.layout = meta::compute_layout(true, 64 << 20, 64 << 20, 7, 512).value();
  return superblock;
}

}  // namespace

TEST(ring_shows_events_in_order_once_they_are_published) {
  uint32_t told = 0;
  EventRing ring(count, &told);
  Event event;
  std::string text;
  ring.attached();
  send(ring, 1, "{\"a\":1}");
  ring.completed(7, EIO, "writing");
  CHECK(!ring.try_take(event, text));
  CHECK_EQ(told, 0);
  ring.publish();
  CHECK_EQ(told, 1);
  CHECK(ring.try_take(event, text));
  CHECK(event.kind == EventKind::kAttached);
  CHECK(ring.try_take(event, text));
  CHECK(event.kind == EventKind::kControl);
  CHECK_EQ(text, std::string("{\"a\":1}"));
  CHECK(ring.try_take(event, text));
  CHECK(event.kind == EventKind::kCompleted);
  CHECK_EQ(event.ticket, 7);
  CHECK_EQ(event.error, EIO);
  CHECK_EQ(std::string(event.detail), std::string("writing"));
  CHECK(!ring.try_take(event, text));
}

TEST(ring_tells_of_clients_and_generations_once_however_often_they_change) {
  uint32_t told = 0;
  EventRing ring(count, &told);
  for (uint32_t clients = 1; clients <= 5000; clients++) {
    ring.clients_changed(clients);
    ring.generation_changed();
    ring.disk_failed("reading", EIO);
  }
  ring.publish();
  Event event;
  std::string text;
  uint32_t taken = 0;
  while (ring.try_take(event, text)) {
    taken++;
    if (event.kind == EventKind::kClientsChanged) CHECK_EQ(event.count, 5000);
  }
  CHECK_EQ(taken, 3);
  ring.generation_changed();
  ring.publish();
  CHECK(ring.try_take(event, text));
}

TEST(ring_marks_a_link_whose_control_frames_find_no_room) {
  uint32_t told = 0;
  EventRing ring(count, &told);
  for (int number = 0; number < 5000; number++) send(ring, 9, "{}");
  uint32_t slot = 0;
  uint32_t incarnation = 0;
  CHECK(ring.take_overflow(&slot, &incarnation));
  CHECK_EQ(slot, 3);
  CHECK_EQ(incarnation, 9);
  CHECK(!ring.take_overflow(&slot, &incarnation));
  // Everything else still finds room.
  for (int number = 0; number < 500; number++) ring.completed(1, 0, "");
  ring.link_closed(3, 9, engine::Loss::kBrokenPipe, "closed");
  ring.publish();
  Event event;
  std::string text;
  std::string last;
  while (ring.try_take(event, text)) last = event.detail;
  CHECK(last.find("faster than they were handled") != std::string::npos);
  send(ring, 10, "{\"again\":1}");
  ring.publish();
  CHECK(ring.try_take(event, text));
  CHECK_EQ(text, std::string("{\"again\":1}"));
}

TEST(ring_keeps_a_snapshot_of_the_metadata) {
  uint32_t told = 0;
  EventRing ring(count, &told);
  CHECK_EQ(ring.metadata().error().code, EAGAIN);
  meta::Superblock superblock = some_superblock();
  superblock.current_uuid = 77;
  ring.metadata_changed(superblock);
  const Result<meta::Superblock> seen = ring.metadata();
  CHECK(seen.ok());
  CHECK_EQ(seen.value().current_uuid, 77);
  CHECK_EQ(ring.named_slots(), 1u << 4);
}

TEST(ring_works_between_two_threads) {
  EventRing ring([](void*) {}, nullptr);
  uint64_t overflows = 0;
  std::atomic<uint64_t> closed{0};
  std::thread engine([&ring, &overflows, &closed] {
    uint32_t incarnation = 1;
    meta::Superblock superblock = some_superblock();
    for (uint64_t number = 0; number < 50000; number++) {
      send(ring, incarnation, numbered(number));
      if (number % 7 == 0) ring.clients_changed(uint32_t(number));
      if (number % 100 == 0) ring.metadata_changed(superblock);
      if (number % 5 == 0) ring.publish();
      uint32_t slot = 0;
      uint32_t lost = 0;
      if (!ring.take_overflow(&slot, &lost)) continue;
      ring.link_closed(slot, lost, engine::Loss::kProtocolError, "");
      ring.publish();
      overflows++;
      incarnation++;
      // As the next link of a peer does, it comes after JavaScript has seen the end of the last.
      while (closed.load() < overflows) std::this_thread::yield();
    }
    ring.ended();
  });
  Event event;
  std::string text;
  uint64_t wrong = 0;
  uint64_t next = 0;
  for (event.kind = EventKind::kAttached; event.kind != EventKind::kEnded;) {
    if (!ring.try_take(event, text)) {
      std::this_thread::yield();
      continue;
    }
    if (event.kind == EventKind::kLinkClosed) closed++;
    if (event.kind != EventKind::kControl) continue;
    const uint64_t number = std::stoull(text);
    if (number < next || text != numbered(number)) wrong++;
    next = number + 1;
    if (number % 64 == 0 && !ring.metadata().ok()) wrong++;
  }
  engine.join();
  CHECK_EQ(wrong, 0);
  CHECK_EQ(closed.load(), overflows);
}
