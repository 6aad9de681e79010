// Values on their way between JavaScript and the engine. TypeScript has validated what comes in.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bind/engine_runner.h"
#include "bind/metadata_disk.h"
#include "engine/interface.h"
#include "host/disk_claim.h"
#include "host/failure.h"
#include "host/lobby.h"

namespace blkmirror::bind {

std::string text_of(const Napi::Object& object, const char* name);
uint32_t number_of(const Napi::Object& object, const char* name);
bool flag_of(const Napi::Object& object, const char* name);
uint64_t bigint_of(const Napi::Value& value);
std::vector<uint64_t> bigints_of(const Napi::Value& array);
std::vector<std::string> texts_of(const Napi::Object& object, const char* name);
// Of members `disk` and `metaDisk`.
DiskPaths disk_paths_of(const Napi::Object& object);

CreateSpec create_spec_of(const Napi::Object& object);
engine::Options options_of(const Napi::Object& object);
StartSpec start_spec_of(const Napi::Object& object);
host::DialSpec dial_spec_of(const Napi::Object& object);
engine::EstablishPlan plan_of(const Napi::Object& object);
engine::MetadataPatch patch_of(const Napi::Object& object);

// An Error with `code`: the errno's name.
Napi::Error error_of(Napi::Env env, const host::Failure& failure);
// `EIO`; empty for 0.
std::string errno_name(int error);

Napi::Object disk_info(Napi::Env env, const host::DiskFacts& facts);
Napi::Object metadata_object(Napi::Env env, const meta::Superblock& superblock);
// The order of the words is that of src/plane/counters.ts.
inline constexpr size_t kStatisticsWords = 11 + limits::kClients + 7 * limits::kSlots;
void fill_statistics(const engine::Statistics& statistics, uint32_t named_slots,
                     std::span<uint64_t> words);
Napi::Object event_object(Napi::Env env, const Event& event, const std::string& text);

}  // namespace blkmirror::bind
