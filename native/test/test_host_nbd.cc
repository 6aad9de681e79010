// The messages to the kernel's NBD driver, against golden bytes, its answers, and a kernel that has
// no such driver.
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "check.h"
#include "host/nbd_messages.h"
#include "host/nbd_netlink.h"

using namespace blkmirror::host;

namespace {

constexpr uint16_t kFamily = 0x1c;

NbdDevice example() {
  NbdDevice device;
  device.index = 3;
  device.size_bytes = 0x4000'0000;
  device.block_bytes = 4096;
  device.server_flags = 0x6d;
  device.dead_wait_s = 300;
  device.identifier = "blkmirror r0";
  return device;
}

std::string hex(const NetlinkBytes& bytes) {
  std::string text;
  char digits[3];
  for (size_t i = 0; i < bytes.size(); i++) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(bytes[i]));
    if (i > 0 && i % 4 == 0) text += ' ';
    text += digits;
  }
  return text;
}

// Of a little-endian machine; netlink's numbers are native.
const char* const kConnect =
    "7c000000 1c000500 07000000 00000000 01010000 "
    "08000100 03000000 0c000200 00000040 00000000 0c000300 00100000 00000000 "
    "0c000400 00000000 00000000 0c000500 6d000000 00000000 0c000800 2c010000 00000000 "
    "11000a00 626c6b6d 6972726f 72207230 00000000 10000780 0c000180 08000100 05000000";

const char* const kReconfigure =
    "4c000000 1c000500 08000000 00000000 03010000 "
    "08000100 03000000 0c000800 2c010000 00000000 "
    "11000a00 626c6b6d 6972726f 72207230 00000000 10000780 0c000180 08000100 05000000";

template <class T>
void put(NetlinkBytes& bytes, T value) {
  const auto* from = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), from, from + sizeof value);
}

// As the driver answers a status: two devices, the second connected.
NetlinkBytes status_answer(uint32_t sequence) {
  NetlinkBytes bytes;
  put(bytes, nlmsghdr{20 + 4 + 2 * 20, kFamily, 0, sequence, 0});
  put(bytes, uint32_t{NBD_CMD_STATUS});
  put(bytes, nlattr{4 + 2 * 20, NBD_ATTR_DEVICE_LIST});
  for (uint32_t index = 0; index < 2; index++) {
    put(bytes, nlattr{20, NBD_DEVICE_ITEM | NLA_F_NESTED});
    put(bytes, nlattr{8, NBD_DEVICE_INDEX});
    put(bytes, index);
    put(bytes, nlattr{5, NBD_DEVICE_CONNECTED});
    put(bytes, std::endian::native == std::endian::little ? index : index << 24);
  }
  return bytes;
}

NetlinkBytes acknowledgement(uint32_t sequence, int32_t error) {
  NetlinkBytes bytes;
  put(bytes, nlmsghdr{16 + 4 + 16, NLMSG_ERROR, 0, sequence, 0});
  put(bytes, error);
  put(bytes, nlmsghdr{16, kFamily, 0, sequence, 0});
  return bytes;
}

bool kernel_has_nbd() {
  std::ifstream devices("/proc/devices");
  std::string line;
  while (std::getline(devices, line)) {
    if (line.size() > 4 && line.ends_with(" nbd")) return true;
  }
  return false;
}

}  // namespace

TEST(nbd_connect_and_reconfigure_have_their_golden_bytes) {
  if (std::endian::native != std::endian::little) return;
  CHECK_EQ(hex(encode_nbd_connect(kFamily, 7, example(), 5)), kConnect);
  CHECK_EQ(hex(encode_nbd_reconfigure(kFamily, 8, example(), 5)), kReconfigure);
}

TEST(nbd_short_requests_have_their_golden_bytes) {
  if (std::endian::native != std::endian::little) return;
  CHECK_EQ(hex(encode_family_query("nbd", 1)),
           "1c000000 10000500 01000000 00000000 03010000 08000200 6e626400");
  CHECK_EQ(hex(encode_nbd_disconnect(kFamily, 2, 3)),
           "1c000000 1c000500 02000000 00000000 02010000 08000100 03000000");
  CHECK_EQ(hex(encode_nbd_status(kFamily, 4)), "14000000 1c000500 04000000 00000000 05010000");
}

TEST(nbd_status_is_read_and_then_its_acknowledgement) {
  NetlinkAnswer answer;
  CHECK(decode_answer(status_answer(9), 9, answer));
  CHECK(!answer.done);
  CHECK_EQ(answer.devices.size(), 2u);
  CHECK_EQ(answer.devices[1].index, 1u);
  CHECK(!answer.devices[0].connected);
  CHECK(answer.devices[1].connected);
  CHECK(decode_answer(acknowledgement(9, 0), 9, answer));
  CHECK(answer.done);
  CHECK_EQ(answer.error, 0);
}

TEST(nbd_errors_are_read) {
  NetlinkAnswer answer;
  CHECK(decode_answer(acknowledgement(9, -EBUSY), 9, answer));
  CHECK(answer.done);
  CHECK_EQ(answer.error, EBUSY);
}

TEST(nbd_answers_that_are_foreign_or_cut_change_nothing) {
  NetlinkAnswer answer;
  CHECK(!decode_answer(status_answer(9), 8, answer));
  const NetlinkBytes whole = status_answer(9);
  for (size_t length = 0; length < whole.size(); length++) {
    CHECK(!decode_answer({whole.data(), length}, 9, answer));
  }
  NetlinkBytes overlong = whole;
  overlong[20] = std::byte{0xff};
  CHECK(!decode_answer(overlong, 9, answer));
  CHECK(answer.devices.empty());
}

TEST(a_kernel_without_nbd_is_told_apart) {
  Outcome<NbdNetlink> driver = NbdNetlink::open();
  CHECK_EQ(driver.ok(), kernel_has_nbd());
  if (driver.ok()) return;
  CHECK_EQ(driver.failure().error, ENOENT);
  CHECK_EQ(driver.failure().message, "the kernel has no nbd: run modprobe nbd");
}
