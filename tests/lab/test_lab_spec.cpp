#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/lab/link_text.hpp"
#include "harness/lab/spec.hpp"

namespace lockstep::lab {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr const char* kTwoSites = R"(name = "pair"
[[site]]
name = "a"
hosts = ["a[1-3]"]
[[site]]
name = "b"
hosts = ["b1", "x[01-02]"]
mtu = 9000
[site.sysctl]
"net.ipv4.tcp_rmem" = "4096 131072 6291456"
"net.ipv4.tcp_sack" = 1
)";

LabSpec with(const std::string& more) {
  return parse_spec(kTwoSites + more, "pair.toml");
}

/// The refusal, which must name the file.
std::string refusal(const std::string& text) {
  try {
    static_cast<void>(parse_spec(text, "pair.toml"));
  } catch (const InputError& error) {
    EXPECT_THAT(error.problem().one_line(), StartsWith("pair.toml:"));
    return error.problem().one_line();
  }
  return "not refused";
}

std::string refusal_with(const std::string& more) {
  return refusal(kTwoSites + more);
}

TEST(LabSpec, ReadsSitesAndHosts) {
  const LabSpec spec = with("");
  EXPECT_EQ(spec.name, "pair");
  EXPECT_EQ(spec.seed, 1U);
  ASSERT_EQ(spec.sites.size(), 2U);
  EXPECT_THAT(spec.sites[0].hosts, ElementsAre("a1", "a2", "a3"));
  EXPECT_THAT(spec.sites[1].hosts, ElementsAre("b1", "x01", "x02"));
  EXPECT_EQ(spec.sites[0].mtu, 1500U);
  EXPECT_EQ(spec.sites[1].mtu, 9000U);
  EXPECT_EQ(spec.sites[1].sysctl.at("net.ipv4.tcp_rmem"), "4096 131072 6291456");
  EXPECT_EQ(spec.sites[1].sysctl.at("net.ipv4.tcp_sack"), "1");
  EXPECT_EQ(spec.site_of_host("x02"), 1U);
  EXPECT_FALSE(spec.has_host("x03"));
  EXPECT_EQ(spec.find_site("b"), 1U);
  EXPECT_EQ(spec.find_site("c"), 2U);
  EXPECT_EQ(describe(spec.links[0][1]), "rtt=0");
}

TEST(LabSpec, ANameThatIsNotGivenIsTheFiles) {
  const LabSpec spec =
      parse_spec(std::string(kTwoSites).substr(std::string(kTwoSites).find('\n')), "configs/lab/metro.toml");
  EXPECT_EQ(spec.name, "metro");
}

TEST(LabSpec, LinksAreBothWaysOrOneWayAndLieOneOnAnother) {
  const LabSpec spec = with(R"([[link]]
between = ["a", "b"]
rtt = "20ms"
[[link]]
from = "b"
to = "a"
loss = "1%"
)");
  EXPECT_EQ(describe(spec.links[0][1]), "delay=10ms");
  EXPECT_EQ(describe(spec.links[1][0]), "delay=10ms loss=1%");
}

TEST(LabSpec, AddressesAreOfTheSiteAndTheHost) {
  EXPECT_EQ(address_of(0, 0), "10.1.0.1");
  EXPECT_EQ(address_of(15, 199), "10.16.0.200");
  EXPECT_EQ(gateway_of(1), "10.2.255.254");
}

TEST(LabSpec, UnknownKeysAreRefusedWithTheNearest) {
  EXPECT_THAT(refusal("nme = \"x\"\n"), HasSubstr("pair.toml:1: unknown key 'nme'; did you mean 'name'?"));
  EXPECT_THAT(refusal_with("mtuu = 9000\n"), HasSubstr("sysctl"));  // still inside the table above
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\nhost = [\"c1\"]\n"),
              HasSubstr("pair.toml:14: unknown key 'site.host'; did you mean 'site.hosts'?"));
  EXPECT_THAT(refusal_with("[[link]]\nbetween = [\"a\", \"b\"]\nlos = \"1%\"\n"),
              HasSubstr("pair.toml:14: unknown key 'link.los'; did you mean 'link.loss'?"));
}

TEST(LabSpec, ErrorsOfALinkNameItsLine) {
  EXPECT_THAT(refusal_with("[[link]]\nbetween = [\"a\", \"c\"]\n"),
              testing::AllOf(HasSubstr("pair.toml:13:"), HasSubstr("\"c\""), HasSubstr("known are a, b")));
  EXPECT_THAT(refusal_with("[[link]]\nbetween = [\"a\", \"a\"]\n"), HasSubstr("does not name two sites"));
  EXPECT_THAT(refusal_with("[[link]]\nbetween = [\"a\"]\n"), HasSubstr("does not name two sites"));
  EXPECT_THAT(refusal_with("[[link]]\nrtt = \"1ms\"\n"),
              HasSubstr("pair.toml:12: a link does not say where"));
  EXPECT_THAT(refusal_with("[[link]]\nfrom = \"a\"\n"), HasSubstr("does not say where"));
  EXPECT_THAT(refusal_with("[[link]]\nfrom = \"a\"\nto = \"a\"\n"), HasSubstr("does not say where"));
  EXPECT_THAT(refusal_with("[[link]]\nbetween = [\"a\", \"b\"]\nfrom = \"a\"\nto = \"b\"\n"),
              HasSubstr("does not say where"));
  EXPECT_THAT(refusal_with("[[link]]\nbetween = [\"a\", \"b\"]\nrtt = \"1\"\n"),
              testing::AllOf(HasSubstr("pair.toml:12:"), HasSubstr("write it as 20ms")));
  EXPECT_THAT(refusal_with("[[link]]\nbetween = [\"a\", \"b\"]\nrate = 1000\n"),
              HasSubstr("put it in quotes"));
  EXPECT_THAT(refusal_with("[[link]]\nbetween = [\"a\", \"b\"]\nrtt = \"1ms\"\ndelay = \"1ms\"\n"),
              HasSubstr("both set the delay"));
  EXPECT_THAT(refusal_with("[link]\nbetween = [\"a\", \"b\"]\n"), HasSubstr("[[link]] with double brackets"));
}

TEST(LabSpec, AHostIsAtOnePlace) {
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\nhosts = [\"a2\"]\n"), HasSubstr("\"a2\" is there twice"));
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\nhosts = [\"c1\", \"c1\"]\n"),
              HasSubstr("\"c1\" is there twice"));
  EXPECT_THAT(refusal_with("[[site]]\nname = \"a\"\nhosts = [\"c1\"]\n"),
              HasSubstr("two sites are named \"a\""));
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\nhosts = [\"localhost\"]\n"), HasSubstr("localhost"));
}

TEST(LabSpec, NamesMustServeAsHostNamesAndInPaths) {
  for (const char* bad : {"", "..", "a/b", "a b", "-a", "a.b", "a_b"})
    EXPECT_THAT(refusal_with(fmt::format("[[site]]\nname = \"c\"\nhosts = [\"{}\"]\n", bad)),
                HasSubstr("pair.toml:14:"))
        << bad;
  EXPECT_THAT(refusal("name = \"../x\"\n" + std::string(kTwoSites).substr(std::string(kTwoSites).find('\n'))),
              HasSubstr("letters, digits and '-'"));
}

TEST(LabSpec, WhatALabCannotBeIsRefused) {
  EXPECT_THAT(refusal("[[site]]\nname = \"a\"\nhosts = [\"a1\"]\n"), HasSubstr("two sites at least"));
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\n"), HasSubstr("has no hosts"));
  EXPECT_THAT(refusal_with("[[site]]\nhosts = [\"c1\"]\n"), HasSubstr("a site has no name"));
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\nhosts = \"c1\"\n"), HasSubstr("array of strings"));
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\nhosts = [\"c[1-201]\"]\n"), HasSubstr("1 to 200"));
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\nhosts = [\"c1\"]\nmtu = 100\n"),
              HasSubstr("site.mtu is no integer from 576 to 9216"));
  EXPECT_THAT(refusal("seed = -1\n" + std::string(kTwoSites)), HasSubstr("seed is no integer"));
  EXPECT_THAT(refusal("seed = 1\nseed = 2\n"), HasSubstr("pair.toml:2"));
  std::string many;
  for (std::size_t i = 0; i <= kMostSites; ++i)
    many += fmt::format("[[site]]\nname = \"s{0}\"\nhosts = [\"h{0}\"]\n", i);
  EXPECT_THAT(refusal(many), HasSubstr("17 sites"));
}

TEST(LabSpec, SettingsOutsideTheNetworkAreNotAHostsOwn) {
  for (const char* name : {"kernel.shmmax", "vm.swappiness", "net/../kernel/shmmax", "net...kernel.shmmax"})
    EXPECT_THAT(refusal_with(fmt::format(
                    "[[site]]\nname = \"c\"\nhosts = [\"c1\"]\n[site.sysctl]\n\"{}\" = 1\n", name)),
                HasSubstr(fmt::format("site.sysctl has '{}'", name)));
  EXPECT_THAT(refusal_with("[[site]]\nname = \"c\"\nhosts = [\"c1\"]\nsysctl = 1\n"),
              HasSubstr("must be a table"));
}

}  // namespace
}  // namespace lockstep::lab
