#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace lockstep::watch {

/// What two probes say to each other. Requests go from the side that measures to the side that answers.
enum class FrameKind : std::uint32_t {
  hello = 1,     ///< number: the place expected to answer. Answer: hello, number: the place that answers
  ping = 2,      ///< answer: ping, first and second: CLOCK_REALTIME when it came in and went out, ns
  count = 3,     ///< number: a train of datagrams. Answer: count, first: how many different ones came in
  stream = 4,    ///< bytes follow until the sender shuts down; first: ns at its begin that do not count.
                 ///< Answer: stream, first: bytes that count, second: ns that they took
  datagram = 5,  ///< UDP. number: the train, first: place in it. No answer
  size = 6,      ///< UDP, padded to the size that is tried. Answer: size, number as asked, first: bytes got
  echo = 7,      ///< UDP, between ranks. number: its own, first: rank that asks and rank that is asked.
                 ///< Answer: the same, second: 1 + ns from its arrival to the answer, third:
                 ///< CLOCK_REALTIME of its arrival, ns
};

/// 48 bytes in network byte order.
struct Frame {
  FrameKind kind = FrameKind::hello;
  std::uint64_t token = 0;  ///< the same for all probes of one survey: strangers are not answered
  std::uint64_t number = 0;
  std::int64_t first = 0;
  std::int64_t second = 0;
  std::int64_t third = 0;
  bool operator==(const Frame&) const = default;
};
constexpr std::size_t kFrameBytes = 48;

[[nodiscard]] std::array<std::byte, kFrameBytes> encode(const Frame& frame);
/// nullopt when the bytes are no frame, as when a stranger sent them.
[[nodiscard]] std::optional<Frame> decode(std::span<const std::byte> bytes);

}  // namespace lockstep::watch
