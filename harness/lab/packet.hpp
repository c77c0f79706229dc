#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// IPv4 packets as a TUN device with virtio headers hands them over: up to 64 KiB that stand for many packets
/// on the wire ("segments"), with checksums left to whoever sends them. Pure functions over bytes.
namespace lockstep::lab {

/// The header before each packet (virtio specification 1.1, section 5.1.6, without num_buffers), in the
/// machine's byte order.
struct VirtioHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t header_bytes = 0;
  std::uint16_t segment_bytes = 0;  ///< payload of each segment
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;
};
static_assert(sizeof(VirtioHeader) == 10);

/// An IPv4 packet and what of it goes over the wire.
struct PacketShape {
  std::uint32_t packet_bytes = 0;  ///< of the whole
  std::uint32_t header_bytes = 0;  ///< IP and TCP header, repeated in every segment
  std::uint32_t segment_payload_bytes = 0;
  std::uint32_t segments = 1;
  std::uint32_t source = 0;  ///< addresses in host byte order
  std::uint32_t destination = 0;
  /// Of segment `index` on the wire: the IP packet, without what a link layer adds.
  [[nodiscard]] std::uint32_t segment_wire_bytes(std::uint32_t index) const;
};

/// `frame`: virtio header and packet. nullopt when it is no IPv4 packet or is damaged.
[[nodiscard]] std::optional<PacketShape> read_shape(std::span<const std::byte> frame);

/// Segments first..last (inclusive) of `frame` as a frame of their own: sequence number, lengths, flags and
/// checksums are those that a sender would have given them.
[[nodiscard]] std::vector<std::byte> cut_out(std::span<const std::byte> frame, const PacketShape& shape,
                                             std::uint32_t first, std::uint32_t last);

/// Computes the checksum that was left to the sender and clears the request for it, so that a bit inverted
/// afterwards is an error that the receiver sees. `frame` must hold a single segment.
void finish_checksum(std::span<std::byte> frame);

/// Inverts bit `bit` of the packet behind the virtio header.
void flip_bit(std::span<std::byte> frame, std::uint32_t bit);

/// One's-complement sum of 16-bit words in network order, folded (RFC 1071), continuing from `sum`.
[[nodiscard]] std::uint16_t internet_sum(std::span<const std::byte> bytes, std::uint32_t sum = 0);

}  // namespace lockstep::lab
