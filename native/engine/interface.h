// What the engine and its owner say to each other. The owner is the binding (on a real host) or
// a test (in the simulated world); both call the engine on its own thread only.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/limits.h"
#include "io/io.h"
#include "meta/superblock.h"

namespace blkmirror::engine {

// Told once how a command ended, perhaps inside the command. `error`: 0 or a positive errno;
// `what`: static text. Embedded in whoever waits; it must live until then.
struct Completion {
  void (*done)(Completion& completion, int error, const char* what) = nullptr;
  void* owner = nullptr;
};

// When a write is acknowledged, beside the local disk's completion: a peer's share of it.
enum class Protocol : uint8_t {
  kA,  // its frame is in the kernel's send buffer
  kB,  // the peer has received it
  kC,  // the peer has written it
};

// What becomes of a copy whose disk cannot read or write data (on-io-error of DRBD).
enum class IoErrorPolicy : uint8_t {
  kDetach,  // it goes without a backing disk; a Primary serves from its peers
  kPassOn,  // the client gets the error; what differs becomes out of sync
};

// What may change while attached.
struct Options {
  uint64_t al_extents = 0;        // how many may be hot before cooling starts; 0: no limit
  uint64_t timeout_us = 6000000;  // for what a peer owes
  IoErrorPolicy on_io_error = IoErrorPolicy::kDetach;
  uint64_t disk_timeout_us = 0;  // an operation that takes longer means a failed disk; 0: never
  // Bytes of each resync that this copy is the target of: its ceiling (0: none), and what it keeps
  // while an application writes (0: it leaves no room).
  uint64_t resync_most_per_second = 0;
  uint64_t resync_least_per_second = 250u << 10;
};

// What a copy is made of. The owner has claimed and adopted the disks.
struct AttachSpec {
  std::string resource;
  std::string node;
  std::vector<std::string> peers;  // names of the configuration; new ones get a slot
  io::DiskId data_disk = io::kNoDisk;
  io::DiskId meta_disk = io::kNoDisk;  // the same as data_disk when internal
  bool internal = true;
  uint64_t data_disk_bytes = 0;
  uint64_t meta_disk_bytes = 0;
  uint64_t last_superblock = 0;      // offset where it was last seen; 0: not known
  uint64_t boot_id = 0;              // of this start of the machine; 0: not known
  uint32_t block = 512;              // logical block size of the data disk
  bool fast_zero = false;            // the data disk is known to zero without writing
  Protocol protocol = Protocol::kC;  // the same on every node
  Options options;
};

enum class Loss : uint8_t { kTimeout, kBrokenPipe, kNetworkFailure, kProtocolError };
enum class ResyncRole : uint8_t { kNone, kSource, kTarget };

struct EstablishPlan {
  ResyncRole resync = ResyncRole::kNone;
  bool exchange_bitmaps = false;
  bool compare = false;        // as target: digests are compared, and what differs is copied
  bool peer_diskless = false;  // a Primary that lost its disk: its reads and writes are served
  uint64_t peer_current_uuid = 0;
  std::vector<uint64_t> peer_history;  // newest first
  uint64_t peer_write_sequence = 0;    // as its superblock had it
  uint32_t peer_crash_flags = 0;       // of its superblock, meta::kCrashFlags
};

struct PeerPatch {
  uint32_t slot = 0;
  std::optional<uint64_t> bitmap_uuid;
  std::optional<uint64_t> generation;
  std::optional<uint64_t> met_generation;
  std::optional<bool> outdated;
  std::optional<bool> promoted_apart;
  std::optional<bool> fills;
  // true: every block becomes out of sync towards the peer; false: none is (the word of a
  // Primary that has brought the peer up to date).
  std::optional<bool> full_sync;
};

struct MetadataPatch {
  std::optional<uint64_t> if_current_uuid;
  std::optional<bool> consistent;
  std::optional<bool> was_up_to_date;
  std::optional<bool> primary_indicator;
  std::optional<bool> outdated;
  bool clear_crashed = false;
  std::optional<uint64_t> current_uuid;
  std::vector<uint64_t> add_history;
  std::vector<PeerPatch> peers;
};

// What was the kernel's connection, for whoever serves it next; kNoSocket: it ended meanwhile.
struct ParkedKernel {
  io::SocketId socket = io::kNoSocket;
  std::vector<std::byte> unread;  // received, and of no request that was begun
};

// Called on the engine's thread; must neither block nor allocate.
class EventSink {
 public:
  virtual void control(uint32_t slot, uint32_t incarnation, std::span<const std::byte> text) = 0;
  virtual void link_closed(uint32_t slot, uint32_t incarnation, Loss loss, const char* detail) = 0;
  virtual void resync_started(uint32_t slot, uint32_t incarnation) = 0;
  // Of a target also after link_closed: its end was being written when the link was lost.
  virtual void resync_finished(uint32_t slot, uint32_t incarnation) = 0;
  virtual void generation_changed() = 0;
  virtual void clients_changed(uint32_t count) = 0;
  virtual void disk_failed(const char* what, int error) = 0;
  // The disk reported an error and stays attached.
  virtual void io_error(const char* what, int error) = 0;
  // The superblock as it is durable now; before the completion of the command that caused it.
  // Without a backing disk: as the peers that serve may have it.
  virtual void metadata_changed(const meta::Superblock& superblock) = 0;

 protected:
  ~EventSink() = default;
};

// Written by the engine's thread after each batch, read by any thread (relaxed).
struct PeerStatistics {
  std::atomic<bool> receiving{false};
  std::atomic<uint64_t> out_of_sync_bytes{0};
  std::atomic<uint64_t> resync_total_bytes{0};
  std::atomic<uint64_t> resynced_bytes{0};
  std::atomic<uint64_t> sent_bytes{0};
  std::atomic<uint64_t> received_bytes{0};
};

struct Statistics {
  std::atomic<bool> suspended{false};
  // Of a Primary whose own copy does not have it: the generation whose data clients have seen; 0:
  // the own copy has it, or its source is there.
  std::atomic<uint64_t> exposed_uuid{0};
  std::atomic<uint64_t> heartbeat{0};
  std::atomic<uint64_t> read_bytes{0};
  std::atomic<uint64_t> written_bytes{0};
  std::atomic<uint64_t> writes{0};
  // Writes and flushes that are not answered, or not reported written by every peer they went to.
  std::atomic<uint32_t> in_flight{0};
  std::atomic<uint64_t> metadata_writes{0};
  std::atomic<uint64_t> hot_extents{0};
  std::atomic<bool> kernel_attached{false};  // the kernel's connection is served
  std::atomic<uint32_t> client_count{0};
  std::array<std::atomic<int32_t>, limits::kClients> client_pids{};
  std::array<PeerStatistics, limits::kSlots> peers;
};

}  // namespace blkmirror::engine
