// GoogleTest under mpirun. GoogleTest alone would hide a failure of any rank but the one that prints, and
// would pass a binary in which no test ran; here both fail every rank.

#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/mpi/collect.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/mpi/environment.hpp"

namespace {

using namespace lockstep;

constexpr double kDeadlineS = 30.0;

/// Prints the failures of a rank other than 0, one line each with the rank; the usual printer is for rank 0.
class RankPrinter final : public testing::EmptyTestEventListener {
 public:
  explicit RankPrinter(int rank) : rank_(rank) {}
  // Kept here because GoogleTest may not be asked for the current test while it hands out a result.
  void OnTestStart(const testing::TestInfo& test) override {
    test_ = std::string(test.test_suite_name()) + "." + test.name();
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed())
      return;
    std::string text = result.summary();
    for (char& c : text) {
      if (c == '\n')
        c = ' ';
    }
    std::printf("[rank %d] %s: %s:%d: %s\n", rank_, test_.c_str(),
                result.file_name() != nullptr ? result.file_name() : "?", result.line_number(), text.c_str());
    std::fflush(stdout);
  }

 private:
  int rank_;
  std::string test_;
};

int run(int argc, char** argv) {
  mpi::Environment environment(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  const mpi::Communicator world = mpi::Communicator::world();
  // Of our own, so that what a failed test left pending cannot be mistaken for the count below.
  const mpi::Communicator ours = world.duplicate(kDeadlineS);
  if (ours.rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new RankPrinter(ours.rank()));
  }
  const int result = RUN_ALL_TESTS();
  if (GTEST_FLAG_GET(list_tests))
    return result;

  const auto* tests = testing::UnitTest::GetInstance();
  // A result without failed tests is a failure outside them, such as in an environment's set-up.
  const std::int64_t failed =
      tests->failed_test_count() > 0 ? tests->failed_test_count() : (result != 0 ? 1 : 0);
  // One that is skipped for want of a GPU was found and said why.
  const std::int64_t ran =
      tests->successful_test_count() + tests->failed_test_count() + tests->skipped_test_count();
  const std::int64_t all_failed = mpi::all_reduce(ours, failed, mpi::Reduction::sum, kDeadlineS);
  const std::int64_t least_ran = mpi::all_reduce(ours, ran, mpi::Reduction::min, kDeadlineS);

  const char* verdict = nullptr;
  if (all_failed > 0)
    verdict = all_failed == 1 ? "failure over all ranks" : "failures over all ranks";
  else if (least_ran == 0)
    verdict = "tests ran on some rank";
  if (verdict == nullptr)
    return 0;
  std::printf("[rank %d] rank %d of %d: FAILED, %lld %s\n", ours.rank(), ours.rank(), ours.size(),
              static_cast<long long>(all_failed), verdict);
  std::fflush(stdout);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::printf("test main: %s\n", error.what());
    std::fflush(stdout);
    return 1;
  }
}
