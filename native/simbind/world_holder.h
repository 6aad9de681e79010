// What the JavaScript objects of one world share: the world itself while it is open, and which of
// them have something to tell. All on the main thread.
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "sim/world.h"

namespace blkmirror::simbind {

// A device or a lobby of one life of one node.
class LifeObject : public sim::Told {
 public:
  // Calls its callback with what it has; may leave a JavaScript exception pending.
  virtual void tell() = 0;
  // The node's life is over, or the world: nothing is called any more.
  virtual void life_over() = 0;
  sim::Node* node = nullptr;

 protected:
  ~LifeObject() = default;
};

// The classes, defined once.
struct Classes {
  Napi::FunctionReference node;
  Napi::FunctionReference client;
  Napi::FunctionReference model;
  Napi::FunctionReference device;
  Napi::FunctionReference lobby;
};

void define_classes(Napi::Env env);
Classes& classes(Napi::Env env);

struct WorldHolder {
  std::unique_ptr<sim::World> world;  // null when closed
  std::vector<LifeObject*> objects;   // of lives that are on
  std::vector<LifeObject*> pending;   // with news, in the order they came
  bool news_due = false;              // some of these may be told
  bool telling = false;
  bool tracing = false;
  std::string trace;

  void note(LifeObject& object);
  void remove(LifeObject& object);
  // Of this node; null: of all.
  void end_lives(const sim::Node* node);
  // A paused node's news wait.
  void update_news();
};

using Holder = std::shared_ptr<WorldHolder>;

// What constructors get beside JavaScript's arguments.
struct Making {
  Holder holder;
  sim::Node* node = nullptr;
  uint32_t life = 0;
  sim::Client* client = nullptr;
};

// Throws and answers true when the world is closed.
bool closed(Napi::Env env, const Holder& holder);
void throw_error(Napi::Env env, const std::string& text);
uint64_t number_at(const Napi::CallbackInfo& info, size_t index);
std::string text_at(const Napi::CallbackInfo& info, size_t index);
// A member, or `usual` when it is absent.
uint64_t number_in(const Napi::Object& object, const char* name, uint64_t usual);

}  // namespace blkmirror::simbind
