// The world as a JavaScript object: see objects.h.
#include <cinttypes>
#include <cstdio>

#include "base/assert.h"
#include "bind/js_values.h"
#include "simbind/node_addon.h"
#include "simbind/objects.h"

namespace blkmirror::simbind {

namespace {

void write_trace(void* owner, const io::SimTrace& trace) {
  static const char* const kKinds[] = {"disk",   "complete", "receive", "send",
                                       "arrive", "accept",   "woken",   "timer"};
  static const char* const kOps[] = {"", " read", " write", " flush", " zero"};
  auto* holder = static_cast<WorldHolder*>(owner);
  BM_ASSERT(trace.kind < 8);
  char line[160];
  const std::string name = holder->world->name_of_io(trace.node);
  std::snprintf(line, sizeof line, "%" PRIu64 " %s %s%s %" PRIu64 " %u %d\n", trace.at_us,
                name.c_str(), kKinds[trace.kind], trace.op_kind < 5 ? kOps[trace.op_kind] : "",
                trace.offset, trace.length, trace.result);
  holder->trace += line;
}

sim::ClientHabits habits_of(const Napi::Value& value) {
  sim::ClientHabits habits;
  if (!value.IsObject()) return habits;
  const auto object = value.As<Napi::Object>();
  habits.depth = uint32_t(number_in(object, "depth", habits.depth));
  habits.pause_us = uint32_t(number_in(object, "pauseUs", habits.pause_us));
  habits.large_one_in = uint32_t(number_in(object, "largeOneIn", habits.large_one_in));
  habits.large_bytes = uint32_t(number_in(object, "largeBytes", habits.large_bytes));
  habits.hot_bytes = number_in(object, "hotBytes", habits.hot_bytes);
  habits.flush_percent = uint32_t(number_in(object, "flushPercent", habits.flush_percent));
  habits.read_percent = uint32_t(number_in(object, "readPercent", habits.read_percent));
  habits.zero_percent = uint32_t(number_in(object, "zeroPercent", habits.zero_percent));
  habits.wide = object.Get("wide").ToBoolean();
  habits.block_bytes = uint32_t(number_in(object, "blockBytes", habits.block_bytes));
  habits.slow = object.Get("slow").ToBoolean();
  return habits;
}

const char* end_name(sim::RunEnd end) {
  switch (end) {
    case sim::RunEnd::kNews:
      return "event";
    case sim::RunEnd::kTime:
      return "time";
    case sim::RunEnd::kIdle:
      return "idle";
    case sim::RunEnd::kViolation:
      return "violation";
  }
  BM_ASSERT(false);
}

}  // namespace

Napi::Function WorldObject::define(Napi::Env env) {
  using Self = WorldObject;
  return DefineClass(env, "World",
                     {
                         InstanceAccessor<&Self::model>("model"),
                         InstanceMethod("nowUs", &Self::now_us),
                         InstanceMethod("run", &Self::run),
                         InstanceMethod("violation", &Self::violation),
                         InstanceMethod("addNode", &Self::add_node),
                         InstanceMethod("addClient", &Self::add_client),
                         InstanceMethod("setLatency", &Self::set_latency),
                         InstanceMethod("setCut", &Self::set_cut),
                         InstanceMethod("setRefusing", &Self::set_refusing),
                         InstanceMethod("resetConnections", &Self::reset_connections),
                         InstanceMethod("random", &Self::random),
                         InstanceMethod("faults", &Self::faults),
                         InstanceMethod("traceText", &Self::trace_text),
                         InstanceMethod("traceHash", &Self::trace_hash),
                         InstanceMethod("operations", &Self::operations),
                         InstanceMethod("allow", &Self::allow),
                         InstanceMethod("allowed", &Self::allowed),
                         InstanceMethod("close", &Self::close),
                     });
}

WorldObject::WorldObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<WorldObject>(info) {
  const Napi::Env env = info.Env();
  holder_ = std::make_shared<WorldHolder>();
  holder_->world = std::make_unique<sim::World>(bind::bigint_of(info[0]));
  Making making{holder_};
  const auto argument = Napi::External<Making>::New(env, &making);
  model_ = Napi::Persistent(classes(env).model.New({argument}));
  if (!info[1].IsObject()) return;
  const auto options = info[1].As<Napi::Object>();
  if (options.Get("latencyUs").IsArray()) {
    const auto range = options.Get("latencyUs").As<Napi::Array>();
    io::SimNet& net = holder_->world->sim().net();
    net.minimum_us = Napi::Value(range.Get(0u)).As<Napi::Number>().Uint32Value();
    net.maximum_us = Napi::Value(range.Get(1u)).As<Napi::Number>().Uint32Value();
  }
  if (options.Get("trace").ToBoolean()) {
    holder_->world->sim().set_tracer(write_trace, holder_.get());
  }
}

WorldObject::~WorldObject() {
  holder_->objects.clear();
  holder_->pending.clear();
  holder_->world.reset();
}

Napi::Value WorldObject::model(const Napi::CallbackInfo&) { return model_.Value(); }

Napi::Value WorldObject::now_us(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), double(holder_->world->sim().now_us()));
}

// (untilUs) → how it ended
Napi::Value WorldObject::run(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (closed(env, holder_)) return env.Undefined();
  if (holder_->telling) {
    throw_error(env, "run() was called from inside a callback");
    return env.Undefined();
  }
  const sim::RunEnd end = holder_->world->run(number_at(info, 0), holder_->news_due);
  if (end == sim::RunEnd::kNews) tell(env);
  if (env.IsExceptionPending()) return env.Undefined();
  return Napi::String::New(env, end_name(end));
}

void WorldObject::tell(Napi::Env env) {
  const std::vector<LifeObject*> due = std::exchange(holder_->pending, {});
  holder_->telling = true;
  for (size_t i = 0; i < due.size(); i++) {
    LifeObject* object = due[i];
    const auto& on = holder_->objects;
    if (std::find(on.begin(), on.end(), object) == on.end()) continue;
    if (object->node->paused() || env.IsExceptionPending()) {
      holder_->note(*object);
    } else {
      object->tell();
    }
  }
  holder_->telling = false;
  holder_->update_news();
}

Napi::Value WorldObject::violation(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::String::New(info.Env(), holder_->world->violation());
}

// (name, addresses)
Napi::Value WorldObject::add_node(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (closed(env, holder_)) return env.Undefined();
  std::vector<std::string> addresses;
  const auto list = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    addresses.push_back(Napi::Value(list.Get(i)).ToString().Utf8Value());
  }
  Making making{holder_};
  making.node = &holder_->world->add_node(text_at(info, 0), addresses);
  return classes(env).node.New({Napi::External<Making>::New(env, &making)});
}

// (habits)
Napi::Value WorldObject::add_client(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (closed(env, holder_)) return env.Undefined();
  Making making{holder_};
  making.client = &holder_->world->add_client(habits_of(info[0]));
  return classes(env).client.New({Napi::External<Making>::New(env, &making)});
}

// (from, to, minimumUs, maximumUs)
void WorldObject::set_latency(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return;
  holder_->world->sim().net().set_latency(
      NodeObject::node_of(info[0]).host(), NodeObject::node_of(info[1]).host(),
      uint32_t(number_at(info, 2)), uint32_t(number_at(info, 3)));
}

// (from, to, cut)
void WorldObject::set_cut(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return;
  holder_->world->sim().net().set_cut(NodeObject::node_of(info[0]).host(),
                                      NodeObject::node_of(info[1]).host(), info[2].ToBoolean());
}

// (from, to, refusing)
void WorldObject::set_refusing(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return;
  holder_->world->set_refusing(NodeObject::node_of(info[0]), NodeObject::node_of(info[1]),
                               info[2].ToBoolean());
}

// (a, b) → count
Napi::Value WorldObject::reset_connections(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  const uint32_t count =
      holder_->world->reset_connections(NodeObject::node_of(info[0]), NodeObject::node_of(info[1]));
  return Napi::Number::New(info.Env(), count);
}

Napi::Value WorldObject::random(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), double(holder_->world->sim().random().next() >> 32));
}

Napi::Value WorldObject::faults(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  Napi::Object object = Napi::Object::New(info.Env());
  for (const auto& [name, count] : holder_->world->faults()) object.Set(name, double(count));
  return object;
}

Napi::Value WorldObject::trace_text(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), holder_->trace);
}

Napi::Value WorldObject::trace_hash(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::BigInt::New(info.Env(), holder_->world->trace_hash());
}

Napi::Value WorldObject::operations(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), double(holder_->world->operations()));
}

// (operations)
void WorldObject::allow(const Napi::CallbackInfo& info) {
  if (!closed(info.Env(), holder_)) holder_->world->allow(number_at(info, 0));
}

Napi::Value WorldObject::allowed(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), double(holder_->world->allowed()));
}

void WorldObject::close(const Napi::CallbackInfo& info) {
  if (holder_->world == nullptr) return;
  if (holder_->telling) return throw_error(info.Env(), "close() was called from inside a callback");
  holder_->end_lives(nullptr);
  holder_->world.reset();
}

}  // namespace blkmirror::simbind
