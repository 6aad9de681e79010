// The JavaScript object of the lobby: methods are those of host/lobby.h; accepted and dialled
// connections are passed to one function. src/plane/nativeLobby.ts is its only user.
#pragma once

#include <napi.h>

#include <memory>
#include <mutex>
#include <vector>

#include "bind/main_signal.h"
#include "host/lobby.h"

namespace blkmirror::bind {

class LobbyObject final : public Napi::ObjectWrap<LobbyObject>, private host::LobbyEvents {
 public:
  static Napi::Function define(Napi::Env env);
  // (callback)
  explicit LobbyObject(const Napi::CallbackInfo& info);
  ~LobbyObject() override;

 private:
  struct Arrival {
    bool accepted = false;
    host::LobbyId listener = 0;
    host::LobbyId socket = 0;
    std::string remote;
    std::string text;
    int error = 0;
  };

  Napi::Value listen(const Napi::CallbackInfo& info);
  void close_listener(const Napi::CallbackInfo& info);
  Napi::Value dial(const Napi::CallbackInfo& info);
  Napi::Value take(const Napi::CallbackInfo& info);
  void close_socket(const Napi::CallbackInfo& info);
  void set_buffers(const Napi::CallbackInfo& info);
  void refuse(const Napi::CallbackInfo& info);
  void keep_alive(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  // On the lobby's thread.
  void accepted(host::LobbyId listener, host::LobbyId socket, const std::string& remote,
                const std::string& hello) override;
  void dialled(host::LobbyId socket, const std::string& remote, int error,
               const std::string& message) override;
  void put(Arrival arrival);

  void drain();
  Napi::Object to_object(const Arrival& arrival);
  bool closed(const Napi::CallbackInfo& info);
  void shut();

  std::unique_ptr<host::Lobby> lobby_;  // null when closed
  std::unique_ptr<EventCallback> callback_;
  MainSignal* signal_ = nullptr;  // null when closed
  bool draining_ = false;
  napi_async_cleanup_hook_handle cleanup_ = nullptr;
  std::mutex mutex_;  // guards arrivals_
  std::vector<Arrival> arrivals_;
};

}  // namespace blkmirror::bind
