// See bitmap_exchange.h.
#include "engine/bitmap_exchange.h"

#include "base/assert.h"
#include "engine/parts.h"
#include "meta/layout.h"

namespace blkmirror::engine {

namespace {

constexpr uint32_t kStateBytes = 8;
constexpr uint32_t kPagesPerBatch = 16384;  // looked at
// Room left for data frames and control frames.
constexpr uint32_t kReserveBytes = 256u << 10;

}  // namespace

BitmapExchange::BitmapExchange(Parts& parts) : parts_(parts) {
  for (Exchange& exchange : exchanges_) {
    exchange.owner = this;
    exchange.saved.owner = &exchange;
    exchange.saved.done = union_durable;
  }
}

void BitmapExchange::begin(Peer& peer) {
  Exchange& exchange = exchanges_[peer.slot];
  BM_ASSERT(!exchange.active);
  BM_ASSERT(peer.receiving);
  exchange.peer = &peer;
  exchange.active = true;
  exchange.sent = exchange.received = exchange.durable = exchange.peer_durable = false;
  exchange.incarnation = peer.link->incarnation();
  exchange.next_page = exchange.pages_sent = 0;
  active_count_ += 1;
}

void BitmapExchange::peer_lost(uint32_t slot) {
  Exchange& exchange = exchanges_[slot];
  if (!exchange.active) return;
  BM_ASSERT(active_count_ > 0);
  exchange.active = false;
  active_count_ -= 1;
}

void BitmapExchange::batch_end() {
  if (active_count_ == 0) return;
  for (Exchange& exchange : exchanges_) {
    if (exchange.active && !exchange.sent) send_pages(exchange);
  }
}

void BitmapExchange::send_pages(Exchange& exchange) {
  const uint64_t count = parts_.bitmap->page_count();
  uint32_t looked_at = 0;
  while (exchange.next_page < count) {
    if (looked_at == kPagesPerBatch) {
      parts_.io.wake();
      return;
    }
    looked_at += 1;
    if (!send_page(exchange, exchange.next_page)) return;
    exchange.next_page += 1;
  }
  peer::FrameHeader end;
  end.type = peer::FrameType::kBitmapEnd;
  end.sequence = exchange.pages_sent;
  end.offset = parts_.superblock().current_uuid;
  if (exchange.peer->link->space() < kReserveBytes) return;
  exchange.peer->link->push(end);
  exchange.sent = true;
  finish_if_done(exchange);
}

// False when there is no room now.
bool BitmapExchange::send_page(Exchange& exchange, uint64_t page) {
  const uint32_t slot = exchange.peer->slot;
  const meta::PageState state = parts_.bitmap->page_state(slot, page);
  if (state == meta::PageState::kNone) return true;
  peer::Link& link = *exchange.peer->link;
  if (link.space() < kReserveBytes) return false;
  std::byte payload[kStateBytes + meta::kBitmapPageBitBytes] = {};
  payload[0] = static_cast<std::byte>(state);
  uint32_t length = kStateBytes;
  if (state == meta::PageState::kPartial) {
    const std::span<const std::byte> bits = parts_.bitmap->page_bits(slot, page);
    BM_ASSERT(bits.size() == meta::kBitmapPageBitBytes);
    std::copy(bits.begin(), bits.end(), payload + kStateBytes);
    length += meta::kBitmapPageBitBytes;
  }
  peer::FrameHeader header;
  header.type = peer::FrameType::kBitmapPage;
  header.offset = page;
  header.payload_bytes = length;
  link.push(header, {payload, length});
  exchange.pages_sent += 1;
  return true;
}

const char* BitmapExchange::on_page(Peer& peer, const peer::FrameHeader& header,
                                    std::span<const std::byte> payload) {
  Exchange& exchange = exchanges_[peer.slot];
  if (!exchange.active || exchange.received) return "a bitmap page that was not asked for";
  if (header.offset >= parts_.bitmap->page_count()) return "a bitmap page beyond the device's end";
  const auto state = std::to_integer<uint8_t>(payload[0]);
  const std::span<const std::byte> bits = payload.subspan(kStateBytes);
  const bool partial = state == static_cast<uint8_t>(meta::PageState::kPartial);
  if (!partial && state != static_cast<uint8_t>(meta::PageState::kAll)) {
    return "a bitmap page in an unknown state";
  }
  if (bits.size() != (partial ? meta::kBitmapPageBitBytes : 0)) {
    return "a bitmap page of a wrong length";
  }
  parts_.bitmap->merge(peer.slot, header.offset, static_cast<meta::PageState>(state), bits);
  return nullptr;
}

const char* BitmapExchange::on_end(Peer& peer, uint64_t current_uuid) {
  Exchange& exchange = exchanges_[peer.slot];
  if (!exchange.active || exchange.received) return "the end of a bitmap that was not asked for";
  if (current_uuid == 0) return "the end of a bitmap without a generation";
  exchange.received = true;
  // What the source has begun since it was asked; a later generation comes as a frame.
  if (peer.resync == ResyncRole::kTarget) peer.move_to(current_uuid);
  save(exchange);
  return nullptr;
}

void BitmapExchange::save(Exchange& exchange) {
  BM_ASSERT(!exchange.saving);
  exchange.saving = true;
  exchange.peer->applying += 1;  // the next connection waits for it
  parts_.bitmap->write_back(exchange.saved);
}

void BitmapExchange::union_durable(meta::Waiter& waiter, int error) {
  auto& exchange = *static_cast<Exchange*>(waiter.owner);
  Parts& parts = exchange.owner->parts_;
  BM_ASSERT(exchange.saving);
  exchange.saving = false;
  parts.peers.finish_applying(*exchange.peer);
  if (error != 0) {
    parts.fail_disk("writing the bitmap", error);
    return;
  }
  if (!exchange.active) return;
  BM_ASSERT(exchange.received);
  exchange.durable = true;
  peer::FrameHeader header;
  header.type = peer::FrameType::kBitmapDurable;
  if (exchange.peer->push(header)) exchange.owner->finish_if_done(exchange);
}

const char* BitmapExchange::on_durable(Peer& peer) {
  Exchange& exchange = exchanges_[peer.slot];
  if (!exchange.active || exchange.peer_durable) return "an unexpected end of a bitmap exchange";
  exchange.peer_durable = true;
  finish_if_done(exchange);
  return nullptr;
}

void BitmapExchange::finish_if_done(Exchange& exchange) {
  if (!exchange.sent || !exchange.durable || !exchange.peer_durable) return;
  BM_ASSERT(exchange.received);
  exchange.active = false;
  active_count_ -= 1;
  Peer& peer = *exchange.peer;
  parts_.events.resync_started(peer.slot, exchange.incarnation);
  if (peer.resync == ResyncRole::kTarget) {
    parts_.target.begin(peer);
  } else {
    parts_.source.begin(peer);
  }
}

}  // namespace blkmirror::engine
