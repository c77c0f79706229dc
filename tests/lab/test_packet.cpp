#include <cstring>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "harness/lab/packet.hpp"
#include "harness/stats/random.hpp"

namespace lockstep::lab {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kVirtio = sizeof(VirtioHeader);
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kFin = 0x01, kPush = 0x08, kAck = 0x10, kUrgent = 0x20, kEce = 0x40, kCwr = 0x80;
constexpr std::uint8_t kEcn = 0x80;

std::uint8_t at8(const Bytes& bytes, std::size_t at) {
  return std::to_integer<std::uint8_t>(bytes.at(at));
}
std::uint32_t at16(const Bytes& bytes, std::size_t at) {
  return at8(bytes, at) * 256U + at8(bytes, at + 1);
}
std::uint32_t at32(const Bytes& bytes, std::size_t at) {
  return at16(bytes, at) * 65'536U + at16(bytes, at + 2);
}
void set16(Bytes& bytes, std::size_t at, std::uint32_t value) {
  bytes.at(at) = static_cast<std::byte>(value / 256 % 256);
  bytes.at(at + 1) = static_cast<std::byte>(value % 256);
}
VirtioHeader header_of(const Bytes& frame) {
  VirtioHeader header;
  std::memcpy(&header, frame.data(), sizeof header);
  return header;
}

/// The checksum of RFC 1071 the slow way: sixteen bits at a time, modulo 65535, in plain arithmetic.
std::uint32_t plain_sum(const Bytes& bytes, std::size_t begin, std::size_t end, std::uint64_t more = 0) {
  std::uint64_t sum = more;
  for (std::size_t i = begin; i < end; ++i)
    sum += static_cast<std::uint64_t>(at8(bytes, i)) * ((i - begin) % 2 == 0 ? 256 : 1);
  while (sum > 65'535)
    sum = sum % 65'536 + sum / 65'536;
  return static_cast<std::uint32_t>(sum);
}

/// A receiver's view: over a header with its checksum, everything adds up to 0xffff.
bool ip_checksum_holds(const Bytes& frame) {
  return plain_sum(frame, kVirtio, kVirtio + (at8(frame, kVirtio) % 16) * 4) == 0xffff;
}
std::uint64_t pseudo(const Bytes& frame) {
  const std::size_t length = frame.size() - kVirtio - (at8(frame, kVirtio) % 16) * 4;
  return plain_sum(frame, kVirtio + 12, kVirtio + 20, at8(frame, kVirtio + 9) + length);
}
bool transport_checksum_holds(const Bytes& frame) {
  return plain_sum(frame, kVirtio + (at8(frame, kVirtio) % 16) * 4, frame.size(), pseudo(frame)) == 0xffff;
}

struct Packet {
  std::uint8_t protocol = kTcp;
  std::size_t ip_header = 20;
  std::size_t transport_header = 20;
  std::size_t payload = 0;
  std::uint16_t segment = 0;  ///< 0: none
  std::uint8_t flags = kAck;
  std::uint32_t sequence = 0xfffff000;  // so that it wraps
  std::uint8_t gso_more = 0;
};

/// As a kernel hands it over: the transport checksum left to the device, its field holding the pseudo header.
Bytes make(const Packet& packet) {
  const std::size_t bytes = packet.ip_header + packet.transport_header + packet.payload;
  Bytes frame(kVirtio + bytes);
  stats::Random random(bytes * 31 + packet.segment);
  for (std::size_t i = kVirtio + packet.ip_header; i < frame.size(); ++i)
    frame[i] = static_cast<std::byte>(random.next());
  const auto put = [&](std::size_t at, std::uint32_t value) {
    frame[kVirtio + at] = static_cast<std::byte>(value);
  };
  put(0, static_cast<std::uint32_t>(0x40 + packet.ip_header / 4));
  set16(frame, kVirtio + 2, static_cast<std::uint32_t>(bytes));
  set16(frame, kVirtio + 4, 0xfffe);
  put(8, 64);
  put(9, packet.protocol);
  const std::uint8_t addresses[] = {10, 1, 0, 1, 10, 2, 0, 7};
  for (std::size_t i = 0; i < 8; ++i)
    put(12 + i, addresses[i]);
  set16(frame, kVirtio + 10, 0xffff - plain_sum(frame, kVirtio, kVirtio + packet.ip_header));
  const std::size_t transport = kVirtio + packet.ip_header;
  VirtioHeader header;
  header.flags = 1;
  header.checksum_start = static_cast<std::uint16_t>(packet.ip_header);
  if (packet.protocol == kTcp) {
    set16(frame, transport + 4, packet.sequence >> 16);
    set16(frame, transport + 6, packet.sequence & 0xffff);
    frame[transport + 12] = static_cast<std::byte>(packet.transport_header / 4 * 16);
    frame[transport + 13] = static_cast<std::byte>(packet.flags);
    header.checksum_offset = 16;
  } else {
    set16(frame, transport + 4, static_cast<std::uint32_t>(packet.transport_header + packet.payload));
    header.checksum_offset = 6;
  }
  set16(frame, transport + header.checksum_offset, static_cast<std::uint32_t>(pseudo(frame)));
  if (packet.segment > 0) {
    header.gso_type = static_cast<std::uint8_t>(1 | packet.gso_more);
    header.segment_bytes = packet.segment;
    header.header_bytes = static_cast<std::uint16_t>(packet.ip_header + packet.transport_header);
  }
  std::memcpy(frame.data(), &header, sizeof header);
  return frame;
}

TEST(Packet, SumIsThatOfTheStandard) {
  // The example of RFC 1071, section 3.
  Bytes bytes;
  for (const int value : {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7})
    bytes.push_back(static_cast<std::byte>(value));
  EXPECT_EQ(internet_sum(bytes), 0xddf2);
  bytes.push_back(std::byte{0x12});
  EXPECT_EQ(internet_sum(bytes), 0xeff2) << "an odd byte is the upper half of a word";
  EXPECT_EQ(internet_sum({}, 0x1ffff), 1);
}

TEST(Packet, ShapeOfAnOrdinaryPacket) {
  const Bytes frame = make({.protocol = kUdp, .transport_header = 8, .payload = 100});
  const auto shape = read_shape(frame);
  ASSERT_TRUE(shape);
  EXPECT_EQ(shape->packet_bytes, 128U);
  EXPECT_EQ(shape->segments, 1U);
  EXPECT_EQ(shape->segment_wire_bytes(0), 128U);
  EXPECT_EQ(shape->source, 0x0a010001U);
  EXPECT_EQ(shape->destination, 0x0a020007U);
}

TEST(Packet, ShapeOfAPacketOfManySegments) {
  const Bytes frame = make({.transport_header = 32, .payload = 4000, .segment = 1448});
  const auto shape = read_shape(frame);
  ASSERT_TRUE(shape);
  EXPECT_EQ(shape->segments, 3U);
  EXPECT_EQ(shape->segment_wire_bytes(0), 1500U);
  EXPECT_EQ(shape->segment_wire_bytes(1), 1500U);
  EXPECT_EQ(shape->segment_wire_bytes(2), 52U + 4000U - 2 * 1448U);
}

TEST(Packet, DamagedFramesHaveNoShape) {
  const Bytes whole = make({.ip_header = 24, .transport_header = 32, .payload = 3000, .segment = 1448});
  for (std::size_t length = 0; length < kVirtio + 56; ++length) {
    // A copy of exactly this length, so that a look beyond it is seen by AddressSanitizer.
    const Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(read_shape(cut)) << length;
  }
  EXPECT_TRUE(read_shape(whole));
  const auto spoilt = [&whole](std::size_t at, int value) {
    Bytes frame = whole;
    frame.at(at) = static_cast<std::byte>(value);
    return read_shape(frame);
  };
  EXPECT_FALSE(spoilt(kVirtio, 0x66)) << "IPv6";
  EXPECT_FALSE(spoilt(kVirtio, 0x44)) << "an IP header of 16 bytes";
  EXPECT_FALSE(spoilt(kVirtio + 9, kUdp)) << "TCP segments of a UDP packet";
  EXPECT_FALSE(spoilt(kVirtio + 24 + 12, 0x40)) << "a TCP header of 16 bytes";
  EXPECT_FALSE(spoilt(1, 3)) << "segments of UDP";
  EXPECT_FALSE(spoilt(1, 4)) << "segments of TCP over IPv6";
  Bytes no_size = whole;
  VirtioHeader header = header_of(no_size);
  header.segment_bytes = 0;
  std::memcpy(no_size.data(), &header, sizeof header);
  EXPECT_FALSE(read_shape(no_size));
}

TEST(Packet, PiecesAreWhatASenderWouldHaveSent) {
  for (const std::size_t payload : {1UL, 1448UL, 1449UL, 2896UL, 4001UL, 17'377UL, 65'000UL}) {
    for (const std::uint16_t segment : {std::uint16_t{1448}, std::uint16_t{535}}) {
      const Packet packet{.ip_header = payload % 2 == 0 ? 20UL : 24UL,
                          .transport_header = 32,
                          .payload = payload,
                          .segment = segment,
                          .flags = kFin | kPush | kAck | kUrgent | kEce | kCwr,
                          .gso_more = kEcn};
      const Bytes frame = make(packet);
      const auto shape = read_shape(frame);
      ASSERT_TRUE(shape);
      const std::size_t headers = kVirtio + shape->header_bytes;
      for (const std::uint32_t step : {1U, 2U, 7U}) {
        Bytes joined;
        for (std::uint32_t first = 0; first < shape->segments; first += step) {
          const std::uint32_t last = std::min(first + step, shape->segments) - 1;
          Bytes piece = cut_out(frame, *shape, first, last);
          const bool is_whole = first == 0 && last + 1 == shape->segments;
          EXPECT_EQ(at16(piece, kVirtio + 2), piece.size() - kVirtio);
          EXPECT_EQ(at16(piece, kVirtio + 4), (0xfffe + first) % 65'536) << "identification";
          EXPECT_TRUE(ip_checksum_holds(piece));
          const std::size_t tcp = kVirtio + packet.ip_header;
          EXPECT_EQ(at32(piece, tcp + 4), packet.sequence + first * segment) << "modulo 2^32";
          const std::uint8_t flags = at8(piece, tcp + 13);
          EXPECT_EQ((flags & kFin) != 0, last + 1 == shape->segments);
          EXPECT_EQ((flags & kPush) != 0, last + 1 == shape->segments);
          EXPECT_EQ((flags & kCwr) != 0, first == 0);
          EXPECT_EQ(flags & (kAck | kUrgent | kEce), kAck | kUrgent | kEce);
          if (!is_whole && first == last) {
            EXPECT_EQ(header_of(piece).gso_type, 0);
          } else if (!is_whole) {
            EXPECT_EQ(header_of(piece).gso_type, 1 | kEcn);
            EXPECT_EQ(header_of(piece).segment_bytes, segment);
          }
          joined.insert(joined.end(), piece.begin() + static_cast<std::ptrdiff_t>(headers), piece.end());
          EXPECT_EQ(at16(piece, tcp + 16), pseudo(piece)) << "left to the device";
          if (first == last) {
            finish_checksum(piece);
            EXPECT_TRUE(transport_checksum_holds(piece));
            EXPECT_EQ(header_of(piece).flags, 0);
          }
        }
        EXPECT_EQ(joined, Bytes(frame.begin() + static_cast<std::ptrdiff_t>(headers), frame.end()))
            << payload << " by " << segment << " in " << step;
      }
    }
  }
}

TEST(Packet, ChecksumsOfTcpAndUdpAreFinished) {
  for (const std::size_t payload : {0UL, 1UL, 2UL, 99UL, 1400UL}) {
    for (const std::uint8_t protocol : {kTcp, kUdp}) {
      Bytes frame =
          make({.protocol = protocol, .transport_header = protocol == kTcp ? 20UL : 8UL, .payload = payload});
      EXPECT_FALSE(transport_checksum_holds(frame)) << "not there yet";
      finish_checksum(frame);
      EXPECT_TRUE(transport_checksum_holds(frame));
      EXPECT_EQ(header_of(frame).flags, 0);
      const Bytes once = frame;
      finish_checksum(frame);
      EXPECT_EQ(frame, once) << "it is done once";
    }
  }
}

TEST(Packet, AUdpChecksumOfZeroIsSentAsAllOnes) {
  Bytes frame = make({.protocol = kUdp, .transport_header = 8, .payload = 2});
  // Two bytes of payload that make the sum 0xffff, whose complement is 0.
  set16(frame, kVirtio + 28, 0);
  set16(frame, kVirtio + 28, 0xffff - plain_sum(frame, kVirtio + 20, frame.size()));
  finish_checksum(frame);
  EXPECT_EQ(at16(frame, kVirtio + 26), 0xffffU);
  EXPECT_TRUE(transport_checksum_holds(frame));
}

TEST(Packet, AnInvertedBitIsSeenByAChecksum) {
  const Bytes whole = make({.protocol = kUdp, .transport_header = 8, .payload = 31});
  for (std::uint32_t bit = 0; bit < (whole.size() - kVirtio) * 8; ++bit) {
    Bytes frame = whole;
    finish_checksum(frame);
    const Bytes before = frame;
    flip_bit(frame, bit);
    int differences = 0;
    for (std::size_t i = 0; i < frame.size(); ++i)
      differences += __builtin_popcount(std::to_integer<unsigned>(frame[i] ^ before[i]));
    EXPECT_EQ(differences, 1);
    if (bit / 8 >= 20) {
      EXPECT_FALSE(transport_checksum_holds(frame)) << bit;
    } else if (bit >= 8) {  // the first byte holds the length of the header
      EXPECT_FALSE(ip_checksum_holds(frame)) << bit;
    }
  }
}

TEST(Packet, NoFrameLeadsOutside) {
  stats::Random random(99);
  int shapes = 0;
  for (int round = 0; round < 20'000; ++round) {
    // Half of them noise, half of them good ones with a few bytes spoilt; each of exactly its length.
    Bytes frame;
    if (round % 2 == 0) {
      frame.resize(random.index(300));
      for (std::byte& byte : frame)
        byte = static_cast<std::byte>(random.next());
      if (frame.size() > kVirtio) {
        frame[1] = static_cast<std::byte>(random.index(3));
        frame[kVirtio] = static_cast<std::byte>(0x40 + random.index(16));
      }
    } else {
      frame = make({.transport_header = 20 + 4 * random.index(11),
                    .payload = random.index(5000),
                    .segment = static_cast<std::uint16_t>(1 + random.index(2000))});
      for (std::size_t i = random.index(4); i > 0; --i)
        frame[random.index(90) % frame.size()] = static_cast<std::byte>(random.next());
      if (random.index(2) == 0)
        frame = Bytes(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(random.index(frame.size())));
    }
    const auto shape = read_shape(frame);
    if (!shape)
      continue;
    ++shapes;
    ASSERT_GE(shape->segments, 1U);
    std::uint64_t on_the_wire = 0;
    for (std::uint32_t i = 0; i < shape->segments; ++i)
      on_the_wire += shape->segment_wire_bytes(i);
    ASSERT_EQ(on_the_wire, shape->packet_bytes + std::uint64_t{shape->segments - 1} * shape->header_bytes);
    const auto first = static_cast<std::uint32_t>(random.index(shape->segments));
    const auto last = first + static_cast<std::uint32_t>(random.index(shape->segments - first));
    Bytes piece = cut_out(frame, *shape, first, last);
    ASSERT_LE(piece.size(), frame.size());
    finish_checksum(piece);
    if (piece.size() > kVirtio)
      flip_bit(piece, static_cast<std::uint32_t>(random.index((piece.size() - kVirtio) * 8)));
  }
  EXPECT_GT(shapes, 5000);
}

}  // namespace
}  // namespace lockstep::lab
