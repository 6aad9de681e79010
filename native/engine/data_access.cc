// See data_access.h.
#include "engine/data_access.h"

#include <bit>

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

bool DataAccess::local() const { return !parts_.failed && !parts_.attach.held(); }

bool DataAccess::behind() const {
  if (!parts_.serving.active()) return false;
  return (parts_.superblock().flags & meta::kConsistent) == 0;
}

uint32_t DataAccess::keepers() const {
  const uint32_t found = holders();
  if (!local() || !behind()) return found;
  const uint32_t sources = parts_.target.sources();
  BM_ASSERT((sources & found) == 0);
  return found | sources;
}

uint32_t DataAccess::holders() const {
  uint32_t found = 0;
  for (uint32_t rest = parts_.peers.receiving(); rest != 0; rest &= rest - 1) {
    const Peer& peer = parts_.peers.at(std::countr_zero(rest));
    BM_ASSERT(!peer.diskless);
    if (peer.resync == ResyncRole::kNone) found |= peer.bit();
  }
  return found;
}

Peer* DataAccess::reader(uint32_t tried) {
  for (uint32_t rest = holders() & ~tried; rest != 0; rest &= rest - 1) {
    Peer& peer = parts_.peers.at(std::countr_zero(rest));
    BM_ASSERT(peer.receiving);
    if (peer.link->up() && peer.link->space() >= peer::kFrameHeaderBytes + 8) return &peer;
  }
  Peer* source = parts_.target.source();
  const bool asked = source == nullptr || (tried & source->bit()) != 0;
  if (asked || !source->link->up()) return nullptr;
  return source->link->space() >= peer::kFrameHeaderBytes + 8 ? source : nullptr;
}

bool DataAccess::expired() const {
  if (parts_.shutdown.begun()) return true;
  return missing_since_us_ != 0 &&
         parts_.io.now_us() >= missing_since_us_ + parts_.options.timeout_us;
}

bool DataAccess::data_error(const char* what, int error) {
  BM_ASSERT(error != 0);
  if (parts_.failed) return true;
  if (parts_.options.on_io_error == IoErrorPolicy::kPassOn && !parts_.disk.failed()) {
    parts_.events.io_error(what, error);
    return false;
  }
  parts_.fail_disk(what, error);
  return true;
}

void DataAccess::batch_end() {
  if (!parts_.attached()) return;
  const bool now = usable();
  if (now) {
    missing_since_us_ = 0;
  } else if (missing_since_us_ == 0) {
    missing_since_us_ = parts_.io.now_us();
  }
  if (now && !parts_.shutdown.begun()) {
    parts_.writes.retry();
    parts_.flushes.retry();
    parts_.reads.retry();
  } else if (expired()) {
    parts_.writes.fail_held();
    parts_.flushes.fail_held();
    parts_.reads.fail_held();
  }
}

}  // namespace blkmirror::engine
