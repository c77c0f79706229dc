#include <string>

#include <gtest/gtest.h>

#include "harness/plan/network.hpp"

namespace lockstep::plan {
namespace {

Network network(const std::string& text) {
  const auto parsed = parse_network(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed ? parsed->network : Network{};
}

Network address(const std::string& text) {
  const auto parsed = parse_address(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(Network{});
}

TEST(Network, ContainsByPrefix) {
  EXPECT_TRUE(contains(network("10.1.0.0/16"), address("10.1.255.255")));
  EXPECT_FALSE(contains(network("10.1.0.0/16"), address("10.2.0.0")));
  EXPECT_TRUE(contains(network("10.1.0.0/16"), network("10.1.128.0/17")));
  EXPECT_FALSE(contains(network("10.1.128.0/17"), network("10.1.0.0/16")));
  EXPECT_TRUE(contains(network("0.0.0.0/0"), address("203.0.113.9")));
  EXPECT_TRUE(contains(network("192.168.4.0/23"), address("192.168.5.200")));
  EXPECT_FALSE(contains(network("192.168.4.0/23"), address("192.168.6.0")));
  EXPECT_TRUE(contains(network("fd00:1::/32"), address("fd00:1:2::3")));
  EXPECT_FALSE(contains(network("fd00:1::/32"), address("fd00:2::1")));
  EXPECT_TRUE(contains(network("2001:db8::/33"), address("2001:db8:7fff::")));
  EXPECT_FALSE(contains(network("2001:db8::/33"), address("2001:db8:8000::")));
}

TEST(Network, FamiliesAreApart) {
  EXPECT_FALSE(contains(network("::/0"), address("10.0.0.1")));
  EXPECT_FALSE(contains(network("0.0.0.0/0"), address("fd00::1")));
}

TEST(Network, MappedAddressesAreIpv4AndZonesAreIgnored) {
  EXPECT_EQ(address("::ffff:10.0.0.1"), address("10.0.0.1"));
  EXPECT_EQ(address("fe80::1%eth0"), address("fe80::1"));
}

TEST(Network, RefusesWhatIsNone) {
  for (const char* text : {"10.1.0.0", "10.1.0.0/33", "10.1.0/16", "fd00::/129", "/8", "10.0.0.0/",
                           "10.0.0.0/8x", "10.0.0.0/-1", "host/8", "", "10.0.0.0/8/8"})
    EXPECT_FALSE(parse_network(text).has_value()) << text;
  for (const char* text : {"host", "10.1.0", "10.1.0.256", "", "::g", "10.0.0.1/32"})
    EXPECT_FALSE(parse_address(text).has_value()) << text;
}

TEST(Network, ReportsHostBits) {
  EXPECT_TRUE(parse_network("10.1.2.3/16")->had_host_bits);
  EXPECT_EQ(to_string(parse_network("10.1.2.3/16")->network), "10.1.0.0/16");
  EXPECT_FALSE(parse_network("10.1.0.0/16")->had_host_bits);
  EXPECT_EQ(to_string(address("fd00:0:0::7")), "fd00::7");
}

}  // namespace
}  // namespace lockstep::plan
