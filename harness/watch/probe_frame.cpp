#include "harness/watch/probe_frame.hpp"

#include <cstring>

#include <endian.h>

namespace lockstep::watch {
namespace {

constexpr std::uint32_t kMagic = 0x4c4b5350;  // "LKSP"

}  // namespace

std::array<std::byte, kFrameBytes> encode(const Frame& frame) {
  const std::array<std::uint64_t, kFrameBytes / sizeof(std::uint64_t)> words = {
      htobe64((static_cast<std::uint64_t>(kMagic) << 32) | static_cast<std::uint32_t>(frame.kind)),
      htobe64(frame.token),
      htobe64(frame.number),
      htobe64(static_cast<std::uint64_t>(frame.first)),
      htobe64(static_cast<std::uint64_t>(frame.second)),
      htobe64(static_cast<std::uint64_t>(frame.third))};
  std::array<std::byte, kFrameBytes> bytes{};
  std::memcpy(bytes.data(), words.data(), bytes.size());
  return bytes;
}

std::optional<Frame> decode(std::span<const std::byte> bytes) {
  if (bytes.size() < kFrameBytes)
    return std::nullopt;
  std::array<std::uint64_t, kFrameBytes / sizeof(std::uint64_t)> words{};
  std::memcpy(words.data(), bytes.data(), kFrameBytes);
  for (std::uint64_t& word : words)
    word = be64toh(word);
  const auto kind = static_cast<std::uint32_t>(words[0]);
  const bool known = kind >= static_cast<std::uint32_t>(FrameKind::hello) &&
                     kind <= static_cast<std::uint32_t>(FrameKind::echo);
  if (words[0] >> 32 != kMagic || !known)
    return std::nullopt;
  return Frame{.kind = static_cast<FrameKind>(kind),
               .token = words[1],
               .number = words[2],
               .first = static_cast<std::int64_t>(words[3]),
               .second = static_cast<std::int64_t>(words[4]),
               .third = static_cast<std::int64_t>(words[5])};
}

}  // namespace lockstep::watch
