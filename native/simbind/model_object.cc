// The branches of the model as a JavaScript object: see objects.h.
#include "base/assert.h"
#include "bind/js_values.h"
#include "simbind/objects.h"

namespace blkmirror::simbind {

Napi::Function ModelObject::define(Napi::Env env) {
  using Self = ModelObject;
  return DefineClass(env, "Model",
                     {
                         InstanceMethod("setDevice", &Self::set_device),
                         InstanceMethod("losePower", &Self::lose_power),
                         InstanceMethod("failOver", &Self::fail_over),
                         InstanceMethod("settle", &Self::settle),
                         InstanceMethod("fork", &Self::fork),
                         InstanceMethod("admit", &Self::admit),
                         InstanceMethod("knows", &Self::knows),
                         InstanceMethod("acknowledgedAfter", &Self::acknowledged_after),
                         InstanceMethod("discard", &Self::discard),
                         InstanceMethod("save", &Self::save),
                         InstanceMethod("restore", &Self::restore),
                         InstanceMethod("checkCopy", &Self::check_copy),
                         InstanceMethod("compareCopies", &Self::compare_copies),
                         InstanceMethod("facts", &Self::facts),
                     });
}

ModelObject::ModelObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ModelObject>(info),
      holder_(info[0].As<Napi::External<Making>>().Data()->holder) {
  BM_ASSERT(holder_ != nullptr);
}

sim::Model* ModelObject::branch_at(const Napi::CallbackInfo& info, size_t index) {
  if (closed(info.Env(), holder_)) return nullptr;
  sim::Model* model = holder_->world->branch(uint32_t(number_at(info, index)));
  if (model == nullptr) throw_error(info.Env(), "no such branch: " + text_at(info, index));
  return model;
}

// Of the branch that is the first argument.
bool ModelObject::check_free(const Napi::CallbackInfo& info) {
  if (!holder_->world->has_clients(uint32_t(number_at(info, 0)))) return true;
  throw_error(info.Env(), "clients are connected with this branch: drop them first");
  return false;
}

// (…, node, path, …)
const io::SimDisk* ModelObject::disk_at(const Napi::CallbackInfo& info, size_t index) {
  sim::Node& node = NodeObject::node_of(info[index]);
  const std::string path = text_at(info, index + 1);
  const sim::NodeDisk* disk = node.find_disk(path);
  if (disk == nullptr) {
    throw_error(info.Env(), "no disk " + path + " on " + node.name());
    return nullptr;
  }
  return &node.disk_of(*disk);
}

// (sizeBytes)
void ModelObject::set_device(const Napi::CallbackInfo& info) {
  if (closed(info.Env(), holder_)) return;
  const uint64_t bytes = number_at(info, 0);
  if (bytes == 0 || bytes % sim::kSector != 0 || holder_->world->branch(0) != nullptr) {
    return throw_error(info.Env(), "a wrong size, or the device is there already");
  }
  holder_->world->set_device(bytes);
}

// (branch)
void ModelObject::lose_power(const Napi::CallbackInfo& info) {
  sim::Model* model = branch_at(info, 0);
  if (model != nullptr) model->lose_volatile();
}

// (branch, node, path, powerLost) → what is wrong
Napi::Value ModelObject::fail_over(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  sim::Model* model = branch_at(info, 0);
  if (model == nullptr || !check_free(info)) return env.Undefined();
  const io::SimDisk* disk = disk_at(info, 1);
  if (disk == nullptr) return env.Undefined();
  std::string wrong = model->check_lagging(*disk, info[3].ToBoolean());
  if (!wrong.empty()) return Napi::String::New(env, wrong);
  std::unique_ptr<sim::Model> rebased = model->rebase(*disk, wrong);
  if (rebased != nullptr) {
    holder_->world->replace_branch(uint32_t(number_at(info, 0)), std::move(rebased));
  }
  return Napi::String::New(env, wrong);
}

// (branch)
void ModelObject::settle(const Napi::CallbackInfo& info) {
  sim::Model* model = branch_at(info, 0);
  if (model != nullptr) model->settle();
}

// (branch, node, path, held) → branch
Napi::Value ModelObject::fork(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const sim::Model* model = branch_at(info, 0);
  const io::SimDisk* disk = model == nullptr ? nullptr : disk_at(info, 1);
  if (disk == nullptr) return env.Undefined();
  std::string wrong;
  if (info[3].IsObject()) {
    const auto object = info[3].As<Napi::Object>();
    sim::HeldBefore held;
    held.uuid = bind::bigint_of(object.Get("uuid"));
    held.power_lost = object.Get("powerLost").ToBoolean();
    held.lagging = object.Get("lagging").ToBoolean();
    wrong = model->check_held(*disk, held);
  }
  std::unique_ptr<sim::Model> made;
  if (wrong.empty()) made = model->rebase(*disk, wrong);
  if (made == nullptr) {
    const std::string name = NodeObject::node_of(info[1]).name();
    holder_->world->violated("the copy of " + name + " does not hold what it must: " + wrong);
    return Napi::Number::New(env, double(number_at(info, 0)));
  }
  return Napi::Number::New(env, holder_->world->add_branch(std::move(made)));
}

// (branch, from, node, path) → what is wrong
Napi::Value ModelObject::admit(const Napi::CallbackInfo& info) {
  sim::Model* model = branch_at(info, 0);
  const sim::Model* from = model == nullptr ? nullptr : branch_at(info, 1);
  const io::SimDisk* disk = from == nullptr ? nullptr : disk_at(info, 2);
  if (disk == nullptr) return info.Env().Undefined();
  return Napi::String::New(info.Env(), model->admit(*disk, *from));
}

// (branch, uuid) → whether
Napi::Value ModelObject::knows(const Napi::CallbackInfo& info) {
  const sim::Model* model = branch_at(info, 0);
  if (model == nullptr) return info.Env().Undefined();
  return Napi::Boolean::New(info.Env(), model->knows(bind::bigint_of(info[1])));
}

// (branch, uuid) → count
Napi::Value ModelObject::acknowledged_after(const Napi::CallbackInfo& info) {
  const sim::Model* model = branch_at(info, 0);
  if (model == nullptr) return info.Env().Undefined();
  const uint64_t count = model->acknowledged_after(bind::bigint_of(info[1]));
  return Napi::Number::New(info.Env(), double(count));
}

// (branch)
void ModelObject::discard(const Napi::CallbackInfo& info) {
  if (branch_at(info, 0) == nullptr || !check_free(info)) return;
  holder_->world->replace_branch(uint32_t(number_at(info, 0)), nullptr);
}

// (branch) → saved
Napi::Value ModelObject::save(const Napi::CallbackInfo& info) {
  const sim::Model* model = branch_at(info, 0);
  if (model == nullptr) return info.Env().Undefined();
  saved_.push_back(model->clone());
  return Napi::Number::New(info.Env(), double(saved_.size() - 1));
}

// (branch, saved)
void ModelObject::restore(const Napi::CallbackInfo& info) {
  if (branch_at(info, 0) == nullptr || !check_free(info)) return;
  const uint64_t saved = number_at(info, 1);
  if (saved >= saved_.size()) return throw_error(info.Env(), "nothing was saved as this");
  holder_->world->replace_branch(uint32_t(number_at(info, 0)), saved_[saved]->clone());
}

// (branch, node, path) → what is wrong
Napi::Value ModelObject::check_copy(const Napi::CallbackInfo& info) {
  sim::Model* model = branch_at(info, 0);
  const io::SimDisk* disk = model == nullptr ? nullptr : disk_at(info, 1);
  if (disk == nullptr) return info.Env().Undefined();
  return Napi::String::New(info.Env(), model->check_copy(*disk));
}

// (a, aPath, b, bPath) → what differs
Napi::Value ModelObject::compare_copies(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (closed(env, holder_)) return env.Undefined();
  const io::SimDisk* a = disk_at(info, 0);
  const io::SimDisk* b = a == nullptr ? nullptr : disk_at(info, 2);
  if (b == nullptr) return env.Undefined();
  const uint64_t bytes = holder_->world->device_bytes();
  if (bytes == 0) {
    throw_error(env, "setDevice() first");
    return env.Undefined();
  }
  return Napi::String::New(env, sim::compare_disks(*a, *b, bytes));
}

// (branch) → {acknowledged, unflushed, inFlight}
Napi::Value ModelObject::facts(const Napi::CallbackInfo& info) {
  const sim::Model* model = branch_at(info, 0);
  if (model == nullptr) return info.Env().Undefined();
  const sim::ModelFacts facts = model->facts();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("acknowledged", double(facts.acknowledged));
  object.Set("unflushed", double(facts.unflushed));
  object.Set("inFlight", double(facts.in_flight));
  return object;
}

}  // namespace blkmirror::simbind
