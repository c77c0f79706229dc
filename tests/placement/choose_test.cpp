#include "harness/placement/choose.hpp"

#include <set>

#include <gmock/gmock.h>

#include "tests/placement/dgx.hpp"

namespace lockstep::placement {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr const char* kAll = "0-15";
constexpr const char* kFirst = "0-7";
constexpr const char* kSecond = "8-15";

std::vector<const char*> eight(const char* cpus) {
  return std::vector<const char*>(8, cpus);
}

std::vector<VisibleGpu> dgx_visible(const std::vector<int>& numbers = {0, 1, 2, 3, 4, 5, 6, 7}) {
  std::vector<VisibleGpu> visible;
  for (const int number : numbers)
    visible.push_back({static_cast<int>(visible.size()), dgx_gpu(number), "GPU-" + std::to_string(number)});
  return visible;
}

LocalRanks ranks_on(const std::vector<const char*>& cpus, std::size_t self) {
  LocalRanks ranks;
  for (const char* text : cpus)
    ranks.cpus.push_back(*CpuSet::parse(text));
  ranks.self = self;
  ranks.slot = static_cast<std::uint32_t>(self);
  ranks.slots = static_cast<std::uint32_t>(cpus.size());
  return ranks;
}

/// Which GPU of the host each rank takes, as one digit each.
std::string taken(const std::vector<const char*>& cpus, const std::vector<VisibleGpu>& visible) {
  std::string digits;
  for (std::size_t self = 0; self < cpus.size(); ++self) {
    const Choice choice = choose_gpu(dgx(), ranks_on(cpus, self), visible);
    digits += choice.gpu ? choice.gpu->uuid.back() : '-';
  }
  return digits;
}

TEST(ChooseGpu, UnboundRanksTakeThemInOrder) {
  EXPECT_EQ(taken(eight(kAll), dgx_visible()), "01234567");
  const Choice choice = choose_gpu(dgx(), ranks_on(eight(kAll), 5), dgx_visible());
  EXPECT_EQ(choice.gpu->ordinal, 5);
  EXPECT_THAT(choice.reason, HasSubstr("place 5 of 8"));
  EXPECT_EQ(choice.near.text(), kSecond);
  EXPECT_EQ(choice.nics, "mlx5_5 (same PCI switch)");
  EXPECT_EQ(choice.narrower.text(), kSecond) << "nobody bound it";
  EXPECT_THAT(choice.warnings, IsEmpty());
}

TEST(ChooseGpu, RanksBoundInTurnsTakeGpusAtTheirSocket) {
  // What mpirun does by default: rank 1 on the other socket.
  const std::vector<const char*> in_turns = {kFirst, kSecond, kFirst, kSecond,
                                             kFirst, kSecond, kFirst, kSecond};
  EXPECT_EQ(taken(in_turns, dgx_visible()), "04152637");
  for (std::size_t self = 0; self < in_turns.size(); ++self) {
    const Choice choice = choose_gpu(dgx(), ranks_on(in_turns, self), dgx_visible());
    EXPECT_THAT(choice.warnings, IsEmpty()) << self;
    EXPECT_TRUE(choice.narrower.empty()) << "the launcher bound it";
    EXPECT_THAT(choice.reason, HasSubstr("by the cores"));
  }
}

TEST(ChooseGpu, ThoseWithTheLeastChoiceComeFirst) {
  // Rank 0 may run anywhere; taking GPU 0 first would leave ranks 1 to 4 with three at their socket.
  EXPECT_EQ(taken({kAll, kFirst, kFirst, kFirst, kFirst}, dgx_visible()), "40123");
}

TEST(ChooseGpu, NoTwoRanksShareWhileThereAreEnough) {
  for (const auto& cpus :
       std::vector<std::vector<const char*>>{eight(kFirst),
                                             {kFirst, kFirst, kFirst, kFirst, kFirst, kSecond},
                                             {"0", "1", "9", "2", "3", "4", "5", "6"}}) {
    const std::string digits = taken(cpus, dgx_visible());
    EXPECT_EQ(std::set<char>(digits.begin(), digits.end()).size(), cpus.size()) << digits;
  }
}

TEST(ChooseGpu, MoreRanksThanGpusShareEvenly) {
  EXPECT_EQ(taken(eight(kAll), dgx_visible({0, 4})), "04040404");
  EXPECT_EQ(taken({kFirst, kSecond, kFirst, kSecond}, dgx_visible({0, 4})), "0404");
  EXPECT_EQ(taken({kFirst, kFirst, kFirst, kFirst}, dgx_visible({0, 4})), "0044")
      << "no more than two on one";
}

TEST(ChooseGpu, ARankThatSeesOneTakesIt) {
  const Choice choice = choose_gpu(dgx(), ranks_on({kFirst, kFirst, kFirst}, 2), dgx_visible({3}));
  EXPECT_EQ(choice.gpu->bus_id, dgx_gpu(3));
  EXPECT_EQ(choice.gpu->ordinal, 0);
  EXPECT_THAT(choice.reason, HasSubstr("only one"));
  EXPECT_THAT(choice.warnings, IsEmpty());
}

TEST(ChooseGpu, ASiteAloneUsesTheGpusThatItHasInTheJointLeg) {
  LocalRanks ranks = ranks_on({kAll, kAll, kAll, kAll}, 1);
  ranks.slot = 5;
  ranks.slots = 8;
  EXPECT_EQ(choose_gpu(dgx(), ranks, dgx_visible()).gpu->bus_id, dgx_gpu(5));
  ranks.cpus.assign(4, *CpuSet::parse(kFirst));  // bound or not
  EXPECT_EQ(choose_gpu(dgx(), ranks, dgx_visible()).gpu->bus_id, dgx_gpu(5));
}

TEST(ChooseGpu, TheWrongSocketIsAWarning) {
  const Choice choice = choose_gpu(dgx(), ranks_on({kFirst}, 0), dgx_visible({6}));
  EXPECT_EQ(choice.gpu->bus_id, dgx_gpu(6)) << "the user decided";
  ASSERT_THAT(choice.warnings, SizeIs(1));
  EXPECT_THAT(choice.warnings[0], AllOf(HasSubstr("CPUs 0-7 (socket 0, NUMA node 0)"), HasSubstr(dgx_gpu(6)),
                                        HasSubstr("CPUs 8-15 (socket 1, NUMA node 1)")));
  EXPECT_TRUE(choice.narrower.empty());
}

TEST(ChooseGpu, TheWrongSocketForTheNetworkCardIsAWarning) {
  HostMap map = dgx();
  const CpuSet other = *CpuSet::parse(kSecond);
  map.nics[1].near = other;  // mlx5_0, nearest to GPU 0
  const Choice choice = choose_gpu(map, ranks_on({kFirst}, 0), dgx_visible({0}));
  ASSERT_THAT(choice.warnings, SizeIs(1));
  EXPECT_THAT(choice.warnings[0], AllOf(HasSubstr("mlx5_0"), HasSubstr("CPUs 8-15")));
}

TEST(ChooseGpu, WhereTheMachineDoesNotSayNothingIsWrong) {
  HostMap map = dgx();
  for (Gpu& gpu : map.gpus)
    gpu.near = map.cpus;
  const std::vector<const char*> bound = {kFirst, kSecond};
  const Choice choice = choose_gpu(map, ranks_on(bound, 1), dgx_visible());
  EXPECT_EQ(choice.gpu->ordinal, 1);
  EXPECT_THAT(choice.warnings, IsEmpty());
  EXPECT_TRUE(choice.near.empty());
  EXPECT_TRUE(choice.narrower.empty());
  // A container that hides the PCI bus.
  const HostMap bare = read_synthetic("pack:2 core:8 pu:1");
  EXPECT_EQ(choose_gpu(bare, ranks_on(bound, 1), dgx_visible()).gpu->ordinal, 1);
}

TEST(ChooseGpu, NoneWhereNoneIsVisible) {
  const Choice choice = choose_gpu(dgx(), ranks_on({kFirst}, 0), {});
  EXPECT_FALSE(choice.gpu);
  EXPECT_THAT(choice.reason, HasSubstr("no GPU"));
}

}  // namespace
}  // namespace lockstep::placement
