// Metadata images and repair reports on their way between JavaScript and metadata_image,
// metadata_repair. The names are those of src/plane/metadataTools.ts. TypeScript has validated
// types and ranges; what the image says is validated by restore_metadata().
#pragma once

#include <napi.h>

#include "bind/metadata_growth.h"
#include "bind/metadata_image.h"
#include "bind/metadata_repair.h"

namespace blkmirror::bind {

Napi::Object image_object(Napi::Env env, const Image& image);
RestoreSpec restore_spec_of(const Napi::Object& object);
RepairSpec repair_spec_of(const Napi::Object& object);
GrowthSpec growth_spec_of(const Napi::Object& object);
Napi::Object growth_object(Napi::Env env, const GrowthReport& report);
Napi::Object repair_object(Napi::Env env, const RepairReport& report);
Napi::Object layout_object(Napi::Env env, const meta::Layout& layout);

}  // namespace blkmirror::bind
