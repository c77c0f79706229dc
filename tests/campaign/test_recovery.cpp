#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/recovery.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> names(const std::vector<HostSlots>& hosts) {
  std::vector<std::string> names;
  for (const HostSlots& host : hosts)
    names.push_back(host.host);
  return names;
}

/// The joint leg of two sites with two hosts each.
class RecoveryTest : public testing::Test {
 protected:
  Recovery& make(std::vector<std::string> overrides) {
    plan_ = by_host_plan(std::move(overrides));
    const plan::Leg& joint = plan_->legs.back();
    return recovery_.emplace(*plan_, joint, hosts_of_leg(*plan_, joint, {}));
  }
  std::optional<plan::Plan> plan_;
  std::optional<Recovery> recovery_;
};

TEST_F(RecoveryTest, StopIsTheDefault) {
  const RestartDecision decision = make({}).after_failure({"gpu-a1"});
  EXPECT_FALSE(decision.restarts);
  EXPECT_THAT(decision.detail, HasSubstr("recovery.policy"));
}

TEST_F(RecoveryTest, SameKeepsTheHostsAndWaitsTwiceAsLongEachTime) {
  Recovery& recovery = make({"recovery.policy=same", "recovery.backoff_s=0.5", "recovery.max_restarts=3"});
  for (const double wait_s : {0.5, 1.0, 2.0}) {
    const RestartDecision decision = recovery.after_failure({"gpu-a1"});
    EXPECT_TRUE(decision.restarts);
    EXPECT_DOUBLE_EQ(decision.wait_s, wait_s);
  }
  EXPECT_THAT(names(recovery.hosts()), ElementsAre("gpu-a1", "gpu-a2", "gpu-b1", "gpu-b2"));
  const RestartDecision last = recovery.after_failure({});
  EXPECT_FALSE(last.restarts);
  EXPECT_THAT(last.detail, HasSubstr("3 restarts were made"));
}

TEST_F(RecoveryTest, ExcludeGoesOnWithTheHostsThatAreLeft) {
  Recovery& recovery = make({"recovery.policy=exclude"});
  EXPECT_THAT(recovery.ranks_per_site(), IsEmpty()) << "as the plan declares";
  const std::uint32_t slots = recovery.hosts().front().slots;
  const RestartDecision decision = recovery.after_failure({"gpu-b2"});
  EXPECT_THAT(recovery.ranks_per_site(), ElementsAre(2 * slots, slots)) << "the ranks are told";
  EXPECT_TRUE(decision.restarts);
  EXPECT_THAT(decision.detail, HasSubstr("without gpu-b2"));
  EXPECT_THAT(names(recovery.hosts()), ElementsAre("gpu-a1", "gpu-a2", "gpu-b1"));
  // A site without hosts cannot go on.
  const RestartDecision second = recovery.after_failure({"gpu-b1"});
  EXPECT_FALSE(second.restarts);
  EXPECT_THAT(second.detail, HasSubstr("site B has no host left"));
}

TEST_F(RecoveryTest, AHostMayBeCalledByItsFullName) {
  Recovery& recovery = make({"recovery.policy=exclude"});
  EXPECT_TRUE(recovery.after_failure({"GPU-B2.example.org"}).restarts);
  EXPECT_THAT(names(recovery.hosts()), ElementsAre("gpu-a1", "gpu-a2", "gpu-b1"));
  const RestartDecision stranger = make({"recovery.policy=exclude"}).after_failure({"gpu-x9"});
  EXPECT_THAT(stranger.detail, HasSubstr("which of them failed is not known"));
}

TEST_F(RecoveryTest, NoWaitIsLongerThanAnHour) {
  Recovery& recovery = make({"recovery.policy=same", "recovery.max_restarts=40"});
  double wait_s = 0.0;
  for (int i = 0; i < 40; ++i)
    wait_s = recovery.after_failure({}).wait_s;
  EXPECT_DOUBLE_EQ(wait_s, 3600.0);
}

TEST_F(RecoveryTest, ExcludeKeepsReplicasWhole) {
  Recovery& recovery = make({"recovery.policy=exclude", "workload.tensor_parallel=8",
                             "workload.shape.heads=8", "workload.shape.kv_heads=8"});
  const RestartDecision decision = recovery.after_failure({"gpu-a1"});
  EXPECT_FALSE(decision.restarts);
  EXPECT_THAT(decision.detail, HasSubstr("tensor-parallel groups of 8"));
}

TEST_F(RecoveryTest, UnknownCulpritsLeaveTheHostsAsTheyAre) {
  for (const char* policy : {"recovery.policy=exclude", "recovery.policy=spare"}) {
    Recovery& recovery = make({policy, "site.A.spares=[\"gpu-a9\"]"});
    const RestartDecision decision = recovery.after_failure({});
    EXPECT_TRUE(decision.restarts) << policy;
    EXPECT_THAT(decision.detail, HasSubstr("not known"));
    EXPECT_EQ(recovery.hosts().size(), 4U);
  }
}

TEST_F(RecoveryTest, SparesComeInTheOrderOfThePlanAndOnce) {
  Recovery& recovery =
      make({"recovery.policy=spare", "site.A.spares=[\"gpu-a[8-9]\"]", "recovery.max_restarts=9"});
  EXPECT_TRUE(recovery.after_failure({"gpu-a1"}).restarts);
  EXPECT_THAT(names(recovery.hosts()), ElementsAre("gpu-a8", "gpu-a2", "gpu-b1", "gpu-b2"));
  EXPECT_EQ(recovery.hosts()[0].slots, 4U);
  // A spare can fail, too.
  const RestartDecision second = recovery.after_failure({"gpu-a8"});
  EXPECT_TRUE(second.restarts);
  EXPECT_THAT(second.detail, HasSubstr("gpu-a9 in the place of gpu-a8"));
  const RestartDecision third = recovery.after_failure({"gpu-a9"});
  EXPECT_FALSE(third.restarts);
  EXPECT_THAT(third.detail, HasSubstr("site A has no spare left"));
  const RestartDecision other_site = recovery.after_failure({"gpu-b1"});
  EXPECT_FALSE(other_site.restarts);
}

TEST_F(RecoveryTest, TwoHostsAtOnceNeedTwoSpares) {
  Recovery& recovery = make({"recovery.policy=spare", "site.A.spares=[\"gpu-a9\"]"});
  EXPECT_FALSE(recovery.after_failure({"gpu-a1", "gpu-a2"}).restarts);
  EXPECT_THAT(names(recovery.hosts()), ElementsAre("gpu-a1", "gpu-a2", "gpu-b1", "gpu-b2"));
  // Nothing was taken: the spare is still there for one.
  EXPECT_TRUE(recovery.after_failure({"gpu-a2"}).restarts);
}

}  // namespace
}  // namespace lockstep::campaign
