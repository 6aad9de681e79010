// Messages of generic netlink to the kernel's NBD driver, as bytes: written and read, not sent.
//
// Layouts: linux/netlink.h, linux/genetlink.h and linux/nbd-netlink.h; all numbers are native.
// Numbers of the driver are repeated nowhere. nbd_netlink.h sends them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace blkmirror::host {

// A kernel device as the driver is told of it.
struct NbdDevice {
  uint32_t index = 0;  // N of /dev/nbdN
  uint64_t size_bytes = 0;
  uint32_t block_bytes = 512;  // logical and physical: 512 or 4096
  uint64_t server_flags = 0;   // of the NBD protocol, as a server sends them
  uint64_t dead_wait_s = 0;    // how long requests wait for a new socket when theirs is dead
  std::string identifier;      // whose device it is; repeated by every reconfiguration
};

struct NbdState {
  uint32_t index = 0;
  bool connected = false;
};

using NetlinkBytes = std::vector<std::byte>;

// Asks for the number of a family.
NetlinkBytes encode_family_query(const std::string& name, uint32_t sequence);
// `socket`: the kernel's end of the connection, which it keeps. Requests that were sent and not
// answered are never aborted.
NetlinkBytes encode_nbd_connect(uint16_t family, uint32_t sequence, const NbdDevice& device,
                                int socket);
// Replaces a dead socket; the size is left as it is.
NetlinkBytes encode_nbd_reconfigure(uint16_t family, uint32_t sequence, const NbdDevice& device,
                                    int socket);
NetlinkBytes encode_nbd_disconnect(uint16_t family, uint32_t sequence, uint32_t index);
// Of all devices.
NetlinkBytes encode_nbd_status(uint16_t family, uint32_t sequence);

// What the kernel answered in one datagram.
struct NetlinkAnswer {
  bool done = false;    // the acknowledgement, or the error, was in it
  int error = 0;        // a positive errno
  uint16_t family = 0;  // 0: none was named
  std::vector<NbdState> devices;
};

// False when the bytes are no answer to `sequence`, or malformed; `answer` is then unchanged.
bool decode_answer(std::span<const std::byte> bytes, uint32_t sequence, NetlinkAnswer& answer);

}  // namespace blkmirror::host
