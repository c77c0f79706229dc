#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/drills.hpp"
#include "harness/core/error.hpp"
#include "harness/core/units.hpp"
#include "tests/campaign/sample_plan.hpp"

namespace lockstep::campaign {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

plan::Drill drill(plan::DrillKind kind, std::uint32_t step) {
  plan::Drill drill;
  drill.kind = kind;
  drill.leg = "joint";
  drill.step = step;
  return drill;
}

plan::Plan plan_with(std::vector<plan::Drill> drills) {
  plan::Plan plan = by_host_plan();
  plan.drills = std::move(drills);
  return plan;
}

std::string complaint(const plan::Plan& plan, bool in_lab, bool allowed) {
  try {
    check_drills_allowed(plan, in_lab, allowed);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(DrillsAllowed, OutsideOfALabOnlyOnOwnRanksAndOnlyWhenAllowed) {
  plan::Drill kill = drill(plan::DrillKind::kill, 1);
  kill.rank = 3;
  plan::Drill switch_off = drill(plan::DrillKind::kill, 1);
  switch_off.host = "gpu-a1";
  EXPECT_EQ(complaint(plan_with({}), false, false), "accepted");
  EXPECT_EQ(complaint(plan_with({kill}), false, true), "accepted");
  EXPECT_THAT(complaint(plan_with({kill}), false, false), HasSubstr("--allow-drills"));
  EXPECT_THAT(complaint(plan_with({kill, switch_off}), false, true),
              HasSubstr("kind \"kill\" on host gpu-a1"));
  EXPECT_EQ(complaint(plan_with({kill, switch_off}), true, false), "accepted");
}

TEST(Drills, ThoseOfRanksAreMadeOnceWhicheverAttemptComesThere) {
  plan::Drill kill = drill(plan::DrillKind::kill, 10);
  kill.rank = 1;
  plan::Drill slow = drill(plan::DrillKind::slow, 20);
  slow.host = "gpu-a1";
  plan::Drill cut = drill(plan::DrillKind::cut, 1);
  cut.between = {"A", "B"};
  plan::Drill elsewhere = kill;
  elsewhere.leg = "A";
  plan::Drill later = kill;
  later.round = 1;
  const plan::Plan plan = plan_with({cut, kill, slow, elsewhere, later});
  Drills drills(plan, "joint", 0);
  EXPECT_THAT(drills.of_ranks(), ElementsAre(1U, 2U));
  drills.note_progress(9);
  EXPECT_THAT(drills.of_ranks(), ElementsAre(1U, 2U)) << "step 10 has not begun";
  drills.note_progress(10);
  EXPECT_THAT(drills.of_ranks(), ElementsAre(2U));
}

class MadeFaults : public testing::Test {
 protected:
  std::vector<record::DrillRow> at(Drills& drills, double seconds, std::uint32_t steps) {
    return drills.act(
        [this](const plan::Drill& made, FaultAction action) {
          calls_.push_back(target_text(made) + (action == FaultAction::make ? " made" : " back"));
          if (fails_)
            throw std::runtime_error("no lab");
          return std::string("lab");
        },
        7, steps, 4, ns_from_seconds(seconds), ns_from_seconds(1000.0 + seconds));
  }
  std::vector<std::string> calls_;
  bool fails_ = false;
};

TEST_F(MadeFaults, ComeAfterTheirStepAndTheirTime) {
  plan::Drill lose = drill(plan::DrillKind::lose, 6);
  lose.site = "B";
  lose.after_s = 0.5;
  const plan::Plan plan = plan_with({lose});
  Drills drills(plan, "joint", 0);
  EXPECT_THAT(at(drills, 1.0, 5), IsEmpty());
  EXPECT_THAT(at(drills, 2.0, 6), IsEmpty());
  EXPECT_THAT(at(drills, 2.4, 6), IsEmpty());
  const auto rows = at(drills, 2.6, 8);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].leg, 7U);
  EXPECT_EQ(rows[0].kind, "lose");
  EXPECT_EQ(rows[0].target, "site B");
  EXPECT_EQ(rows[0].step, 4) << "of the launch, which began at training step 4";
  EXPECT_EQ(rows[0].end_utc_ns, 0);
  EXPECT_EQ(rows[0].how, "lab");
  EXPECT_THAT(at(drills, 9.0, 20), IsEmpty()) << "once";
  EXPECT_THAT(calls_, ElementsAre("site B made"));
}

TEST_F(MadeFaults, AreTakenBackInTimeOrAtTheEnd) {
  plan::Drill cut = drill(plan::DrillKind::cut, 0);
  cut.between = {"A", "B"};
  cut.for_s = 1.0;
  plan::Drill off = drill(plan::DrillKind::kill, 0);
  off.host = "gpu-b1";
  const plan::Plan plan = plan_with({cut, off});
  Drills drills(plan, "joint", 0);
  EXPECT_EQ(at(drills, 1.0, 1).size(), 2U);
  EXPECT_THAT(at(drills, 1.9, 1), IsEmpty());
  const auto back = at(drills, 2.1, 1);
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].target, "A - B");
  EXPECT_EQ(back[0].end_utc_ns, ns_from_seconds(1002.1));
  const auto last =
      drills.take_back_all([](const plan::Drill&, FaultAction) { return std::string("healed"); }, 5);
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(last[0].target, "host gpu-b1");
  EXPECT_EQ(last[0].end_utc_ns, 5);
  EXPECT_EQ(last[0].how, "healed");
}

TEST_F(MadeFaults, ThatCannotBeMadeAreTold) {
  plan::Drill cut = drill(plan::DrillKind::cut, 0);
  cut.between = {"A", "B"};
  const plan::Plan plan = plan_with({cut});
  Drills drills(plan, "joint", 0);
  fails_ = true;
  const auto rows = at(drills, 1.0, 1);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_THAT(rows[0].how, HasSubstr("could not be made: no lab"));
  EXPECT_THAT(drills.take_back_all({}, 0), IsEmpty());
}

}  // namespace
}  // namespace lockstep::campaign
