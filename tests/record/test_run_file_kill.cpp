#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <random>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/record/fixtures.hpp"

/// The promise of the run file: kill its writer at any moment, and what it had flushed can be read.
/// LOCKSTEP_TEST_KILLS sets how many writers are killed (100 unless told).
namespace lockstep::record {
namespace {

/// Memory of both processes: how many rows of each table the writer knows to be safe.
struct Safe {
  std::atomic<std::uint32_t> made{0};
  std::atomic<std::uint32_t> batches{0};
};

constexpr std::uint32_t kStepsPerBatch = 37;  // so that chunks fill up in the middle of batches

StepRow step_row(std::uint32_t i) {
  return {.leg = i % 7, .rank = i, .step = i, .flags = 0, .begin_ns = i + 1, .end_ns = i + 2};
}

FailureRow failure_row(std::uint32_t i) {
  FailureRow row;
  row.rank = static_cast<std::int32_t>(i);
  row.message = "failure " + std::to_string(i);
  return row;
}

[[noreturn]] void write_until_killed(const std::string& path, Safe& safe) {
  RunFileWriter writer(path, "plan of the killed", "now");
  safe.made.store(1);
  std::vector<StepRow> steps(kStepsPerBatch);
  for (std::uint32_t batch = 0;; ++batch) {
    for (std::uint32_t i = 0; i < kStepsPerBatch; ++i)
      steps[i] = step_row(batch * kStepsPerBatch + i);
    writer.append(std::span<const StepRow>(steps));
    const FailureRow failure = failure_row(batch);
    writer.append(std::span(&failure, 1));
    writer.flush();
    safe.batches.store(batch + 1);
  }
}

/// Killed writers leave something behind, which is kept only when it shows a defect.
struct FolderCleaner {
  const std::string& folder;
  ~FolderCleaner() {
    if (testing::Test::HasFailure())
      return;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      std::filesystem::remove_all(entry.path(), ignored);
  }
};

class KillTest : public RecordTest {
 protected:
  KillTest() {
    void* memory = ::mmap(nullptr, sizeof(Safe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      throw std::bad_alloc();
    safe_ = static_cast<Safe*>(memory);
  }
  ~KillTest() override { ::munmap(safe_, sizeof(Safe)); }

  /// Starts a writer and kills it after that time.
  void kill_a_writer(const std::string& path, long after_ns) {
    new (safe_) Safe;
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      try {
        write_until_killed(path, *safe_);
      } catch (...) {
        ::_exit(1);
      }
    }
    const timespec pause{0, after_ns};
    ::nanosleep(&pause, nullptr);
    ::kill(pid, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the writer ended by itself";
  }

  Safe* safe_ = nullptr;
};

TEST_F(KillTest, WhatWasFlushedCanBeRead) {
  const char* asked = std::getenv("LOCKSTEP_TEST_KILLS");
  const int kills = asked != nullptr ? std::atoi(asked) : 100;
  ASSERT_GT(kills, 0);
  std::mt19937 random(static_cast<unsigned>(kills));
  std::uniform_int_distribution<long> after_ns(0, 60'000'000);
  int with_rows = 0;
  for (int i = 0; i < kills && !HasFailure(); ++i) {
    const std::string run = path("run" + std::to_string(i) + ".h5");
    const FolderCleaner cleaner{folder()};
    kill_a_writer(run, after_ns(random));
    if (!std::filesystem::exists(run)) {
      EXPECT_EQ(safe_->made.load(), 0U) << "a file that was made is gone";
      continue;  // killed before there was one; and one that exists can be read
    }
    const Evidence found = read_run_file(run);
    EXPECT_EQ(found.plan_text, "plan of the killed");
    const std::uint32_t batches = safe_->batches.load();
    ASSERT_GE(found.steps.size(), batches * kStepsPerBatch) << "kill " << i;
    ASSERT_GE(found.failures.size(), batches) << "kill " << i;
    for (std::uint32_t row = 0; row < found.steps.size(); ++row)
      ASSERT_EQ(found.steps[row], step_row(row)) << "kill " << i << ", step row " << row;
    for (std::uint32_t row = 0; row < found.failures.size(); ++row)
      ASSERT_EQ(found.failures[row], failure_row(row)) << "kill " << i << ", failure row " << row;
    with_rows += batches > 0 ? 1 : 0;
  }
  EXPECT_GT(with_rows, kills / 4) << "hardly any writer got as far as rows: the test shows little";
  RecordProperty("kills_with_rows", with_rows);
}

}  // namespace
}  // namespace lockstep::record
