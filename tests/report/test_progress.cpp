#include <cstdio>

#include <gtest/gtest.h>

#include "harness/report/progress.hpp"

namespace lockstep::report {
namespace {

using Moment = campaign::Progress::Moment;

campaign::Progress half_way() {
  campaign::Progress progress;
  progress.launch = 2;
  progress.launches = 6;
  progress.leg = "joint";
  progress.phase = "stepping";
  progress.steps_done = 50;
  progress.steps = 100;
  progress.steps_per_s = 12.34;
  progress.left_s = 95.0;
  return progress;
}

TEST(ProgressLine, TellsLaunchStepsRateAndTimeLeft) {
  EXPECT_EQ(progress_line(half_way(), {}),
            "[########------------] 3/6 joint  step 50/100  12.3 steps/s  1:35 left");
}

TEST(ProgressLine, SaysNothingThatItDoesNotKnow) {
  campaign::Progress progress = half_way();
  progress.phase = "mpi_init";
  progress.steps_done = 0;
  progress.steps_per_s = 0.0;
  progress.left_s.reset();
  EXPECT_EQ(progress_line(progress, {}), "[######--------------] 3/6 joint  mpi init");
}

TEST(ProgressLine, ShowsAStallWhileItLasts) {
  campaign::Progress progress = half_way();
  progress.stall = "step 50 has taken 3.00 s so far, usually 100 ms";
  EXPECT_EQ(progress_line(progress, {.width = 200}),
            "[########------------] 3/6 joint  step 50/100  STALL: step 50 has taken 3.00 s so far, usually "
            "100 ms  "
            "1:35 left");
}

TEST(ProgressLine, FitsTheTerminal) {
  EXPECT_EQ(progress_line(half_way(), {.width = 30}).size(), 29U);
}

TEST(ProgressLogLine, TellsBeginAndEndOnly) {
  campaign::Progress progress = half_way();
  EXPECT_EQ(progress_log_line(progress), "");
  progress.moment = Moment::launched;
  EXPECT_EQ(progress_log_line(progress), "launch 3 of 6: joint, round 1 (about 1:35 left)");
  progress.moment = Moment::ended;
  progress.outcome = "failed";
  progress.elapsed_s = 2.5;
  progress.message = "rank 1 was ended by SIGKILL";
  EXPECT_EQ(
      progress_log_line(progress),
      "launch 3 of 6: joint, round 1: failed after 50 of 100 steps in 2.50 s: rank 1 was ended by SIGKILL");
  progress.attempt = 1;
  progress.moment = Moment::launched;
  EXPECT_EQ(progress_log_line(progress), "launch 3 of 6: joint, round 1, attempt 2 (about 1:35 left)");
  progress.moment = Moment::event;
  progress.message = "leg joint, round 1: no further attempt";
  EXPECT_EQ(progress_log_line(progress), "leg joint, round 1: no further attempt");
}

std::string printed(const Style& style) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* stream = ::open_memstream(&text, &size);
  {
    ProgressPrinter printer(stream, style);
    campaign::Progress progress = half_way();
    printer.tell(progress);
    progress.moment = Moment::ended;
    progress.outcome = "completed";
    printer.tell(progress);
  }
  std::fclose(stream);
  std::string result(text, size);
  std::free(text);  // NOLINT: open_memstream's memory is malloc's
  return result;
}

TEST(ProgressPrinter, RedrawsOnATerminalAndCleansUp) {
  const std::string shown = printed({.interactive = true});
  EXPECT_TRUE(shown.starts_with("[########")) << shown;
  EXPECT_TRUE(shown.ends_with("\r\033[K")) << shown;
}

TEST(ProgressPrinter, PrintsPlainLinesElsewhere) {
  EXPECT_EQ(printed({}), "launch 3 of 6: joint, round 1: completed after 50 of 100 steps in 0 ns\n");
}

}  // namespace
}  // namespace lockstep::report
