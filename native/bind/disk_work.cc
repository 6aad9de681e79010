// See disk_work.h.
#include "bind/disk_work.h"

#include <string>

#include "bind/async_work.h"
#include "bind/image_values.h"
#include "bind/js_values.h"

namespace blkmirror::bind {

Napi::Value claim_disks_async(EngineRunner& runner, const Napi::CallbackInfo& info) {
  using Passed = std::shared_ptr<PassedDisks>;
  // The object that owns the runner must outlive the work.
  const auto owner =
      std::make_shared<Napi::ObjectReference>(Napi::Persistent(info.This().As<Napi::Object>()));
  const auto work = [&runner, owner] { return runner.claim_again(); };
  const auto convert = [](Napi::Env env, const Passed& disks) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("disks", Napi::External<Passed>::New(env, new Passed(disks),
                                                    [](Napi::Env, Passed* it) { delete it; }));
    return object;
  };
  if (runner.claims_at_once()) return AsyncWork<Passed>::run(info.Env(), work, convert);
  return AsyncWork<Passed>::start(info.Env(), work, convert);
}

Napi::Value inspect_disk(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  return AsyncWork<host::DiskFacts>::start(
      info.Env(),
      [path]() -> host::Outcome<host::DiskFacts> {
        auto disk = host::open_disk(path);
        if (!disk.ok()) return disk.failure();
        return disk.value().facts;
      },
      &disk_info);
}

Napi::Value create_metadata_async(const Napi::CallbackInfo& info) {
  const CreateSpec spec = create_spec_of(info[0].As<Napi::Object>());
  return AsyncWork<meta::Superblock>::start(
      info.Env(), [spec] { return create_metadata(spec); }, &metadata_object);
}

Napi::Value plan_metadata_async(const Napi::CallbackInfo& info) {
  const CreateSpec spec = create_spec_of(info[0].As<Napi::Object>());
  return AsyncWork<meta::Layout>::start(
      info.Env(), [spec] { return plan_metadata(spec); }, &layout_object);
}

Napi::Value dump_metadata_async(const Napi::CallbackInfo& info) {
  const DiskPaths paths{info[0].As<Napi::String>().Utf8Value(),
                        info[1].As<Napi::String>().Utf8Value()};
  const bool unclaimed = info[2].As<Napi::Boolean>().Value();
  const std::string resource = info[3].As<Napi::String>().Utf8Value();
  return AsyncWork<Image>::start(
      info.Env(), [=] { return dump_metadata(paths, unclaimed, resource); }, &image_object);
}

Napi::Value restore_metadata_async(const Napi::CallbackInfo& info) {
  const RestoreSpec spec = restore_spec_of(info[0].As<Napi::Object>());
  return AsyncWork<meta::Superblock>::start(
      info.Env(), [spec] { return restore_metadata(spec); }, &metadata_object);
}

Napi::Value repair_metadata_async(const Napi::CallbackInfo& info) {
  const RepairSpec spec = repair_spec_of(info[0].As<Napi::Object>());
  return AsyncWork<RepairReport>::start(
      info.Env(), [spec] { return repair_metadata(spec); }, &repair_object);
}

Napi::Value grow_copy_async(const Napi::CallbackInfo& info) {
  const GrowthSpec spec = growth_spec_of(info[0].As<Napi::Object>());
  return AsyncWork<GrowthReport>::start(
      info.Env(), [spec] { return grow_copy(spec); }, &growth_object);
}

Napi::Value read_metadata_async(const Napi::CallbackInfo& info) {
  const DiskPaths paths{info[0].As<Napi::String>().Utf8Value(),
                        info[1].As<Napi::String>().Utf8Value()};
  return AsyncWork<meta::Superblock>::start(
      info.Env(), [paths] { return read_metadata(paths); }, &metadata_object);
}

}  // namespace blkmirror::bind
