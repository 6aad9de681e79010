// The kernel's NBD driver, asked over generic netlink: makes, repairs and ends kernel devices.
//
// Calls block until the kernel has answered, which for an end may take as long as requests in
// flight do: for a worker thread, never the I/O path's and never Node's own.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "host/failure.h"
#include "host/nbd_messages.h"
#include "host/owned_fd.h"

namespace blkmirror::host {

class NbdNetlink {
 public:
  // ENOENT: the kernel has no nbd, or not yet.
  static Outcome<NbdNetlink> open();

  // The daemon's end of the new device's connection, in the transmission phase of NBD. EBUSY: the
  // device is connected already. EPERM: only root may.
  Outcome<OwnedFd> connect(const NbdDevice& device);
  // The same for a device whose connection is dead. ESTALE: it is not (yet); EINVAL: it is not
  // connected, or somebody else's.
  Outcome<OwnedFd> reconfigure(const NbdDevice& device);
  // Requests that wait fail. Succeeds when it is not connected.
  Outcome<bool> disconnect(uint32_t index);
  Outcome<std::vector<NbdState>> status();

 private:
  using Encode = NetlinkBytes (*)(uint16_t, uint32_t, const NbdDevice&, int);

  NbdNetlink(OwnedFd socket, uint16_t family) : socket_(std::move(socket)), family_(family) {}
  Outcome<OwnedFd> hand_over(Encode encode, const NbdDevice& device, const char* what);

  OwnedFd socket_;
  uint16_t family_;
  uint32_t sequence_ = 1;
};

}  // namespace blkmirror::host
