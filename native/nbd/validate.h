// The one place that judges a client's request before anything is done with it, and the one that
// turns an errno into what the protocol may say. Called by Session for every request.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nbd/protocol.h"
#include "nbd/server.h"

namespace blkmirror::nbd {

struct RequestHeader {
  Command command;  // may be a value that is not listed
  uint16_t flags;
  uint64_t handle;  // as received, in no byte order
  uint64_t offset;
  uint32_t length;
};

// `from` holds sizeof(WireRequest) bytes. False when the magic is wrong: the stream is lost.
bool decode_request(const std::byte* from, RequestHeader& header);

struct Verdict {
  int error = 0;         // 0: carry it out; else a positive errno to answer with
  uint32_t payload = 0;  // bytes that follow the header
  bool hang_up = false;  // the payload is too long even to be skipped
};

Verdict validate(const RequestHeader& request, const Export& exported);

// error: 0 or a positive errno.
WireError to_wire(int error);

}  // namespace blkmirror::nbd
