// See nbd_messages.h.
#include "host/nbd_messages.h"

#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>

#include <cstring>

#include "base/assert.h"

namespace blkmirror::host {

namespace {

constexpr uint8_t kControlVersion = 1;

// One request, from its header on. Every attribute begins at a multiple of four.
class Writer {
 public:
  Writer(uint16_t type, uint8_t command, uint8_t version, uint32_t sequence) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    header.nlmsg_seq = sequence;
    put(&header, sizeof header);
    genlmsghdr generic{};
    generic.cmd = command;
    generic.version = version;
    put(&generic, sizeof generic);
    BM_ASSERT(bytes_.size() == NLMSG_HDRLEN + GENL_HDRLEN);
  }

  template <class T>
  void number(uint16_t type, T value) {
    attribute(type, &value, sizeof value);
  }

  void text(uint16_t type, const std::string& value) {
    attribute(type, value.c_str(), value.size() + 1);
  }

  size_t begin(uint16_t type) {
    const size_t at = bytes_.size();
    attribute(type | NLA_F_NESTED, nullptr, 0);
    return at;
  }

  void end(size_t at) {
    BM_ASSERT(at + NLA_HDRLEN <= bytes_.size());
    const auto length = static_cast<uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &length, sizeof length);
  }

  NetlinkBytes take() {
    const auto length = static_cast<uint32_t>(bytes_.size());
    BM_ASSERT(length % NLMSG_ALIGNTO == 0);
    std::memcpy(bytes_.data(), &length, sizeof length);
    return std::move(bytes_);
  }

 private:
  void attribute(uint16_t type, const void* value, size_t bytes) {
    BM_ASSERT(bytes < UINT16_MAX - NLA_HDRLEN);
    nlattr header{};
    header.nla_len = static_cast<uint16_t>(NLA_HDRLEN + bytes);
    header.nla_type = type;
    put(&header, sizeof header);
    put(value, bytes);
    bytes_.resize(NLA_ALIGN(bytes_.size()));
  }

  void put(const void* data, size_t bytes) {
    if (bytes == 0) return;
    const auto* from = static_cast<const std::byte*>(data);
    bytes_.insert(bytes_.end(), from, from + bytes);
  }

  NetlinkBytes bytes_;
};

void put_socket(Writer& writer, int socket) {
  BM_ASSERT(socket >= 0);
  const size_t list = writer.begin(NBD_ATTR_SOCKETS);
  const size_t item = writer.begin(NBD_SOCK_ITEM);
  writer.number(NBD_SOCK_FD, static_cast<uint32_t>(socket));
  writer.end(item);
  writer.end(list);
}

// Walks over attributes; stops at what does not fit.
template <class Visit>
bool each_attribute(std::span<const std::byte> bytes, Visit visit) {
  while (bytes.size() >= NLA_HDRLEN) {
    nlattr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nla_len < NLA_HDRLEN || header.nla_len > bytes.size()) return false;
    const uint16_t type = header.nla_type & NLA_TYPE_MASK;
    visit(type, bytes.subspan(NLA_HDRLEN, header.nla_len - NLA_HDRLEN));
    const size_t whole = NLA_ALIGN(size_t{header.nla_len});
    bytes = bytes.subspan(whole < bytes.size() ? whole : bytes.size());
  }
  return true;
}

template <class T>
T number_in(std::span<const std::byte> value) {
  T number{};
  if (value.size() >= sizeof number) std::memcpy(&number, value.data(), sizeof number);
  return number;
}

bool read_devices(std::span<const std::byte> list, std::vector<NbdState>& devices) {
  bool whole = true;
  const bool walked = each_attribute(list, [&](uint16_t, std::span<const std::byte> item) {
    NbdState state;
    const auto read = [&](uint16_t type, std::span<const std::byte> value) {
      if (type == NBD_DEVICE_INDEX) state.index = number_in<uint32_t>(value);
      if (type == NBD_DEVICE_CONNECTED) state.connected = number_in<uint8_t>(value) != 0;
    };
    whole = each_attribute(item, read) && whole;
    devices.push_back(state);
  });
  return walked && whole;
}

bool read_payload(uint16_t type, std::span<const std::byte> payload, NetlinkAnswer& answer) {
  if (payload.size() < GENL_HDRLEN) return false;
  const bool control = type == GENL_ID_CTRL;
  bool whole = true;
  const auto read = [&](uint16_t name, std::span<const std::byte> value) {
    if (control && name == CTRL_ATTR_FAMILY_ID) answer.family = number_in<uint16_t>(value);
    if (!control && name == NBD_ATTR_DEVICE_LIST) whole = read_devices(value, answer.devices);
  };
  return each_attribute(payload.subspan(GENL_HDRLEN), read) && whole;
}

bool read_message(const nlmsghdr& header, std::span<const std::byte> payload,
                  NetlinkAnswer& answer) {
  if (header.nlmsg_type == NLMSG_NOOP) return true;
  if (header.nlmsg_type != NLMSG_ERROR) return read_payload(header.nlmsg_type, payload, answer);
  if (payload.size() < sizeof(int32_t)) return false;
  answer.done = true;
  answer.error = -number_in<int32_t>(payload);
  return answer.error >= 0;
}

}  // namespace

NetlinkBytes encode_family_query(const std::string& name, uint32_t sequence) {
  BM_ASSERT(!name.empty());
  BM_ASSERT(name.size() < GENL_NAMSIZ);
  Writer writer(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, kControlVersion, sequence);
  writer.text(CTRL_ATTR_FAMILY_NAME, name);
  return writer.take();
}

NetlinkBytes encode_nbd_connect(uint16_t family, uint32_t sequence, const NbdDevice& device,
                                int socket) {
  BM_ASSERT(device.size_bytes > 0);
  BM_ASSERT(!device.identifier.empty());
  Writer writer(family, NBD_CMD_CONNECT, NBD_GENL_VERSION, sequence);
  writer.number(NBD_ATTR_INDEX, device.index);
  writer.number(NBD_ATTR_SIZE_BYTES, device.size_bytes);
  writer.number(NBD_ATTR_BLOCK_SIZE_BYTES, uint64_t{device.block_bytes});
  writer.number(NBD_ATTR_TIMEOUT, uint64_t{0});
  writer.number(NBD_ATTR_SERVER_FLAGS, device.server_flags);
  writer.number(NBD_ATTR_DEAD_CONN_TIMEOUT, device.dead_wait_s);
  writer.text(NBD_ATTR_BACKEND_IDENTIFIER, device.identifier);
  put_socket(writer, socket);
  return writer.take();
}

NetlinkBytes encode_nbd_reconfigure(uint16_t family, uint32_t sequence, const NbdDevice& device,
                                    int socket) {
  BM_ASSERT(!device.identifier.empty());
  BM_ASSERT(device.dead_wait_s > 0);
  Writer writer(family, NBD_CMD_RECONFIGURE, NBD_GENL_VERSION, sequence);
  writer.number(NBD_ATTR_INDEX, device.index);
  writer.number(NBD_ATTR_DEAD_CONN_TIMEOUT, device.dead_wait_s);
  writer.text(NBD_ATTR_BACKEND_IDENTIFIER, device.identifier);
  put_socket(writer, socket);
  return writer.take();
}

NetlinkBytes encode_nbd_disconnect(uint16_t family, uint32_t sequence, uint32_t index) {
  BM_ASSERT(family >= GENL_MIN_ID);
  Writer writer(family, NBD_CMD_DISCONNECT, NBD_GENL_VERSION, sequence);
  writer.number(NBD_ATTR_INDEX, index);
  return writer.take();
}

NetlinkBytes encode_nbd_status(uint16_t family, uint32_t sequence) {
  BM_ASSERT(family >= GENL_MIN_ID);
  return Writer(family, NBD_CMD_STATUS, NBD_GENL_VERSION, sequence).take();
}

bool decode_answer(std::span<const std::byte> bytes, uint32_t sequence, NetlinkAnswer& answer) {
  NetlinkAnswer read = answer;
  bool ours = false;
  while (bytes.size() >= NLMSG_HDRLEN) {
    nlmsghdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nlmsg_len < NLMSG_HDRLEN || header.nlmsg_len > bytes.size()) return false;
    if (header.nlmsg_seq != sequence) return false;
    const auto payload = bytes.subspan(NLMSG_HDRLEN, header.nlmsg_len - NLMSG_HDRLEN);
    if (!read_message(header, payload, read)) return false;
    ours = true;
    const size_t whole = NLMSG_ALIGN(size_t{header.nlmsg_len});
    bytes = bytes.subspan(whole < bytes.size() ? whole : bytes.size());
  }
  if (ours) answer = std::move(read);
  return ours;
}

}  // namespace blkmirror::host
