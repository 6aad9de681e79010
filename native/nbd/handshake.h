// The fixed newstyle handshake of one client, from the greeting to the transmission phase. Pure:
// bytes in, bytes out; Session does the I/O.
//
// step() takes one message at a time and is not called again before its output was sent, so a
// client that sends options without reading the answers only fills its own socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "nbd/protocol.h"
#include "nbd/server.h"

namespace blkmirror::nbd {

// Of an export's name, so that every answer fits into the output.
inline constexpr size_t kNameBytes = 1024;

uint16_t transmission_flags();

class Handshake {
 public:
  enum class Next : uint8_t {
    kInput,         // more bytes are needed
    kAgain,         // once the output is sent
    kTransmission,  // once the output is sent
    kClose,         // once the output is sent
  };
  struct Step {
    size_t consumed;
    Next next;
  };

  // `exported` must outlive it. The greeting is in the output from the start.
  explicit Handshake(const Export& exported);

  Step step(std::span<const std::byte> input);
  std::span<const std::byte> output() const { return {output_.data(), output_bytes_}; }
  void clear_output() { output_bytes_ = 0; }

 private:
  enum class State : uint8_t { kClientFlags, kOption, kSkip };

  Step client_flags(std::span<const std::byte> input);
  Step option(std::span<const std::byte> input);
  Step skip(std::span<const std::byte> input);
  Next answer(uint32_t option, std::span<const std::byte> data);
  Next export_name(std::string_view name);
  Next list(std::span<const std::byte> data);
  Next info(uint32_t option, std::span<const std::byte> data);
  void info_text(uint32_t option, Info kind, std::string_view text);
  void reply(uint32_t option, OptionReply type, const void* data = nullptr, size_t bytes = 0);
  void put(const void* data, size_t bytes);
  bool is_ours(std::string_view name) const;

  const Export& exported_;
  State state_ = State::kClientFlags;
  bool no_zeroes_ = false;
  uint32_t skip_bytes_ = 0;
  size_t output_bytes_ = 0;
  std::array<std::byte, 4096> output_;
};

}  // namespace blkmirror::nbd
