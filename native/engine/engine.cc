// The engine's commands, each passed to the part it concerns.
#include "engine/engine.h"

#include <cerrno>

#include "base/assert.h"
#include "engine/parts.h"

namespace blkmirror::engine {

Engine::Engine(io::Io& io, EventSink& events, Statistics& statistics)
    : parts_(std::make_unique<Parts>(io, events, statistics)) {
  io.set_handler(this);
}

Engine::~Engine() { parts_->io.set_handler(nullptr); }

Status Engine::init() {
  const Status client = parts_->client_pool.init(limits::kClientPoolBytes);
  if (!client.ok()) return client;
  const Status peer = parts_->peer_pool.init(limits::kPeerPoolBytes);
  if (!peer.ok()) return peer;
  for (BufferPool* pool : {&parts_->client_pool, &parts_->peer_pool}) {
    parts_->io.register_memory(pool->region(), pool->region_bytes());
  }
  return {};
}

void Engine::attach(const AttachSpec& spec, Completion& completion) {
  parts_->attach.start(spec, completion);
}

void Engine::detach(bool force, Completion& completion) { parts_->detach(force, completion); }

bool Engine::detached() const { return parts_->attached() && parts_->attach.possible(); }

void Engine::connect_link(uint32_t slot, io::SocketId socket, uint32_t incarnation,
                          Completion& completion) {
  parts_->peers.connect(slot, socket, incarnation, completion);
}

void Engine::close_link(uint32_t slot, uint32_t incarnation) {
  parts_->peers.close_link(slot, incarnation);
}

void Engine::send_control(uint32_t slot, uint32_t incarnation, std::span<const std::byte> text) {
  parts_->peers.send_control(slot, incarnation, text);
}

void Engine::establish(uint32_t slot, uint32_t incarnation, const EstablishPlan& plan,
                       Completion& completion) {
  parts_->peers.establish(slot, incarnation, plan, completion);
}

void Engine::pause_resync(uint32_t slot, bool paused) { parts_->target.pause(slot, paused); }

void Engine::serve(io::SocketId listener, const std::string& export_name, Completion& completion) {
  parts_->serving.serve(listener, export_name, completion);
}

void Engine::serve_kernel(io::SocketId socket, std::span<const std::byte> unread,
                          Completion& completion) {
  parts_->serving.serve_kernel(socket, unread, completion);
}

void Engine::park_kernel(ParkedKernel& parked, Completion& completion) {
  parts_->serving.park_kernel(parked, completion);
}

void Engine::withdraw(bool force, Completion& completion) {
  parts_->serving.withdraw(force, completion);
}

void Engine::update_metadata(const MetadataPatch& patch, Completion& completion) {
  parts_->updates.apply(patch, completion);
}

void Engine::supply_uuids(std::span<const uint64_t> uuids) { parts_->gate.supply(uuids); }

void Engine::set_options(const Options& options) {
  BM_ASSERT(options.timeout_us > 0);
  parts_->options = options;
  parts_->cooler.set_limit(options.al_extents);
  parts_->peers.set_timeout(options.timeout_us);
  parts_->target.options_changed();
}

void Engine::suspend_on_loss(bool on) { parts_->suspension.set_policy(on); }

void Engine::resume(uint32_t slot, uint32_t incarnation) {
  parts_->suspension.resume(slot, incarnation);
}

void Engine::resume_all() { parts_->suspension.resume_all(); }

void Engine::close(Completion& completion) { parts_->shutdown.start(completion); }

bool Engine::closed() const { return parts_->shutdown.done(); }

void Engine::abandon() {
  parts_->client_pool.abandon();
  parts_->peer_pool.abandon();
}

uint64_t Engine::damaged_metadata_pages() const {
  BM_ASSERT(parts_->super != nullptr);
  BM_ASSERT(parts_->bitmap != nullptr);
  return parts_->super->damaged_slots() + parts_->log->damaged_pages() +
         parts_->bitmap->damaged_pages();
}

const meta::Superblock& Engine::superblock() const {
  BM_ASSERT(parts_->super != nullptr);
  return parts_->superblock();
}

void Engine::set_wake_hook(void (*hook)(void* owner), void* owner) {
  wake_hook_ = hook;
  wake_owner_ = owner;
}

void Engine::batch_end() { parts_->batch_end(); }

bool Engine::crowded() const { return parts_->crowded(); }

void Engine::woken() {
  if (wake_hook_ != nullptr) wake_hook_(wake_owner_);
}

}  // namespace blkmirror::engine
