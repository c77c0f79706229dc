#include "harness/lab/packet.hpp"

#include <algorithm>
#include <cstring>

#include <netinet/in.h>

#include "harness/core/error.hpp"

namespace lockstep::lab {
namespace {

// linux/virtio_net.h cannot be read by a C++ compiler.
constexpr std::uint8_t kNeedsChecksum = 1;
constexpr std::uint8_t kSegmentsNone = 0;
constexpr std::uint8_t kSegmentsTcp4 = 1;
constexpr std::uint8_t kSegmentsEcn = 0x80;
constexpr std::size_t kVirtio = sizeof(VirtioHeader);
constexpr std::size_t kIpLength = 2;
constexpr std::size_t kIpId = 4;
constexpr std::size_t kIpProtocol = 9;
constexpr std::size_t kIpChecksum = 10;
constexpr std::size_t kIpSource = 12;
constexpr std::size_t kIpDestination = 16;
constexpr std::size_t kLeastIpHeader = 20;
constexpr std::size_t kTcpSequence = 4;
constexpr std::size_t kTcpHeaderLength = 12;
constexpr std::size_t kTcpFlags = 13;
constexpr std::size_t kTcpChecksum = 16;
constexpr std::size_t kLeastTcpHeader = 20;
constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kPush = 0x08;
constexpr std::uint8_t kCongestionWindowReduced = 0x80;

std::uint8_t get8(std::span<const std::byte> bytes, std::size_t at) {
  return std::to_integer<std::uint8_t>(bytes[at]);
}
std::uint16_t get16(std::span<const std::byte> bytes, std::size_t at) {
  return static_cast<std::uint16_t>((get8(bytes, at) << 8) | get8(bytes, at + 1));
}
std::uint32_t get32(std::span<const std::byte> bytes, std::size_t at) {
  return (static_cast<std::uint32_t>(get16(bytes, at)) << 16) | get16(bytes, at + 2);
}
void put16(std::span<std::byte> bytes, std::size_t at, std::uint16_t value) {
  bytes[at] = static_cast<std::byte>(value >> 8);
  bytes[at + 1] = static_cast<std::byte>(value & 0xff);
}
void put32(std::span<std::byte> bytes, std::size_t at, std::uint32_t value) {
  put16(bytes, at, static_cast<std::uint16_t>(value >> 16));
  put16(bytes, at + 2, static_cast<std::uint16_t>(value & 0xffff));
}

VirtioHeader header_of(std::span<const std::byte> frame) {
  VirtioHeader header;
  std::memcpy(&header, frame.data(), kVirtio);
  return header;
}
void set_header(std::span<std::byte> frame, const VirtioHeader& header) {
  std::memcpy(frame.data(), &header, kVirtio);
}

/// Sum over the pseudo header of TCP (RFC 9293, section 3.1).
std::uint16_t pseudo_sum(std::span<const std::byte> ip, std::size_t tcp_bytes) {
  return internet_sum(ip.subspan(kIpSource, 8), static_cast<std::uint32_t>(get8(ip, kIpProtocol)) +
                                                    static_cast<std::uint32_t>(tcp_bytes));
}

}  // namespace

std::uint16_t internet_sum(std::span<const std::byte> bytes, std::uint32_t sum) {
  std::uint64_t total = sum;
  std::size_t i = 0;
  for (; i + 1 < bytes.size(); i += 2)
    total += get16(bytes, i);
  if (i < bytes.size())
    total += static_cast<std::uint64_t>(get8(bytes, i)) << 8;
  while (total >> 16 != 0)
    total = (total & 0xffff) + (total >> 16);
  return static_cast<std::uint16_t>(total);
}

std::uint32_t PacketShape::segment_wire_bytes(std::uint32_t index) const {
  if (segments == 1)
    return packet_bytes;
  const std::uint32_t begin = index * segment_payload_bytes;
  return header_bytes + std::min(segment_payload_bytes, packet_bytes - header_bytes - begin);
}

std::optional<PacketShape> read_shape(std::span<const std::byte> frame) {
  if (frame.size() < kVirtio + kLeastIpHeader)
    return std::nullopt;
  const VirtioHeader header = header_of(frame);
  const auto ip = frame.subspan(kVirtio);
  const std::size_t ip_header = static_cast<std::size_t>(get8(ip, 0) & 0x0f) * 4;
  if (get8(ip, 0) >> 4 != 4 || ip_header < kLeastIpHeader || ip.size() < ip_header)
    return std::nullopt;
  PacketShape shape;
  shape.packet_bytes = static_cast<std::uint32_t>(ip.size());
  shape.source = get32(ip, kIpSource);
  shape.destination = get32(ip, kIpDestination);
  const std::uint8_t type = header.gso_type & static_cast<std::uint8_t>(~kSegmentsEcn);
  if (type == kSegmentsNone)
    return shape;
  if (type != kSegmentsTcp4 || header.segment_bytes == 0 || get8(ip, kIpProtocol) != IPPROTO_TCP ||
      ip.size() < ip_header + kLeastTcpHeader)
    return std::nullopt;
  const std::size_t tcp_header = static_cast<std::size_t>(get8(ip, ip_header + kTcpHeaderLength) >> 4) * 4;
  if (tcp_header < kLeastTcpHeader || ip.size() < ip_header + tcp_header)
    return std::nullopt;
  shape.header_bytes = static_cast<std::uint32_t>(ip_header + tcp_header);
  shape.segment_payload_bytes = header.segment_bytes;
  const std::uint32_t payload = shape.packet_bytes - shape.header_bytes;
  shape.segments = std::max(1U, (payload + shape.segment_payload_bytes - 1) / shape.segment_payload_bytes);
  return shape;
}

std::vector<std::byte> cut_out(std::span<const std::byte> frame, const PacketShape& shape,
                               std::uint32_t first, std::uint32_t last) {
  LOCKSTEP_EXPECT(first <= last && last < shape.segments, "segments that the packet does not have");
  if (first == 0 && last + 1 == shape.segments)
    return {frame.begin(), frame.end()};
  const std::size_t headers = kVirtio + shape.header_bytes;
  const std::size_t begin = headers + std::size_t{first} * shape.segment_payload_bytes;
  const std::size_t end =
      std::min(frame.size(), headers + (std::size_t{last} + 1) * shape.segment_payload_bytes);
  std::vector<std::byte> piece(headers + end - begin);
  std::copy_n(frame.begin(), headers, piece.begin());
  std::copy(frame.begin() + static_cast<std::ptrdiff_t>(begin),
            frame.begin() + static_cast<std::ptrdiff_t>(end),
            piece.begin() + static_cast<std::ptrdiff_t>(headers));

  VirtioHeader header = header_of(piece);
  if (first == last) {
    header.gso_type = kSegmentsNone;
    header.segment_bytes = 0;
  }
  set_header(piece, header);

  const auto ip = std::span(piece).subspan(kVirtio);
  const std::size_t ip_header = static_cast<std::size_t>(get8(ip, 0) & 0x0f) * 4;
  put16(ip, kIpLength, static_cast<std::uint16_t>(ip.size()));
  put16(ip, kIpId, static_cast<std::uint16_t>(get16(ip, kIpId) + first));
  put16(ip, kIpChecksum, 0);
  put16(ip, kIpChecksum, static_cast<std::uint16_t>(~internet_sum(ip.first(ip_header))));

  const auto tcp = ip.subspan(ip_header);
  put32(tcp, kTcpSequence, get32(tcp, kTcpSequence) + first * shape.segment_payload_bytes);
  std::uint8_t flags = get8(tcp, kTcpFlags);
  if (last + 1 < shape.segments)
    flags = static_cast<std::uint8_t>(flags & ~(kFin | kPush));
  if (first > 0)
    flags = static_cast<std::uint8_t>(flags & ~kCongestionWindowReduced);
  tcp[kTcpFlags] = static_cast<std::byte>(flags);
  // A packet of several segments always leaves its checksum to the sender: the field holds the pseudo header.
  put16(tcp, kTcpChecksum, pseudo_sum(ip, tcp.size()));
  return piece;
}

void finish_checksum(std::span<std::byte> frame) {
  VirtioHeader header = header_of(frame);
  header.gso_type = kSegmentsNone;
  header.segment_bytes = 0;
  set_header(frame, header);
  if ((header.flags & kNeedsChecksum) == 0)
    return;
  const auto ip = frame.subspan(kVirtio);
  const std::size_t field = std::size_t{header.checksum_start} + header.checksum_offset;
  if (field + 2 > ip.size())
    return;
  // The field holds the pseudo header's sum, which therefore takes part.
  std::uint16_t sum = static_cast<std::uint16_t>(~internet_sum(ip.subspan(header.checksum_start)));
  if (sum == 0 && get8(ip, kIpProtocol) == IPPROTO_UDP)
    sum = 0xffff;  // 0 would mean that there is none (RFC 768)
  put16(ip, field, sum);
  header.flags = static_cast<std::uint8_t>(header.flags & ~kNeedsChecksum);
  header.checksum_start = 0;
  header.checksum_offset = 0;
  set_header(frame, header);
}

void flip_bit(std::span<std::byte> frame, std::uint32_t bit) {
  const std::size_t at = kVirtio + bit / 8;
  LOCKSTEP_EXPECT(at < frame.size(), "a bit beyond the packet");
  frame[at] ^= static_cast<std::byte>(1U << (bit % 8));
}

}  // namespace lockstep::lab
