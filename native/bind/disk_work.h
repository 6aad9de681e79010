// Work on disks that no engine has attached, on a worker thread; each returns a promise.
#pragma once

#include <napi.h>

#include "bind/engine_runner.h"

namespace blkmirror::bind {

// () → {disks}: those the device was attached to, claimed anew, for its attach()
Napi::Value claim_disks_async(EngineRunner& runner, const Napi::CallbackInfo& info);
// (path) → {kind, sizeBytes, logicalBlockBytes}
Napi::Value inspect_disk(const Napi::CallbackInfo& info);
// (spec) → metadata
Napi::Value create_metadata_async(const Napi::CallbackInfo& info);
// (spec) → layout: what create_metadata_async would make
Napi::Value plan_metadata_async(const Napi::CallbackInfo& info);
// (disk, metaDisk, unclaimed, resource) → image
Napi::Value dump_metadata_async(const Napi::CallbackInfo& info);
// (spec) → metadata
Napi::Value restore_metadata_async(const Napi::CallbackInfo& info);
// (spec) → report
Napi::Value repair_metadata_async(const Napi::CallbackInfo& info);
Napi::Value grow_copy_async(const Napi::CallbackInfo& info);
// (disk, metaDisk) → metadata; metaDisk is empty when internal
Napi::Value read_metadata_async(const Napi::CallbackInfo& info);

}  // namespace blkmirror::bind
