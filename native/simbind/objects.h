// The world and what is in it, as JavaScript objects: test/sim/simAddon.ts describes every method.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "simbind/world_holder.h"

namespace blkmirror::simbind {

class WorldObject final : public Napi::ObjectWrap<WorldObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // (seed, options)
  explicit WorldObject(const Napi::CallbackInfo& info);
  ~WorldObject() override;

 private:
  Napi::Value model(const Napi::CallbackInfo& info);
  Napi::Value now_us(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value violation(const Napi::CallbackInfo& info);
  Napi::Value add_node(const Napi::CallbackInfo& info);
  Napi::Value add_client(const Napi::CallbackInfo& info);
  void set_latency(const Napi::CallbackInfo& info);
  void set_cut(const Napi::CallbackInfo& info);
  void set_refusing(const Napi::CallbackInfo& info);
  Napi::Value reset_connections(const Napi::CallbackInfo& info);
  Napi::Value random(const Napi::CallbackInfo& info);
  Napi::Value faults(const Napi::CallbackInfo& info);
  Napi::Value trace_text(const Napi::CallbackInfo& info);
  Napi::Value trace_hash(const Napi::CallbackInfo& info);
  Napi::Value operations(const Napi::CallbackInfo& info);
  void allow(const Napi::CallbackInfo& info);
  Napi::Value allowed(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  void tell(Napi::Env env);

  Holder holder_;
  Napi::ObjectReference model_;
};

class NodeObject final : public Napi::ObjectWrap<NodeObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // (making)
  explicit NodeObject(const Napi::CallbackInfo& info);
  // Of an argument.
  static sim::Node& node_of(const Napi::Value& value);

 private:
  Napi::Value name(const Napi::CallbackInfo& info);
  Napi::Value running(const Napi::CallbackInfo& info);
  Napi::Value boot(const Napi::CallbackInfo& info);
  void add_disk(const Napi::CallbackInfo& info);
  void crash(const Napi::CallbackInfo& info);
  void pause(const Napi::CallbackInfo& info);
  void resume(const Napi::CallbackInfo& info);
  void set_disk(const Napi::CallbackInfo& info);
  void heal_disk(const Napi::CallbackInfo& info);
  Napi::Value damage_metadata(const Napi::CallbackInfo& info);
  Napi::Value snapshot_disk(const Napi::CallbackInfo& info);
  void restore_disk(const Napi::CallbackInfo& info);
  Napi::Value accepts(const Napi::CallbackInfo& info);

  // Null, with an exception, when there is no such disk.
  sim::NodeDisk* disk_at(const Napi::CallbackInfo& info);

  Holder holder_;
  sim::Node* node_ = nullptr;
};

class ClientObject final : public Napi::ObjectWrap<ClientObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // (making)
  explicit ClientObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value connect(const Napi::CallbackInfo& info);
  void start(const Napi::CallbackInfo& info);
  void stop(const Napi::CallbackInfo& info);
  void drop(const Napi::CallbackInfo& info);
  void allow_errors(const Napi::CallbackInfo& info);
  Napi::Value connected(const Napi::CallbackInfo& info);
  Napi::Value idle(const Napi::CallbackInfo& info);
  Napi::Value counters(const Napi::CallbackInfo& info);

  Holder holder_;
  sim::Client* client_ = nullptr;
};

class ModelObject final : public Napi::ObjectWrap<ModelObject> {
 public:
  static Napi::Function define(Napi::Env env);
  // (making)
  explicit ModelObject(const Napi::CallbackInfo& info);

 private:
  void set_device(const Napi::CallbackInfo& info);
  void lose_power(const Napi::CallbackInfo& info);
  Napi::Value fail_over(const Napi::CallbackInfo& info);
  void settle(const Napi::CallbackInfo& info);
  Napi::Value fork(const Napi::CallbackInfo& info);
  Napi::Value admit(const Napi::CallbackInfo& info);
  Napi::Value knows(const Napi::CallbackInfo& info);
  Napi::Value acknowledged_after(const Napi::CallbackInfo& info);
  void discard(const Napi::CallbackInfo& info);
  Napi::Value save(const Napi::CallbackInfo& info);
  void restore(const Napi::CallbackInfo& info);
  Napi::Value check_copy(const Napi::CallbackInfo& info);
  Napi::Value compare_copies(const Napi::CallbackInfo& info);
  Napi::Value facts(const Napi::CallbackInfo& info);

  // Null, with an exception, when there is no such branch, disk, or it has clients.
  sim::Model* branch_at(const Napi::CallbackInfo& info, size_t index);
  bool check_free(const Napi::CallbackInfo& info);
  const io::SimDisk* disk_at(const Napi::CallbackInfo& info, size_t index);

  Holder holder_;
  std::vector<std::unique_ptr<sim::Model>> saved_;
};

}  // namespace blkmirror::simbind
