#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/campaign/diagnosis.hpp"

namespace lockstep::campaign {
namespace {

using testing::HasSubstr;

Diagnosis of(int status, std::string_view log, bool stepped = false) {
  const auto found = diagnose({.exit_status = status,
                               .log = log,
                               .log_path = "/r/logs/leg.log",
                               .leg = "joint",
                               .ranks = 4,
                               .stepped = stepped});
  EXPECT_TRUE(found.has_value());
  return found.value_or(Diagnosis{});
}

TEST(Diagnosis, StatusZeroSaysNothing) {
  EXPECT_FALSE(diagnose({.exit_status = 0, .log = "error: x"}).has_value());
}

TEST(Diagnosis, RankProgramsOwnComplaintIsPassedOn) {
  const auto found =
      of(2, "lockstep-rank 1: error: host n7 is in no site\n----\nmpirun detected that\n  Exit code:    2\n");
  EXPECT_EQ(found.consequence, Consequence::bad_input);
  EXPECT_EQ(found.message, "host n7 is in no site");
}

TEST(Diagnosis, WhatSrunAddsDoesNotHideWhatTheRankSaid) {
  const auto found = of(2,
                        "lockstep-rank: error: host n7 is in no site\n"
                        "srun: error: n7: task 0: Exited with exit code 2\n"
                        "slurmstepd-n7: error: *** STEP 7.3 ON n7 CANCELLED AT 2026-01-31T12:34:56 ***\n");
  EXPECT_EQ(found.consequence, Consequence::bad_input);
  EXPECT_EQ(found.message, "host n7 is in no site");
  EXPECT_EQ(last_error_line("error: first\n"), "first");
  EXPECT_EQ(last_error_line("srun: error: n7: task 0: Killed\n"), "");
}

TEST(Diagnosis, SrunThatCannotStartTheRanks) {
  const auto refused =
      of(1, "srun: error: Unable to create step for job 7: More processors requested than permitted\n");
  EXPECT_EQ(refused.consequence, Consequence::bad_input);
  EXPECT_THAT(refused.message, HasSubstr("4 ranks of leg joint (More processors requested than permitted)"));
  const auto failed = of(137,
                         "srun: error: task 0 launch failed: Unspecified error\n"
                         "srun: error: a2: task 1: Killed\n");
  EXPECT_EQ(failed.consequence, Consequence::run_failed);
  EXPECT_THAT(failed.message, HasSubstr("(Unspecified error)"));
  EXPECT_EQ(of(143, "srun: error: Node failure on b1\n", true).kind, "host_lost");
}

TEST(Diagnosis, FewerSlotsThanAsked) {
  const auto found =
      of(1, "There are not enough slots available in the system to satisfy the 4\nslots that were requested");
  EXPECT_EQ(found.consequence, Consequence::bad_input);
  EXPECT_THAT(found.message, HasSubstr("leg joint asks for 4 ranks"));
}

TEST(Diagnosis, UnknownHostAndUnreachableHostAreNamed) {
  const auto unknown =
      of(255, "ssh: Could not resolve hostname nosuchhost: Name or service not known\n---\n");
  EXPECT_EQ(unknown.consequence, Consequence::run_failed);
  EXPECT_THAT(unknown.message, HasSubstr("host nosuchhost cannot be reached"));
  const auto silent = of(255, "ssh: connect to host far port 22: No route to host\r\n---\n");
  EXPECT_THAT(silent.message, HasSubstr("host far cannot be reached (No route to host)"));
  const auto locked = of(255, "me@n4: Permission denied (publickey).\n");
  EXPECT_THAT(locked.message, HasSubstr("host n4 cannot be reached (ssh: permission denied)"));
  EXPECT_EQ(of(255, "ORTE was unable to reliably start one or more daemons.\n").consequence,
            Consequence::run_failed);
}

TEST(Diagnosis, MissingProgramOnAHostIsNamed) {
  const auto found = of(132,
                        "mpirun was unable to launch the specified application as it could not access\n"
                        "or execute an executable:\n\nExecutable: /opt/lockstep-rank\nNode: n2\n");
  EXPECT_EQ(found.consequence, Consequence::run_failed);
  EXPECT_THAT(found.message, HasSubstr("/opt/lockstep-rank cannot be executed on host n2"));
}

TEST(Diagnosis, UnknownMpirunOption) {
  const auto found =
      of(1, "mpirun: Error: unknown option \"--nosuchflag\"\nType 'mpirun --help' for usage.\n");
  EXPECT_EQ(found.consequence, Consequence::bad_input);
  EXPECT_THAT(found.message, HasSubstr("\"--nosuchflag\""));
}

TEST(Diagnosis, AKilledRankIsDataAndNamed) {
  const auto found = of(
      137, "mpirun noticed that process rank 1 with PID 0 on node n3 exited on signal 9 (Killed).\n", true);
  EXPECT_EQ(found.kind, "killed");
  EXPECT_EQ(found.consequence, Consequence::data);
  EXPECT_EQ(found.message, "rank 1 (as mpirun numbers it) on host n3 of leg joint was ended by SIGKILL");
  EXPECT_THAT(of(139, "", true).message, HasSubstr("SIGSEGV"));
}

TEST(Diagnosis, ALostHostIsData) {
  EXPECT_EQ(of(205, "", true).kind, "host_lost");
  EXPECT_EQ(of(205, "", true).consequence, Consequence::data);
}

TEST(Diagnosis, ComplaintsFromBeforeTheFirstStepMeanNothingAfterIt) {
  EXPECT_EQ(of(137, "not enough slots available", true).kind, "killed");
  EXPECT_EQ(of(2, "error: late", true).consequence, Consequence::data);
}

TEST(Diagnosis, RunErrorBeforeTheFirstStepEndsTheCampaign) {
  EXPECT_EQ(of(5, "lockstep-rank 0: error: the disk is full\n").consequence, Consequence::run_failed);
  EXPECT_EQ(of(5, "lockstep-rank 0: error: the disk is full\n", true).consequence, Consequence::data);
}

TEST(Diagnosis, OtherStatusesPointToTheLog) {
  const auto found = of(3, "something\n", true);
  EXPECT_EQ(found.kind, "exit");
  EXPECT_EQ(found.message, "leg joint ended with status 3; see /r/logs/leg.log");
}

TEST(LastErrorLine, TakesTheLastOne) {
  EXPECT_EQ(last_error_line("a: error: one\nb: error: two \nc\n"), "two");
  EXPECT_EQ(last_error_line("fine"), "");
}

}  // namespace
}  // namespace lockstep::campaign
