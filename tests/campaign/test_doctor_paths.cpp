#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/campaign/sample_survey.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class DoctorPaths : public testing::Test {
 protected:
  plan::Plan plan_ = careful_plan();
  Survey survey_ = healthy_survey(plan_);
  [[nodiscard]] std::vector<Finding> found(const char* kind) const {
    return of_kind(examine(plan_, survey_), kind);
  }
};

TEST_F(DoctorPaths, TheDirectionThatFailsIsNamed) {
  block(survey_, 1, 2);
  const auto blocked = found("unreachable");
  ASSERT_THAT(blocked, SizeIs(1));
  EXPECT_EQ(blocked[0].severity, Severity::error);
  EXPECT_THAT(blocked[0].hosts, ElementsAre("h1", "h2"));
  EXPECT_THAT(blocked[0].what, HasSubstr("h1 cannot connect to h2 (TCP; 10.0.0.3: no answer in time)"));
  EXPECT_THAT(blocked[0].what, HasSubstr("the other direction works"));
}

TEST_F(DoctorPaths, APairThatFailsBothWaysIsOneFinding) {
  block(survey_, 1, 2);
  block(survey_, 2, 1);
  const auto blocked = found("unreachable");
  ASSERT_THAT(blocked, SizeIs(1));
  EXPECT_THAT(blocked[0].what, HasSubstr("the other direction fails too"));
}

TEST_F(DoctorPaths, AnIsolatedHostIsOneFinding) {
  for (const std::uint32_t other : {0U, 1U, 2U}) {
    block(survey_, 3, other);
    block(survey_, other, 3);
  }
  const auto blocked = found("unreachable");
  ASSERT_THAT(blocked, SizeIs(1));
  EXPECT_THAT(blocked[0].hosts, ElementsAre("h3"));
}

TEST_F(DoctorPaths, CutSitesAreOneFinding) {
  for (const std::uint32_t a : {0U, 1U}) {
    for (const std::uint32_t b : {2U, 3U}) {
      block(survey_, a, b);
      block(survey_, b, a);
    }
  }
  const auto blocked = found("unreachable");
  ASSERT_THAT(blocked, SizeIs(1));
  EXPECT_THAT(blocked[0].sites, ElementsAre("A", "B"));
  EXPECT_THAT(blocked[0].what, HasSubstr("in either direction"));
}

TEST_F(DoctorPaths, ACutOneWayNamesTheWay) {
  for (const std::uint32_t a : {0U, 1U}) {
    for (const std::uint32_t b : {2U, 3U})
      block(survey_, b, a);
  }
  const auto blocked = found("unreachable");
  ASSERT_THAT(blocked, SizeIs(1));
  EXPECT_THAT(blocked[0].sites, ElementsAre("B", "A"));
  EXPECT_THAT(blocked[0].what, HasSubstr("no host of site B can connect to site A"));
}

TEST_F(DoctorPaths, AnAddressThatDoesNotAnswerIsATrap) {
  survey_.hosts[2].facts->addresses.push_back({"docker0", "172.17.0.1", 1500, false});
  for (const std::uint32_t from : {0U, 1U})
    path_of(survey_, from, 2).attempts.push_back({"172.17.0.1", "another host answers at this address"});
  const auto dead = found("dead-address");
  ASSERT_THAT(dead, SizeIs(1));
  EXPECT_THAT(dead[0].hosts, ElementsAre("h2"));
  EXPECT_THAT(dead[0].what, HasSubstr("172.17.0.1 (docker0) of h2 does not answer h0, h1"));
  EXPECT_THAT(dead[0].advice, HasSubstr("btl_tcp_if_include"));
}

TEST_F(DoctorPaths, LossIsAddedUpByDirectionBetweenSites) {
  path_of(survey_, 0, 2).train->received = 399;
  path_of(survey_, 1, 3).train->received = 398;
  const auto loss = found("loss");
  ASSERT_THAT(loss, SizeIs(1));
  EXPECT_EQ(loss[0].severity, Severity::error);
  EXPECT_THAT(loss[0].sites, ElementsAre("A", "B"));
  EXPECT_THAT(loss[0].what, HasSubstr("3 of 1600 datagrams were lost (0.19 %"));
}

TEST_F(DoctorPaths, ALittleLossIsAWarning) {
  path_of(survey_, 0, 2).train->received = 399;
  ASSERT_THAT(found("loss"), SizeIs(1));
  EXPECT_EQ(found("loss")[0].severity, Severity::warning);
}

TEST_F(DoctorPaths, BlockedDatagramsAreNoLoss) {
  path_of(survey_, 0, 2).train->received = 0;
  EXPECT_THAT(found("loss"), IsEmpty());
  ASSERT_THAT(found("no-datagrams"), SizeIs(1));
  EXPECT_EQ(found("no-datagrams")[0].severity, Severity::note);
}

TEST_F(DoctorPaths, ANarrowPathBetweenSites) {
  for (const std::uint32_t a : {0U, 1U}) {
    for (const std::uint32_t b : {2U, 3U})
      path_of(survey_, a, b).mtu->path_mtu = 1500;
  }
  const auto narrow = found("narrow-path");
  ASSERT_THAT(narrow, SizeIs(1));
  EXPECT_EQ(narrow[0].severity, Severity::error);
  EXPECT_THAT(narrow[0].sites, ElementsAre("A", "B"));
  EXPECT_THAT(narrow[0].what,
              HasSubstr("packets above 1500 bytes do not get through, and the interfaces have 9000"));
}

TEST_F(DoctorPaths, ANarrowPortNamesItsHost) {
  for (PathReport& path : survey_.paths) {
    if (path.from == 1 || path.to == 1)
      path.mtu->path_mtu = 1400;
  }
  const auto narrow = found("narrow-path");
  ASSERT_THAT(narrow, SizeIs(1));
  EXPECT_THAT(narrow[0].hosts, ElementsAre("h1"));
}

TEST_F(DoctorPaths, UnequalInterfacesAreNotANarrowPath) {
  for (PathReport& path : survey_.paths) {
    if (path.from == 3)
      path.mtu = watch::PathMtu{"eth0", 1500, 1500};
    if (path.to == 3)
      path.mtu->path_mtu = 1500;
  }
  EXPECT_THAT(found("narrow-path"), IsEmpty());
  const auto unequal = found("unequal-mtu");
  ASSERT_THAT(unequal, SizeIs(1));
  EXPECT_THAT(unequal[0].hosts, ElementsAre("h3"));
}

TEST_F(DoctorPaths, ADeclaredRateThatIsNotThere) {
  plan_ = careful_plan({"links.wan_gbps=1.0"});
  for (const auto& [from, to] : {std::pair{0U, 2U}, std::pair{2U, 0U}}) {
    add_stream(survey_, from, to, 1, 0.38e9);
    add_stream(survey_, from, to, 4, 0.40e9);
  }
  const auto slow = found("slow-link");
  ASSERT_THAT(slow, SizeIs(2));
  EXPECT_THAT(slow[0].what, HasSubstr("site A to site B: 400 MB/s"));
  EXPECT_THAT(found("flow-limit"), IsEmpty());
  EXPECT_THAT(found("asymmetric-link"), IsEmpty());
}

TEST_F(DoctorPaths, ADefaultRateIsNoDeclaration) {
  add_stream(survey_, 0, 2, 1, 1e6);
  EXPECT_THAT(found("slow-link"), IsEmpty());
}

TEST_F(DoctorPaths, TheSlowDirectionIsNamed) {
  add_stream(survey_, 0, 2, 1, 1e9);
  add_stream(survey_, 2, 0, 1, 0.5e9);
  const auto asymmetric = found("asymmetric-link");
  ASSERT_THAT(asymmetric, SizeIs(1));
  EXPECT_THAT(asymmetric[0].sites, ElementsAre("B", "A"));
}

TEST_F(DoctorPaths, OneFlowThatIsHeldBack) {
  add_stream(survey_, 0, 2, 1, 0.2e9);
  add_stream(survey_, 0, 2, 4, 0.8e9);
  const auto limited = found("flow-limit");
  ASSERT_THAT(limited, SizeIs(1));
  EXPECT_THAT(limited[0].advice, HasSubstr("btl_tcp_links = \"4\""));
}

TEST_F(DoctorPaths, BuffersAgainstTheBandwidthDelayProduct) {
  // 1 GB/s x 10 ms = 10 MB; the receiver needs twice that.
  plan_ = careful_plan({"links.wan_gbps=1.0"});
  survey_.hosts[3].facts->tcp_rmem_max = 12'000'000;
  survey_.hosts[0].facts->tcp_wmem_max = 4 << 20;
  const auto small = found("small-buffers");
  ASSERT_THAT(small, SizeIs(2));
  EXPECT_THAT(small[0].hosts, ElementsAre("h0"));
  EXPECT_THAT(small[0].what, HasSubstr("net.ipv4.tcp_wmem ends at 4.00 MiB on h0"));
  EXPECT_EQ(small[0].advice, "sysctl -w net.ipv4.tcp_wmem=\"4096 131072 20971520\"");
  EXPECT_THAT(small[1].hosts, ElementsAre("h3"));
  // A host that sits elsewhere makes the shortest round trip between the sites say nothing.
  path_of(survey_, 1, 2).trips->min_s = 20e-6;
  EXPECT_THAT(found("small-buffers"), SizeIs(2));
  EXPECT_EQ(small[1].advice, "sysctl -w net.ipv4.tcp_rmem=\"4096 131072 40894464\"");
}

TEST_F(DoctorPaths, TheEagerLimitOverDistance) {
  plan_ = by_host_plan();
  const auto eager = found("eager-limit");
  ASSERT_THAT(eager, SizeIs(1));
  EXPECT_THAT(eager[0].what, HasSubstr("10.1 ms round trip, and Open MPI's TCP eager limit is 64.0 KiB"));
  survey_ = survey_of(plan_, {SiteId(0), SiteId(0), SiteId(1), SiteId(1)}, {0, 0, 0, 0});
  EXPECT_THAT(found("eager-limit"), IsEmpty());
}

}  // namespace
}  // namespace lockstep::campaign
