#include "harness/compute/kernel_choice.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "tests/compute/temporary_folder.hpp"

namespace lockstep::compute {
namespace {

using ::testing::HasSubstr;

/// Library folders with one empty file: enough to be listed, and a probe that plays along decides the rest.
class KernelChoice : public ::testing::Test {
 protected:
  KernelChoice() {
    std::ofstream(root_.path() + "/libopenblas.so.0") << "x";
    options_.library_folders = {root_.path()};
    options_.cache_folder = root_.path() + "/cache";
    options_.features = {.model = "test", .flags = {"pni", "sse4_2", "avx", "avx2", "fma", "asimd"}};
    options_.probe_program = root_.path() + "/probe";
    options_.budget_s = 20.0;  // of starting shell scripts on a busy machine
    log_ = root_.path() + "/log";
  }

  /// A probe whose answer depends on the kernel's name: `cases` are the branches of a shell case statement.
  void play(const std::string& cases) const {
    std::ofstream(options_.probe_program) << "#!/bin/sh\necho \"$1\" >> " << log_ << "\nanswer() {\n"
                                          << "  echo exact 1; echo rate $1 $2 1; echo end\n}\n"
                                          << "case \"$1\" in\n"
                                          << cases << "\nesac\n";
    std::filesystem::permissions(options_.probe_program, std::filesystem::perms::owner_all);
  }
  [[nodiscard]] bool probed() const { return std::filesystem::exists(log_); }

  testing::TemporaryFolder root_;
  ChoiceOptions options_;
  std::string log_;
};

std::string fact(const KernelReport& report, const std::string& key) {
  for (const Fact& one : report.facts()) {
    if (one.key == key)
      return one.value;
  }
  return "(none)";
}

#if defined(__x86_64__)

TEST_F(KernelChoice, TakesTheFastestAndRemembersIt) {
  play("openblas:Haswell) answer $4 80;;\nopenblas:Zen) answer $4 70;;\n*) answer $4 37;;");
  const KernelReport first = choose_gemm_kernel("auto", options_);
  EXPECT_EQ(first.basis, ChoiceBasis::measured);
  EXPECT_EQ(first.chosen.name, "openblas:Haswell");
  EXPECT_DOUBLE_EQ(first.best_gflops(), 80.0);
  EXPECT_EQ(fact(first, "compute.candidate.openblas"), "37.0 GFLOP/s at 1024");
  EXPECT_EQ(first.note, "");

  std::filesystem::remove(log_);
  const KernelReport second = choose_gemm_kernel("auto", options_);
  EXPECT_EQ(second.basis, ChoiceBasis::cached);
  EXPECT_EQ(second.chosen.name, "openblas:Haswell");
  EXPECT_EQ(second.chosen.environment.size(), first.chosen.environment.size());
  EXPECT_DOUBLE_EQ(second.best_gflops(), 80.0);
  EXPECT_FALSE(probed());
}

TEST_F(KernelChoice, MeasuresAnewWhenTheLibraryChanges) {
  play("openblas:Haswell) answer $4 80;;\n*) answer $4 37;;");
  ASSERT_EQ(choose_gemm_kernel("auto", options_).chosen.name, "openblas:Haswell");
  std::ofstream(root_.path() + "/libopenblas.so.0") << "a new build";
  play("openblas:Zen) answer $4 80;;\n*) answer $4 37;;");
  const KernelReport report = choose_gemm_kernel("auto", options_);
  EXPECT_EQ(report.basis, ChoiceBasis::measured);
  EXPECT_EQ(report.chosen.name, "openblas:Zen");
}

TEST_F(KernelChoice, MeasuresAnewWhenTheCacheIsDamaged) {
  play("*) answer $4 37;;");
  ASSERT_EQ(choose_gemm_kernel("auto", options_).basis, ChoiceBasis::measured);
  for (const auto& entry : std::filesystem::directory_iterator(options_.cache_folder))
    std::ofstream(entry.path()) << "garbage";
  EXPECT_EQ(choose_gemm_kernel("auto", options_).basis, ChoiceBasis::measured);
  EXPECT_EQ(choose_gemm_kernel("auto", options_).basis, ChoiceBasis::cached);
}

TEST_F(KernelChoice, PassesOverACandidateThatDies) {
  play("openblas:Haswell) kill -ILL $$;;\nopenblas:Zen) answer $4 70;;\n*) answer $4 37;;");
  const KernelReport report = choose_gemm_kernel("auto", options_);
  EXPECT_EQ(report.chosen.name, "openblas:Zen");
  EXPECT_THAT(fact(report, "compute.candidate.openblas:Haswell"), HasSubstr("crashed"));
}

TEST_F(KernelChoice, ACandidateThatHangsIsNotRememberedAgainstTheOthers) {
  options_.budget_s = 6.0;
  play("openblas:Haswell) exec sleep 60;;\n*) answer $4 37;;");
  const KernelReport report = choose_gemm_kernel("auto", options_);
  EXPECT_EQ(report.basis, ChoiceBasis::measured);
  EXPECT_NE(report.chosen.name, "openblas:Haswell");
  EXPECT_THAT(report.note, HasSubstr("in time"));
  EXPECT_EQ(choose_gemm_kernel("auto", options_).basis, ChoiceBasis::measured) << "it gets another chance";
}

TEST_F(KernelChoice, GoesByTheFeaturesWhenNothingCanBeMeasured) {
  options_.probe_program.clear();
  const KernelReport report = choose_gemm_kernel("auto", options_);
  EXPECT_EQ(report.basis, ChoiceBasis::features);
  EXPECT_EQ(report.chosen.name, "openblas:Haswell");
  EXPECT_THAT(report.note, HasSubstr("lockstep-gemm-probe"));
  EXPECT_THAT(fact(report, "compute.kernel.note"), HasSubstr("lockstep-gemm-probe"));
}

TEST_F(KernelChoice, NeverGoesByTheFeaturesToAKernelThatWasSeenToDie) {
  play("openblas:Haswell) kill -ILL $$;;\n*) exit 1;;");
  const KernelReport report = choose_gemm_kernel("auto", options_);
  EXPECT_EQ(report.basis, ChoiceBasis::features);
  EXPECT_EQ(report.chosen.name, "openblas:Zen");
}

TEST_F(KernelChoice, SaysSoWhenEveryKernelDies) {
  options_.features.flags = {};
  play("*) kill -ILL $$;;");
  EXPECT_THROW(static_cast<void>(choose_gemm_kernel("auto", options_)), RunError);
}

TEST_F(KernelChoice, ANamedKernelIsTakenWithoutMeasuring) {
  play("*) answer $4 37;;");
  const KernelReport report = choose_gemm_kernel("openblas:Prescott", options_);
  EXPECT_EQ(report.basis, ChoiceBasis::plan);
  EXPECT_EQ(report.chosen.name, "openblas:Prescott");
  EXPECT_FALSE(probed());
  EXPECT_EQ(report.best_gflops(), 0.0);
}

TEST_F(KernelChoice, AnUnknownNameIsRefusedWithTheListAndTheNearest) {
  try {
    static_cast<void>(choose_gemm_kernel("openblas:Hasswell", options_));
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("openblas:Hasswell"));
    EXPECT_THAT(error.what(), HasSubstr("auto, openblas, openblas:Haswell, openblas:Zen"));
    EXPECT_THAT(error.what(), HasSubstr("did you mean \"openblas:Haswell\"?"));
  }
}

TEST_F(KernelChoice, AKernelThatTheCpuCannotRunIsRefused) {
  EXPECT_THROW(static_cast<void>(choose_gemm_kernel("openblas:SkylakeX", options_)), InputError);
}

#endif

TEST_F(KernelChoice, SaysWhatToInstallWhenThereIsNoLibrary) {
  options_.library_folders = {"/nowhere"};
  try {
    static_cast<void>(choose_gemm_kernel("auto", options_));
    FAIL() << "accepted";
  } catch (const RunError& error) {
    EXPECT_THAT(error.what(), HasSubstr("libopenblas0-serial"));
  }
}

// The trap itself: on a CPU that the library does not know, it runs its slowest kernel when left alone.
// Forcing that kernel and the CPU's own shows that the order of the two is seen.
TEST(KernelChoiceHere, TheTrapIsSeenOnThisMachine) {
  ChoiceOptions options = default_choice_options();
  const auto entries = list_kernels(options.features, find_blas_libraries(options.library_folders));
  const auto find = [&entries](const std::string& name) {
    return std::find_if(entries.begin(), entries.end(),
                        [&name](const CatalogEntry& entry) { return entry.kernel.name == name; });
  };
  const auto slow = find("openblas:Prescott");
  const auto fast = find("openblas:Haswell");
  if (slow == entries.end() || fast == entries.end())
    GTEST_SKIP() << "needs OpenBLAS and a CPU with AVX2";
  // By CPU time of one thread, so that the ratio of about 3 holds on a busy machine too.
  const KernelMeasurement trapped = run_probe(GEMM_PROBE, slow->kernel, {512, 0.1, 30.0});
  const KernelMeasurement right = run_probe(GEMM_PROBE, fast->kernel, {512, 0.1, 30.0});
  ASSERT_EQ(trapped.status, KernelStatus::measured) << trapped.detail;
  ASSERT_EQ(right.status, KernelStatus::measured) << right.detail;
  EXPECT_GT(right.gflops, 1.5 * trapped.gflops);
}

TEST(KernelChoiceHere, ChoosesAmongTheRealOnes) {
  const testing::TemporaryFolder cache;
  ChoiceOptions options = default_choice_options();
  options.probe_program = GEMM_PROBE;
  options.cache_folder = cache.path();
  options.budget_s = 6.0;
  const KernelReport report = choose_gemm_kernel("auto", options);
  ASSERT_EQ(report.basis, ChoiceBasis::measured) << report.note;
  EXPECT_EQ(report.chosen.name, fastest(report.rows)->kernel.name);
  EXPECT_NE(report.chosen.core_name, "Prescott");
  for (const KernelMeasurement& row : report.rows) {
    // A busy machine may have no time for one; none may crash, miscompute or fail to load.
    EXPECT_TRUE(row.status == KernelStatus::measured || row.status == KernelStatus::skipped ||
                row.status == KernelStatus::timed_out)
        << row.kernel.name << ": " << to_string(row.status) << " " << row.detail;
  }
}

}  // namespace
}  // namespace lockstep::compute
