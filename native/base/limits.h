// Every limit of the data plane in one place. Sizes in bytes unless the name says otherwise.
#pragma once

#include <cstdint>

namespace blkmirror::limits {

// How much smaller what is counted below is made: fuzzing is built with little, so that a short
// input reaches the limits and a whole copy is made in little time.
#ifdef BLKMIRROR_SMALL_LIMITS
inline constexpr uint32_t kShrunk = 16;
#else
inline constexpr uint32_t kShrunk = 1;
#endif

inline constexpr uint32_t kPageBytes = 4096;            // memory and metadata unit
inline constexpr uint32_t kBlockBytes = 4096;           // one bitmap bit
inline constexpr uint32_t kExtentBytes = 4u << 20;      // one activity-log bit
inline constexpr uint32_t kMaxPeers = 31;               // of one resource
inline constexpr uint32_t kSlots = 32;                  // peer slots in the metadata
inline constexpr uint32_t kPieceBytes = 256u << 10;     // data of one piece of a request
inline constexpr uint32_t kRequestBytes = 32u << 20;    // data of one client request
inline constexpr uint32_t kClientPoolBytes = 4u << 20;  // buffers for client requests
inline constexpr uint32_t kClientSureBytes = 8u << 10;  // of these, sure for each client
inline constexpr uint32_t kPeerPoolBytes = 5u << 20;    // buffers for what peers send
inline constexpr uint32_t kStreamBytes = 256u << 10;    // receive buffer of one connection
// After a large payload little of what follows is received with it, for the next is likely to be
// large as well: it goes straight to its buffer, and from the stream it would have to be copied.
inline constexpr uint32_t kLargePayloadBytes = 32u << 10;
inline constexpr uint32_t kReadAheadBytes = 8u << 10;
inline constexpr uint32_t kWritesInFlight = 2048 / kShrunk;  // pieces of one engine, any kind
inline constexpr uint32_t kFlushesInFlight = 256 / kShrunk;  // of one engine
// Writes, flushes and a new generation that a peer may have sent and not heard of.
inline constexpr uint32_t kFramesInFlight = kWritesInFlight + kFlushesInFlight + 16;
inline constexpr uint32_t kRequestsPerClient = 256 / kShrunk;  // unanswered requests of one client
inline constexpr uint32_t kClients = 128 / kShrunk;            // connections of one NBD socket
inline constexpr uint32_t kControlBytes = 64u << 10;           // one control frame's JSON
inline constexpr uint32_t kBitmapPoolPages = 2048 / kShrunk;   // partial bitmap pages of one engine
inline constexpr uint32_t kResyncBytes = 256u << 10;           // one resync request
inline constexpr uint32_t kResyncWindow = 16;                  // resync requests in flight

}  // namespace blkmirror::limits
