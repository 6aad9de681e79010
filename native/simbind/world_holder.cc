// See world_holder.h.
#include "simbind/world_holder.h"

#include <algorithm>

#include "base/assert.h"

namespace blkmirror::simbind {

void WorldHolder::note(LifeObject& object) {
  if (std::find(pending.begin(), pending.end(), &object) != pending.end()) return;
  pending.push_back(&object);
  if (!object.node->paused()) news_due = true;
}

void WorldHolder::remove(LifeObject& object) {
  std::erase(objects, &object);
  std::erase(pending, &object);
  update_news();
}

void WorldHolder::end_lives(const sim::Node* node) {
  const std::vector<LifeObject*> all = objects;
  for (LifeObject* object : all) {
    if (node != nullptr && object->node != node) continue;
    remove(*object);
    object->life_over();
  }
}

void WorldHolder::update_news() {
  news_due = std::any_of(pending.begin(), pending.end(),
                         [](const LifeObject* object) { return !object->node->paused(); });
}

bool closed(Napi::Env env, const Holder& holder) {
  BM_ASSERT(holder != nullptr);
  if (holder->world != nullptr) return false;
  throw_error(env, "the world is closed");
  return true;
}

void throw_error(Napi::Env env, const std::string& text) {
  Napi::Error::New(env, text).ThrowAsJavaScriptException();
}

uint64_t number_at(const Napi::CallbackInfo& info, size_t index) {
  const Napi::Value value = info[index];
  if (!value.IsNumber()) return 0;
  const double number = value.As<Napi::Number>().DoubleValue();
  return number <= 0 ? 0 : static_cast<uint64_t>(number);
}

std::string text_at(const Napi::CallbackInfo& info, size_t index) {
  return info[index].ToString().Utf8Value();
}

uint64_t number_in(const Napi::Object& object, const char* name, uint64_t usual) {
  const Napi::Value value = object.Get(name);
  if (!value.IsNumber()) return usual;
  return static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue());
}

}  // namespace blkmirror::simbind
