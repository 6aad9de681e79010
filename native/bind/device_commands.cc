// See device_commands.h.
#include "bind/device_commands.h"

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "bind/disk_work.h"
#include "bind/js_values.h"

namespace blkmirror::bind {

namespace {

uint32_t number_at(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().Uint32Value();
}

bool flag_at(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Boolean>().Value();
}

Napi::Value post(EngineRunner& runner, const Napi::CallbackInfo& info,
                 EngineRunner::Action action) {
  const uint64_t ticket = number_at(info, 0);
  BM_ASSERT(ticket != EngineRunner::kNoTicket);
  return Napi::Boolean::New(info.Env(), runner.post(ticket, true, std::move(action)));
}

void no_room(engine::Completion& completion) {
  BM_ASSERT(completion.done != nullptr);
  completion.done(completion, EMFILE, "too many sockets");
}

// (ticket, slot, fd, incarnation)
Napi::Value connect_link(EngineRunner& runner, const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 1);
  const uint32_t incarnation = number_at(info, 3);
  return post(runner, info,
              [slot, incarnation, passed = runner.pass_socket(int(number_at(info, 2)))](
                  engine::Engine& engine, io::Io& io, engine::Completion& completion) {
                const io::SocketId socket = passed->adopt(io);
                if (socket == io::kNoSocket) return no_room(completion);
                engine.connect_link(slot, socket, incarnation, completion);
              });
}

// (slot, incarnation)
Napi::Value close_link(EngineRunner& runner, const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 0);
  const uint32_t incarnation = number_at(info, 1);
  runner.post(EngineRunner::kNoTicket, false,
              [slot, incarnation](engine::Engine& engine, io::Io&, engine::Completion&) {
                engine.close_link(slot, incarnation);
              });
  return info.Env().Undefined();
}

// (slot, incarnation, text)
Napi::Value send_control(EngineRunner& runner, const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 0);
  const uint32_t incarnation = number_at(info, 1);
  const bool accepted = runner.post(
      EngineRunner::kNoTicket, true,
      [slot, incarnation, text = info[2].As<Napi::String>().Utf8Value()](
          engine::Engine& engine, io::Io&, engine::Completion&) {
        engine.send_control(slot, incarnation, std::as_bytes(std::span(text.data(), text.size())));
      });
  return Napi::Boolean::New(info.Env(), accepted);
}

// (ticket, slot, incarnation, plan)
Napi::Value establish(EngineRunner& runner, const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 1);
  const uint32_t incarnation = number_at(info, 2);
  return post(runner, info,
              [slot, incarnation, plan = plan_of(info[3].As<Napi::Object>())](
                  engine::Engine& engine, io::Io&, engine::Completion& completion) {
                engine.establish(slot, incarnation, plan, completion);
              });
}

// (slot, paused)
Napi::Value pause_resync(EngineRunner& runner, const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 0);
  const bool paused = flag_at(info, 1);
  runner.post(EngineRunner::kNoTicket, false,
              [slot, paused](engine::Engine& engine, io::Io&, engine::Completion&) {
                engine.pause_resync(slot, paused);
              });
  return info.Env().Undefined();
}

// (ticket, socketPath, exportName); throws when the socket cannot be created.
Napi::Value serve(EngineRunner& runner, const Napi::CallbackInfo& info) {
  auto listener = runner.listen_unix(info[1].As<Napi::String>().Utf8Value());
  if (!listener.ok()) {
    error_of(info.Env(), listener.failure()).ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  return post(runner, info,
              [passed = listener.value(), name = info[2].As<Napi::String>().Utf8Value()](
                  engine::Engine& engine, io::Io& io, engine::Completion& completion) {
                const io::SocketId socket = passed->adopt(io);
                if (socket == io::kNoSocket) return no_room(completion);
                engine.serve(socket, name, completion);
              });
}

// (ticket, fd, unread): the descriptor is taken over.
Napi::Value serve_kernel(EngineRunner& runner, const Napi::CallbackInfo& info) {
  const auto unread = info[2].As<Napi::Uint8Array>();
  const auto* from = reinterpret_cast<const std::byte*>(unread.Data());
  return post(runner, info,
              [passed = runner.pass_socket(int(number_at(info, 1))),
               bytes = std::vector<std::byte>(from, from + unread.ByteLength())](
                  engine::Engine& engine, io::Io& io, engine::Completion& completion) {
                const io::SocketId socket = passed->adopt(io);
                if (socket == io::kNoSocket) return no_room(completion);
                engine.serve_kernel(socket, bytes, completion);
              });
}

void kernel_parked(engine::Completion& completion, int error, const char* what) {
  auto& runner = *static_cast<EngineRunner*>(completion.owner);
  KernelParking& parking = runner.parking();
  BM_ASSERT(parking.command != nullptr);
  BM_ASSERT(parking.io != nullptr);
  if (error == 0) parking.fd = runner.release_socket(*parking.io, parking.parked.socket);
  engine::Completion& command = *std::exchange(parking.command, nullptr);
  command.done(command, error, what);
}

// (ticket); takeParked() follows when it went well.
Napi::Value park_kernel(EngineRunner& runner, const Napi::CallbackInfo& info) {
  return post(runner, info,
              [&runner](engine::Engine& engine, io::Io& io, engine::Completion& completion) {
                KernelParking& parking = runner.parking();
                if (parking.command != nullptr || parking.fd >= 0) {
                  return completion.done(completion, EALREADY, "it is being parked");
                }
                parking.completion = {kernel_parked, &runner};
                parking.command = &completion;
                parking.io = &io;
                engine.park_kernel(parking.parked, parking.completion);
              });
}

// {fd, unread}: the descriptor is the caller's.
Napi::Value take_parked(EngineRunner& runner, const Napi::CallbackInfo& info) {
  KernelParking& parking = runner.parking();
  BM_ASSERT(parking.command == nullptr);
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("fd", std::exchange(parking.fd, -1));
  const std::vector<std::byte> unread = std::move(parking.parked.unread);
  object.Set("unread",
             Napi::Buffer<uint8_t>::Copy(
                 info.Env(), reinterpret_cast<const uint8_t*>(unread.data()), unread.size()));
  return object;
}

// (ticket, force)
Napi::Value withdraw(EngineRunner& runner, const Napi::CallbackInfo& info) {
  return post(
      runner, info,
      [force = flag_at(info, 1)](engine::Engine& engine, io::Io&, engine::Completion& completion) {
        engine.withdraw(force, completion);
      });
}

// (ticket, patch)
Napi::Value update_metadata(EngineRunner& runner, const Napi::CallbackInfo& info) {
  return post(runner, info,
              [patch = patch_of(info[1].As<Napi::Object>())](engine::Engine& engine, io::Io&,
                                                             engine::Completion& completion) {
                engine.update_metadata(patch, completion);
              });
}

// (uuids)
Napi::Value supply_uuids(EngineRunner& runner, const Napi::CallbackInfo& info) {
  runner.post(EngineRunner::kNoTicket, false,
              [uuids = bigints_of(info[0])](engine::Engine& engine, io::Io&, engine::Completion&) {
                engine.supply_uuids(uuids);
              });
  return info.Env().Undefined();
}

// (on)
Napi::Value suspend_on_loss(EngineRunner& runner, const Napi::CallbackInfo& info) {
  runner.post(EngineRunner::kNoTicket, false,
              [on = flag_at(info, 0)](engine::Engine& engine, io::Io&, engine::Completion&) {
                engine.suspend_on_loss(on);
              });
  return info.Env().Undefined();
}

// (slot, incarnation)
Napi::Value resume(EngineRunner& runner, const Napi::CallbackInfo& info) {
  const uint32_t slot = number_at(info, 0);
  const uint32_t incarnation = number_at(info, 1);
  runner.post(EngineRunner::kNoTicket, false,
              [slot, incarnation](engine::Engine& engine, io::Io&, engine::Completion&) {
                engine.resume(slot, incarnation);
              });
  return info.Env().Undefined();
}

Napi::Value resume_all(EngineRunner& runner, const Napi::CallbackInfo& info) {
  runner.post(EngineRunner::kNoTicket, false,
              [](engine::Engine& engine, io::Io&, engine::Completion&) { engine.resume_all(); });
  return info.Env().Undefined();
}

// (options)
Napi::Value set_options(EngineRunner& runner, const Napi::CallbackInfo& info) {
  runner.post(
      EngineRunner::kNoTicket, false,
      [options = options_of(info[0].As<Napi::Object>())](
          engine::Engine& engine, io::Io&, engine::Completion&) { engine.set_options(options); });
  return info.Env().Undefined();
}

// (ticket, disks): what claimDisks() answered. They are closed when they cannot be used.
Napi::Value attach(EngineRunner& runner, const Napi::CallbackInfo& info) {
  using Passed = std::shared_ptr<PassedDisks>;
  const Napi::Object claimed = info[1].As<Napi::Object>();
  return post(runner, info,
              [disks = *claimed.Get("disks").As<Napi::External<Passed>>().Data(),
               spec = runner.attach_spec()](engine::Engine& engine, io::Io& io,
                                            engine::Completion& completion) mutable {
                if (!engine.detached()) {
                  return completion.done(completion, EBUSY, "the old disk is still in use");
                }
                disks->adopt(io, spec);
                engine.attach(spec, completion);
              });
}

// (ticket, force)
Napi::Value detach(EngineRunner& runner, const Napi::CallbackInfo& info) {
  return post(
      runner, info,
      [force = flag_at(info, 1)](engine::Engine& engine, io::Io&, engine::Completion& completion) {
        engine.detach(force, completion);
      });
}

Napi::Value stop(EngineRunner& runner, const Napi::CallbackInfo& info) {
  runner.stop();
  return info.Env().Undefined();
}

Napi::Value metadata(EngineRunner& runner, const Napi::CallbackInfo& info) {
  const Result<meta::Superblock> superblock = runner.events().metadata();
  if (superblock.ok()) return metadata_object(info.Env(), superblock.value());
  const Error error = superblock.error();
  error_of(info.Env(), {error.code, error.what}).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

Napi::Value metadata_revision(EngineRunner& runner, const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), double(runner.events().metadata_revision()));
}

// (words): objects with so many 64-bit members would cost more than all else at a handshake.
Napi::Value statistics(EngineRunner& runner, const Napi::CallbackInfo& info) {
  auto words = info[0].As<Napi::BigUint64Array>();
  fill_statistics(runner.statistics(), runner.events().named_slots(),
                  std::span<uint64_t>(words.Data(), words.ElementLength()));
  return info.Env().Undefined();
}

// After `attached`.
Napi::Value warnings(EngineRunner& runner, const Napi::CallbackInfo& info) {
  Napi::Array array = Napi::Array::New(info.Env());
  for (const std::string& text : runner.warnings()) array.Set(array.Length(), text);
  return array;
}

constexpr DeviceCommand kCommands[] = {
    {"connectLink", connect_link},
    {"closeLink", close_link},
    {"sendControl", send_control},
    {"establish", establish},
    {"pauseResync", pause_resync},
    {"serve", serve},
    {"serveKernel", serve_kernel},
    {"parkKernel", park_kernel},
    {"takeParked", take_parked},
    {"withdraw", withdraw},
    {"updateMetadata", update_metadata},
    {"supplyUuids", supply_uuids},
    {"setOptions", set_options},
    {"suspendOnLoss", suspend_on_loss},
    {"resume", resume},
    {"resumeAll", resume_all},
    {"claimDisks", claim_disks_async},
    {"attach", attach},
    {"detach", detach},
    {"stop", stop},
    {"metadata", metadata},
    {"metadataRevision", metadata_revision},
    {"statistics", statistics},
    {"warnings", warnings},
};

}  // namespace

std::span<const DeviceCommand> device_commands() { return kCommands; }

Napi::Object told_object(Napi::Env env, EngineRunner& runner, const Event& event,
                         const std::string& text) {
  Napi::Object object = event_object(env, event, text);
  if (event.kind != EventKind::kEnded) return object;
  const Ending& ending = runner.ending();
  BM_ASSERT(ending.error >= 0);
  object.Set("wasAttached", ending.was_attached);
  object.Set("code", errno_name(ending.error));
  object.Set("message", ending.message);
  return object;
}

}  // namespace blkmirror::bind
