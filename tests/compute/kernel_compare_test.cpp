#include <map>

#include <gmock/gmock.h>

#include "harness/compute/kernel_choice.hpp"

namespace lockstep::compute {
namespace {

/// How a pretended kernel behaves.
struct Behaviour {
  double gflops = 0.0;  // at 1024; at larger extents times `growth`
  double growth = 1.0;
  std::string core_name = {};
  KernelStatus status = KernelStatus::measured;
  KernelStatus status_when_large = KernelStatus::measured;
};

/// Measures kernels that do not exist, on a clock that moves by what a measurement would take.
class Bench {
 public:
  void add(const std::string& name, const Behaviour& behaviour,
           CatalogEntry::Probing probing = CatalogEntry::Probing::always) {
    GemmKernel kernel;
    kernel.name = name;
    kernel.library_path = "/x/" + name.substr(0, name.find(':'));
    entries_.push_back({kernel, probing});
    behaviours_[name] = behaviour;
  }

  std::vector<KernelMeasurement> compare(double budget_s = 2.5) {
    return compare_kernels(
        entries_, budget_s,
        [this](const GemmKernel& kernel, const ProbeRequest& request) { return measure(kernel, request); },
        [this] { return now_s_; });
  }

  [[nodiscard]] double now_s() const { return now_s_; }
  [[nodiscard]] int asked(const std::string& name) const {
    const auto found = asked_.find(name);
    return found == asked_.end() ? 0 : found->second;
  }

 private:
  KernelMeasurement measure(const GemmKernel& kernel, const ProbeRequest& request) {
    ++asked_[kernel.name];
    EXPECT_GT(request.deadline_s, 0.0);
    const Behaviour& behaviour = behaviours_.at(kernel.name);
    KernelMeasurement row;
    row.kernel = kernel;
    row.kernel.core_name = behaviour.core_name;
    row.extent = request.extent;
    row.status = request.extent > 1024 ? behaviour.status_when_large : behaviour.status;
    const double gflops = behaviour.gflops * (request.extent > 1024 ? behaviour.growth : 1.0);
    const auto edge = static_cast<double>(request.extent);
    const double needed_s = 0.03 + 2.0 * 2.0 * edge * edge * edge / (std::max(gflops, 1e-3) * 1e9);
    if (row.status == KernelStatus::timed_out || needed_s > request.deadline_s) {
      row.status = KernelStatus::timed_out;
      now_s_ += request.deadline_s;
    } else {
      now_s_ += std::min(request.deadline_s, std::max(needed_s, request.budget_s));
    }
    row.gflops = row.status == KernelStatus::measured ? gflops : 0.0;
    return row;
  }

  std::vector<CatalogEntry> entries_;
  std::map<std::string, Behaviour> behaviours_;
  std::map<std::string, int> asked_;
  double now_s_ = 100.0;
};

TEST(KernelCompare, TheLibrarysOwnBadChoiceLoses) {
  Bench bench;  // rates of a CPU that is newer than its OpenBLAS
  bench.add("openblas", {.gflops = 37, .core_name = "Prescott"});
  bench.add("openblas:SkylakeX", {.gflops = 150, .growth = 1.1, .core_name = "SkylakeX"});
  bench.add("openblas:Haswell", {.gflops = 80, .core_name = "Haswell"});
  bench.add("blis", {.gflops = 90});
  const auto rows = bench.compare();
  ASSERT_NE(fastest(rows), nullptr);
  EXPECT_EQ(fastest(rows)->kernel.name, "openblas:SkylakeX");
  EXPECT_DOUBLE_EQ(fastest(rows)->gflops, 165.0);
  EXPECT_EQ(fastest(rows)->extent, 2048U);
  EXPECT_EQ(rows.size(), 4U);
  EXPECT_EQ(bench.asked("openblas"), 1) << "a quarter of the best: no finalist";
}

TEST(KernelCompare, TheLargeProductDecidesBetweenNearOnes) {
  Bench bench;
  bench.add("openblas:SkylakeX", {.gflops = 150, .growth = 1.0});
  bench.add("onednn", {.gflops = 140, .growth = 1.2});
  EXPECT_EQ(fastest(bench.compare())->kernel.name, "onednn");
}

TEST(KernelCompare, ACrashOrAWrongResultNeverWins) {
  Bench bench;
  bench.add("onednn", {.gflops = 900, .status = KernelStatus::crashed});
  bench.add("blis", {.gflops = 800, .status = KernelStatus::wrong_result});
  bench.add("openblas", {.gflops = 700, .status_when_large = KernelStatus::crashed});
  bench.add("openblas:Zen", {.gflops = 600, .status = KernelStatus::failed});
  bench.add("openblas:Haswell", {.gflops = 650});
  const auto rows = bench.compare();
  ASSERT_NE(fastest(rows), nullptr);
  EXPECT_EQ(fastest(rows)->kernel.name, "openblas:Haswell");
  EXPECT_EQ(rows[0].status, KernelStatus::crashed);
  EXPECT_EQ(rows[2].status, KernelStatus::crashed);
}

TEST(KernelCompare, NobodyMeasuredNobodyChosen) {
  Bench bench;
  bench.add("onednn", {.gflops = 900, .status = KernelStatus::crashed});
  EXPECT_EQ(fastest(bench.compare()), nullptr);
  EXPECT_EQ(fastest({}), nullptr);
}

TEST(KernelCompare, TheSameKernelIsNotMeasuredTwiceAtLength) {
  Bench bench;
  bench.add("openblas", {.gflops = 160, .core_name = "SkylakeX"});
  bench.add("openblas:SkylakeX", {.gflops = 159, .core_name = "SkylakeX"});
  const auto rows = bench.compare();
  EXPECT_EQ(fastest(rows)->kernel.name, "openblas:SkylakeX") << "the name that says what runs";
  EXPECT_EQ(rows[0].detail, "same kernel as openblas:SkylakeX");
  EXPECT_EQ(bench.asked("openblas"), 1);
  EXPECT_EQ(bench.asked("openblas:SkylakeX"), 2);
}

TEST(KernelCompare, KernelsOnRequestAreListedAndNotMeasured) {
  Bench bench;
  bench.add("openblas:Haswell", {.gflops = 80});
  bench.add("openblas:Prescott", {.gflops = 1000}, CatalogEntry::Probing::on_request);
  const auto rows = bench.compare();
  EXPECT_EQ(fastest(rows)->kernel.name, "openblas:Haswell");
  EXPECT_EQ(rows[1].status, KernelStatus::skipped);
  EXPECT_EQ(bench.asked("openblas:Prescott"), 0);
}

TEST(KernelCompare, StaysInsideTheBudgetWhateverTheKernelsDo) {
  for (const double gflops : {0.5, 3.0, 10.0, 30.0, 50.0, 100.0, 300.0}) {
    Bench bench;
    for (const char* name : {"a", "b", "c", "d", "e", "f"})
      bench.add(name, {.gflops = gflops});
    bench.add("hangs", {.gflops = gflops, .status = KernelStatus::timed_out});
    const double begin_s = bench.now_s();
    static_cast<void>(bench.compare(2.5));
    EXPECT_LE(bench.now_s() - begin_s, 2.5 + 1e-9) << gflops << " GFLOP/s";
  }
}

TEST(KernelCompare, StaysInsideTheBudgetWhenEveryKernelHangs) {
  Bench bench;
  for (const char* name : {"a", "b", "c"})
    bench.add(name, {.status = KernelStatus::timed_out});
  const double begin_s = bench.now_s();
  EXPECT_EQ(fastest(bench.compare(1.5)), nullptr);
  EXPECT_LE(bench.now_s() - begin_s, 0.65 * 1.5 + 1e-9)
      << "the first round has its share, and no finalist follows";
}

TEST(KernelCompare, ASlowMachineIsStillMeasuredWithWhatTheTimeAllows) {
  Bench bench;
  bench.add("a", {.gflops = 8});
  bench.add("b", {.gflops = 10});
  const auto rows = bench.compare();
  ASSERT_NE(fastest(rows), nullptr);
  EXPECT_EQ(fastest(rows)->kernel.name, "b");
  EXPECT_EQ(fastest(rows)->extent, 1024U);
}

TEST(KernelCompare, AHangLeavesTimeForTheOthersAndTheRestIsNamedAsSkipped) {
  Bench bench;
  bench.add("hangs", {.status = KernelStatus::timed_out});
  bench.add("good", {.gflops = 100});
  bench.add("hangs too", {.status = KernelStatus::timed_out});
  bench.add("late", {.gflops = 1000});
  const auto rows = bench.compare();
  EXPECT_EQ(rows[0].status, KernelStatus::timed_out);
  EXPECT_EQ(fastest(rows)->kernel.name, "good");
  EXPECT_EQ(rows[3].status, KernelStatus::skipped);
  EXPECT_EQ(rows[3].detail, "no time left");
}

TEST(KernelCompare, AFinalistThatRunsOutOfTimeKeepsItsFirstResult) {
  Bench bench;
  bench.add("a", {.gflops = 100, .status_when_large = KernelStatus::timed_out});
  const auto rows = bench.compare();
  ASSERT_NE(fastest(rows), nullptr);
  EXPECT_EQ(fastest(rows)->extent, 1024U);
  EXPECT_EQ(fastest(rows)->gflops, 100.0);
}

}  // namespace
}  // namespace lockstep::compute
