// Loads and stores of fixed-width integers in a stated byte order, at any alignment, on
// machines of either byte order.
//
// Wire and disk structures are big-endian; bit arrays (activity log, bitmap) are bytes with
// bit n at byte n / 8, bit n % 8, which is what a little-endian 64-bit word gives.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace blkmirror {

static_assert(std::endian::native == std::endian::little ||
              std::endian::native == std::endian::big);

constexpr uint16_t swap_bytes(uint16_t value) { return __builtin_bswap16(value); }
constexpr uint32_t swap_bytes(uint32_t value) { return __builtin_bswap32(value); }
constexpr uint64_t swap_bytes(uint64_t value) { return __builtin_bswap64(value); }

// The value in the other order on machines whose own order is not `Order`; its own inverse.
template <std::endian Order, class T>
constexpr T to_order(T value) {
  return std::endian::native == Order ? value : swap_bytes(value);
}

template <class T>
constexpr T big_endian(T value) {
  return to_order<std::endian::big>(value);
}
template <class T>
constexpr T little_endian(T value) {
  return to_order<std::endian::little>(value);
}

template <std::endian Order, class T>
T load_as(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return to_order<Order>(value);
}

template <std::endian Order, class T>
void store_as(void* to, T value) {
  value = to_order<Order>(value);
  std::memcpy(to, &value, sizeof value);
}

inline uint16_t load_be16(const void* p) { return load_as<std::endian::big, uint16_t>(p); }
inline uint32_t load_be32(const void* p) { return load_as<std::endian::big, uint32_t>(p); }
inline uint64_t load_be64(const void* p) { return load_as<std::endian::big, uint64_t>(p); }
inline void store_be16(void* p, uint16_t v) { store_as<std::endian::big>(p, v); }
inline void store_be32(void* p, uint32_t v) { store_as<std::endian::big>(p, v); }
inline void store_be64(void* p, uint64_t v) { store_as<std::endian::big>(p, v); }

inline uint64_t load_le64(const void* p) { return load_as<std::endian::little, uint64_t>(p); }
inline void store_le64(void* p, uint64_t v) { store_as<std::endian::little>(p, v); }

}  // namespace blkmirror
