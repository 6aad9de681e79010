// See kernel_work.h.
#include "bind/kernel_work.h"

#include <memory>
#include <string>
#include <utility>

#include "bind/async_work.h"
#include "host/block_claim.h"
#include "host/nbd_netlink.h"
#include "nbd/handshake.h"

namespace blkmirror::bind {

namespace {

// A descriptor that is closed unless JavaScript got it.
using SharedFd = std::shared_ptr<host::OwnedFd>;
using HandOver = host::Outcome<host::OwnedFd> (host::NbdNetlink::*)(const host::NbdDevice&);

Napi::Object fd_object(Napi::Env env, const SharedFd& fd) {
  BM_ASSERT(fd->valid());
  Napi::Object object = Napi::Object::New(env);
  object.Set("fd", fd->release());
  return object;
}

host::Outcome<SharedFd> shared(host::Outcome<host::OwnedFd> fd) {
  if (!fd.ok()) return fd.failure();
  return std::make_shared<host::OwnedFd>(std::move(fd.value()));
}

// One connection, and no promise of fast zeroes: the kernel knows no such thing.
host::NbdDevice device_of(const Napi::Object& object) {
  host::NbdDevice device;
  device.index = number_of(object, "index");
  device.size_bytes = bigint_of(object.Get("sizeBytes"));
  device.block_bytes = number_of(object, "blockBytes");
  device.server_flags =
      nbd::transmission_flags() & ~uint32_t{nbd::kSendFastZero | nbd::kCanMultiConn};
  device.dead_wait_s = number_of(object, "deadWaitSeconds");
  device.identifier = text_of(object, "identifier");
  BM_ASSERT(!device.identifier.empty());
  return device;
}

Napi::Value hand_over_async(const Napi::CallbackInfo& info, HandOver call) {
  const host::NbdDevice device = device_of(info[0].As<Napi::Object>());
  const auto work = [device, call]() -> host::Outcome<SharedFd> {
    auto driver = host::NbdNetlink::open();
    if (!driver.ok()) return driver.failure();
    return shared((driver.value().*call)(device));
  };
  return AsyncWork<SharedFd>::start(info.Env(), work, &fd_object);
}

}  // namespace

Napi::Value nbd_status_async(const Napi::CallbackInfo& info) {
  using States = std::vector<host::NbdState>;
  const auto work = []() -> host::Outcome<States> {
    auto driver = host::NbdNetlink::open();
    if (!driver.ok()) return driver.failure();
    return driver.value().status();
  };
  const auto convert = [](Napi::Env env, const States& states) -> Napi::Object {
    Napi::Array array = Napi::Array::New(env);
    for (const host::NbdState& state : states) {
      Napi::Object object = Napi::Object::New(env);
      object.Set("index", state.index);
      object.Set("connected", state.connected);
      array.Set(array.Length(), object);
    }
    return array;
  };
  return AsyncWork<States>::start(info.Env(), work, convert);
}

Napi::Value nbd_connect_async(const Napi::CallbackInfo& info) {
  return hand_over_async(info, &host::NbdNetlink::connect);
}

Napi::Value nbd_reconfigure_async(const Napi::CallbackInfo& info) {
  return hand_over_async(info, &host::NbdNetlink::reconfigure);
}

Napi::Value nbd_disconnect_async(const Napi::CallbackInfo& info) {
  const uint32_t index = info[0].As<Napi::Number>().Uint32Value();
  const auto work = [index]() -> host::Outcome<bool> {
    auto driver = host::NbdNetlink::open();
    if (!driver.ok()) return driver.failure();
    return driver.value().disconnect(index);
  };
  const auto convert = [](Napi::Env env, const bool&) { return Napi::Object::New(env); };
  return AsyncWork<bool>::start(info.Env(), work, convert);
}

Napi::Value claim_block_device_async(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  const auto work = [path] { return shared(host::claim_block_device(path)); };
  return AsyncWork<SharedFd>::start(info.Env(), work, &fd_object);
}

}  // namespace blkmirror::bind
