#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/clock.hpp"
#include "harness/watch/interfaces.hpp"
#include "harness/watch/probe_client.hpp"
#include "harness/watch/probe_frame.hpp"
#include "harness/watch/probe_server.hpp"

namespace lockstep::watch {
namespace {

constexpr std::uint64_t kToken = 0x1234567890abcdefULL;
constexpr double kDeadlineS = 30.0;

Peer peer_of(const ProbeServer& server, std::uint64_t place, std::vector<std::string> addresses) {
  return {kToken, place, std::move(addresses), server.tcp_port(), server.udp_port()};
}

TEST(ProbeFrame, SurvivesTheWire) {
  const Frame frame{.kind = FrameKind::ping,
                    .token = kToken,
                    .number = 7,
                    .first = -5,
                    .second = 1'800'000'000'000'000'000};
  const auto bytes = encode(frame);
  EXPECT_EQ(decode(bytes), frame);
}

TEST(ProbeFrame, StrangersAreNoFrames) {
  auto bytes = encode(Frame{});
  EXPECT_FALSE(decode(std::span(bytes).first(kFrameBytes - 1)).has_value());
  bytes[0] = std::byte{'G'};
  EXPECT_FALSE(decode(bytes).has_value());
  auto unknown_kind = encode(Frame{});
  unknown_kind[7] = std::byte{99};
  EXPECT_FALSE(decode(unknown_kind).has_value());
}

TEST(Probe, MeasuresLoopback) {
  const ProbeServer server(kToken, 3);
  auto opened = open_probe(peer_of(server, 3, {"127.0.0.1"}), kDeadlineS);
  ASSERT_TRUE(opened.client.has_value()) << opened.attempts.front().error;
  EXPECT_EQ(opened.client->address(), "127.0.0.1");
  EXPECT_EQ(opened.attempts.front().error, "");

  const RoundTrips trips = opened.client->round_trips({.exchanges = 100, .enough_s = kDeadlineS});
  EXPECT_EQ(trips.error, "");
  EXPECT_EQ(trips.exchanges, 100U);
  EXPECT_GT(trips.min_s, 0.0);
  EXPECT_LE(trips.min_s, trips.p50_s);
  ASSERT_TRUE(trips.p99_s.has_value());
  EXPECT_LE(trips.p50_s, *trips.p99_s);
  // One machine, one clock: the offset is 0, and the bound must hold it.
  EXPECT_LE(std::abs(trips.clock_offset_s), trips.clock_bound_s + 1e-6);

  const DatagramTrain train = opened.client->send_train(1, 50, 1e-4);
  EXPECT_EQ(train.error, "");
  EXPECT_EQ(train.sent, 50U);
  EXPECT_EQ(train.received, 50U);

  const PathMtu mtu = opened.client->path_mtu(trips.p50_s);
  EXPECT_EQ(mtu.interface, "lo");
  EXPECT_GT(mtu.interface_mtu, 0U);
  EXPECT_EQ(mtu.path_mtu, std::min(mtu.interface_mtu, 65535U));

  const StreamRate rate = opened.client->send_streams(4, 0.2);
  EXPECT_EQ(rate.error, "");
  EXPECT_EQ(rate.streams, 4U);
  EXPECT_GT(rate.bytes_per_s, 0.0);
}

TEST(Probe, FewSlowExchangesTellNoP99) {
  const ProbeServer server(kToken, 0);
  auto opened = open_probe(peer_of(server, 0, {"127.0.0.1"}), kDeadlineS);
  ASSERT_TRUE(opened.client.has_value());
  const RoundTrips trips = opened.client->round_trips({.exchanges = 100, .least = 20, .enough_s = 0.0});
  EXPECT_EQ(trips.exchanges, 20U);
  EXPECT_FALSE(trips.p99_s.has_value());
}

TEST(Probe, TrainsAreCountedApart) {
  const ProbeServer server(kToken, 0);
  auto opened = open_probe(peer_of(server, 0, {"127.0.0.1"}), kDeadlineS);
  ASSERT_TRUE(opened.client.has_value());
  EXPECT_EQ(opened.client->send_train(1, 10, 0.0).received, 10U);
  EXPECT_EQ(opened.client->send_train(2, 5, 0.0).received, 5U);
}

TEST(Probe, EveryAddressIsTriedAndTheFirstThatWorksIsTaken) {
  const ProbeServer server(kToken, 1);
  const auto opened = open_probe(peer_of(server, 1, {"no address", "127.0.0.1", "127.0.0.2"}), kDeadlineS);
  ASSERT_EQ(opened.attempts.size(), 3U);
  EXPECT_EQ(opened.attempts[0].error, "no numeric address");
  EXPECT_EQ(opened.attempts[1].error, "");
  EXPECT_EQ(opened.attempts[2].error, "");
  ASSERT_TRUE(opened.client.has_value());
  EXPECT_EQ(opened.client->address(), "127.0.0.1");
}

TEST(Probe, AnotherHostAtTheAddressIsNoticed) {
  const ProbeServer server(kToken, 1);
  const auto opened = open_probe(peer_of(server, 2, {"127.0.0.1"}), kDeadlineS);
  EXPECT_FALSE(opened.client.has_value());
  EXPECT_EQ(opened.attempts.front().error, "another host answers at this address");
}

TEST(Probe, StrangersAreNotAnswered) {
  const ProbeServer server(kToken, 1);
  Peer stranger = peer_of(server, 1, {"127.0.0.1"});
  stranger.token = kToken + 1;
  const auto opened = open_probe(stranger, kDeadlineS);
  EXPECT_FALSE(opened.client.has_value());
  EXPECT_THAT(opened.attempts.front().error, testing::HasSubstr("closed the connection"));
}

TEST(Probe, APortWithoutAnyoneIsRefused) {
  BoundSocket gone = listen_tcp();
  gone.fd.reset();
  const auto opened = open_probe({kToken, 0, {"127.0.0.1"}, gone.port, gone.port}, kDeadlineS);
  EXPECT_FALSE(opened.client.has_value());
  EXPECT_THAT(opened.attempts.front().error, testing::HasSubstr("refused"));
}

TEST(Probe, APeerThatAcceptsAndSaysNothingCostsTheDeadlineOnly) {
  // Connections wait in the queue of a socket that nobody accepts from, as at a frozen host.
  const BoundSocket frozen = listen_tcp();
  const auto opened = open_probe({kToken, 0, {"127.0.0.1"}, frozen.port, frozen.port}, 0.05);
  EXPECT_FALSE(opened.client.has_value());
  EXPECT_EQ(opened.attempts.front().error, "connected, then no answer in time");
}

TEST(Probe, APeerThatIsGoneEndsTheMeasurements) {
  auto server = std::make_unique<ProbeServer>(kToken, 0);
  auto opened = open_probe(peer_of(*server, 0, {"127.0.0.1"}), kDeadlineS);
  ASSERT_TRUE(opened.client.has_value());
  server.reset();
  EXPECT_NE(opened.client->round_trips({}).error, "");
  EXPECT_NE(opened.client->send_train(1, 3, 0.0).error, "");
  EXPECT_NE(opened.client->send_streams(1, 0.05).error, "");
  EXPECT_EQ(opened.client->path_mtu(0.001).path_mtu, 0U);
}

TEST(Interfaces, LoopbackIsThere) {
  const auto found = interface_addresses();
  EXPECT_THAT(found,
              testing::Contains(testing::AllOf(testing::Field(&InterfaceAddress::address, "127.0.0.1"),
                                               testing::Field(&InterfaceAddress::loopback, true),
                                               testing::Field(&InterfaceAddress::mtu, testing::Gt(0U)))));
}

}  // namespace
}  // namespace lockstep::watch
