#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/app/rank_drills.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"

namespace lockstep::app {
namespace {

using plan::Drill;
using plan::DrillKind;

class IdleCompute final : public step::ComputeBackend {
 public:
  void run(const step::Op& /*op*/, step::BufferSet& /*buffers*/, std::int64_t /*ready_ns*/) override {}
  [[nodiscard]] std::string name() const override { return "idle"; }
  [[nodiscard]] int busy_threads() const override { return 0; }
  [[nodiscard]] step::BufferSet::Need buffers_needed() const override {
    return step::BufferSet::Need::communicated;
  }
};

class RankDrillsTest : public testing::Test {
 protected:
  RankDrillsTest() {
    std::string name = std::filesystem::temp_directory_path() / "lockstep-drills-XXXXXX";
    folder_ = ::mkdtemp(name.data());
    journal_ = std::make_unique<record::Journal>(record::Journal::create(folder_ + "/j", {}, 10, 1, 1, 1));
  }
  ~RankDrillsTest() override { std::filesystem::remove_all(folder_); }

  RankDrills drills(const std::vector<std::uint32_t>& chosen, std::uint32_t first_step = 0) {
    return {plan_, chosen, self_, first_step, *journal_, supervised_};
  }
  static Drill drill(DrillKind kind, std::uint32_t rank, std::uint32_t step) {
    Drill made;
    made.kind = kind;
    made.rank = rank;
    made.step = step;
    return made;
  }
  [[nodiscard]] std::vector<record::DrillRow> rows() const {
    return record::JournalReader::open(folder_ + "/j").drills();
  }
  static bool eventually(const std::function<bool()>& condition) {
    const std::int64_t until_ns = monotonic_ns() + 30'000'000'000;
    while (!condition() && monotonic_ns() < until_ns)
      sleep_until_ns(monotonic_ns() + 1'000'000);
    return condition();
  }

  std::string folder_;
  plan::Plan plan_;
  DrillTarget self_{.leg = 3, .rank = 4, .host = "b2", .local_rank = 1};
  std::unique_ptr<record::Journal> journal_;
  watch::Supervised supervised_{nullptr};
  IdleCompute compute_;
};

TEST_F(RankDrillsTest, WhereNoneActsNothingIsWrapped) {
  plan_.drills = {drill(DrillKind::hang, 5, 1), drill(DrillKind::slow, 4, 1), drill(DrillKind::cut, 4, 0)};
  RankDrills others = drills({0, 2});
  EXPECT_EQ(&others.around(compute_), &compute_);
  EXPECT_EQ(others.hold(), nullptr);
  for (std::uint32_t step = 0; step < 5; ++step)
    others.begin_step(step);
  EXPECT_TRUE(rows().empty());
  RankDrills own = drills({1});
  EXPECT_NE(&own.around(compute_), &compute_);
}

TEST_F(RankDrillsTest, AnIndexThatIsNoneIsRefused) {
  plan_.drills = {drill(DrillKind::hang, 4, 1)};
  EXPECT_THROW(drills({1}), InputError);
}

TEST_F(RankDrillsTest, StepsOfTheLaunchCountFromWhatWasSaved) {
  plan_.drills = {drill(DrillKind::hang, 4, 12), drill(DrillKind::hang, 4, 9)};
  RankDrills made = drills({0, 1}, 10);
  made.begin_step(0);
  made.begin_step(1);
  EXPECT_TRUE(rows().empty()) << "step 9 was trained before";
  made.begin_step(2);
  ASSERT_EQ(rows().size(), 1U);
  EXPECT_EQ(rows()[0].leg, 3U);
  EXPECT_EQ(rows()[0].drill, 0U);
  EXPECT_EQ(rows()[0].kind, "hang");
  EXPECT_EQ(rows()[0].target, "rank 4");
  EXPECT_EQ(rows()[0].step, 2);
  EXPECT_EQ(rows()[0].end_utc_ns, 0) << "for good";
  EXPECT_TRUE(made.hold()->load());
}

TEST_F(RankDrillsTest, AHangEndsWithItsTime) {
  plan_.drills = {drill(DrillKind::hang, 4, 1)};
  plan_.drills[0].for_s = 0.02;
  RankDrills made = drills({0});
  made.begin_step(1);
  EXPECT_TRUE(eventually([&] { return !made.hold()->load(); }));
  EXPECT_TRUE(eventually([&] { return rows()[0].end_utc_ns - rows()[0].begin_utc_ns >= 20'000'000; }));
}

TEST_F(RankDrillsTest, ActsSomeTimeAfterItsStepBegan) {
  plan_.drills = {drill(DrillKind::fill, 4, 1)};
  plan_.drills[0].after_s = 0.02;
  RankDrills made = drills({0});
  const std::int64_t begun_ns = utc_ns();
  made.begin_step(1);
  journal_->where().step.store(3);
  EXPECT_TRUE(eventually([&] { return made.disk_is_full(); }));
  EXPECT_GE(rows()[0].begin_utc_ns - begun_ns, 19'000'000);
  EXPECT_EQ(rows()[0].step, 3) << "that was under way";
}

TEST_F(RankDrillsTest, OfAHostsRanksTheFirstNotesIt) {
  plan_.drills = {Drill{}};
  plan_.drills[0].kind = DrillKind::slow;
  plan_.drills[0].host = "b2";
  plan_.drills[0].factor = 3.0;
  RankDrills second = drills({0});
  EXPECT_NE(&second.around(compute_), &compute_) << "it is slow all the same";
  second.begin_step(0);
  EXPECT_TRUE(rows().empty());
  self_.local_rank = 0;
  RankDrills first = drills({0});
  EXPECT_NE(&first.around(compute_), &compute_);
  first.begin_step(0);
  ASSERT_EQ(rows().size(), 1U);
  EXPECT_EQ(rows()[0].target, "host b2");
  self_.host = "b1";
  RankDrills elsewhere = drills({0});
  EXPECT_EQ(&elsewhere.around(compute_), &compute_);
}

TEST_F(RankDrillsTest, AFlipHasEveryRankCheckItsStep) {
  plan_.drills = {drill(DrillKind::flip, 5, 7)};
  EXPECT_EQ(drills({0}, 2).flags(5), step::kStepValidated);
  EXPECT_EQ(drills({0}, 2).flags(7), 0U);
  EXPECT_EQ(drills({}).flags(7), 0U);
}

}  // namespace
}  // namespace lockstep::app
