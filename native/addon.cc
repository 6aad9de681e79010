// Entry point of the Node addon: registers what bind/ exports. Decides nothing.

#include <napi.h>

#include "bind/device_object.h"
#include "bind/disk_work.h"
#include "bind/kernel_work.h"
#include "bind/lobby_object.h"
#include "bind/service_notice.h"

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  using namespace blkmirror::bind;
  exports.Set("Device", DeviceObject::define(env));
  exports.Set("Lobby", LobbyObject::define(env));
  exports.Set("inspectDisk", Napi::Function::New(env, inspect_disk));
  exports.Set("createMetadata", Napi::Function::New(env, create_metadata_async));
  exports.Set("readMetadata", Napi::Function::New(env, read_metadata_async));
  exports.Set("planMetadata", Napi::Function::New(env, plan_metadata_async));
  exports.Set("dumpMetadata", Napi::Function::New(env, dump_metadata_async));
  exports.Set("restoreMetadata", Napi::Function::New(env, restore_metadata_async));
  exports.Set("repairMetadata", Napi::Function::New(env, repair_metadata_async));
  exports.Set("growCopy", Napi::Function::New(env, grow_copy_async));
  exports.Set("nbdStatus", Napi::Function::New(env, nbd_status_async));
  exports.Set("nbdConnect", Napi::Function::New(env, nbd_connect_async));
  exports.Set("nbdReconfigure", Napi::Function::New(env, nbd_reconfigure_async));
  exports.Set("nbdDisconnect", Napi::Function::New(env, nbd_disconnect_async));
  exports.Set("claimBlockDevice", Napi::Function::New(env, claim_block_device_async));
  exports.Set("notifyManager", Napi::Function::New(env, notify_manager));
  exports.Set("storeDescriptor", Napi::Function::New(env, store_descriptor));
  exports.Set("waitForManager", Napi::Function::New(env, wait_for_manager_async));
  exports.Set("bindNotices", Napi::Function::New(env, bind_notices));
  exports.Set("receiveNotice", Napi::Function::New(env, receive_notice_async));
  exports.Set("keepBytes", Napi::Function::New(env, keep_bytes));
  return exports;
}

NODE_API_MODULE(blkmirror, init_addon)
