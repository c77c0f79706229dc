#include "harness/compute/kernel_probe.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include <gmock/gmock.h>
#include <sys/wait.h>

#include "harness/compute/sgemm_library.hpp"

namespace lockstep::compute {
namespace {

using ::testing::HasSubstr;

GemmKernel kernel_called(const std::string& name) {
  GemmKernel kernel;
  kernel.name = name;
  kernel.library_path = "/x/libopenblas.so.0";
  return kernel;
}

KernelMeasurement run_fake(const std::string& part, double deadline_s = 20.0) {
  return run_probe(FAKE_GEMM_PROBE, kernel_called("openblas:" + part), {1024, 0.1, deadline_s});
}

bool no_child_left() {
  return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
}

TEST(KernelProbe, ReadsAMeasurement) {
  const KernelMeasurement row = run_fake("123.5");
  EXPECT_EQ(row.status, KernelStatus::measured);
  EXPECT_DOUBLE_EQ(row.gflops, 123.5);
  EXPECT_EQ(row.extent, 1024U);
  EXPECT_EQ(row.kernel.name, "openblas:123.5");
  EXPECT_TRUE(no_child_left());
}

TEST(KernelProbe, AnIllegalInstructionKillsOnlyTheChild) {
  const KernelMeasurement row = run_fake("illegal");
  EXPECT_EQ(row.status, KernelStatus::crashed);
  EXPECT_THAT(row.detail, HasSubstr("signal 4"));
  EXPECT_EQ(row.gflops, 0.0);
}

TEST(KernelProbe, ACrashIsSeenEvenWhereTheParentIgnoresTheSignal) {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGILL, &ignore, &before);
  const KernelMeasurement row = run_fake("illegal");
  ::sigaction(SIGILL, &before, nullptr);
  EXPECT_EQ(row.status, KernelStatus::crashed);
}

TEST(KernelProbe, AHangEndsAtItsDeadlineAndLeavesNoProcess) {
  for (const char* part : {"hangs", "hangs-with-output-closed", "floods"}) {
    const KernelMeasurement row = run_fake(part, 0.2);
    EXPECT_EQ(row.status, KernelStatus::timed_out) << part;
    EXPECT_TRUE(no_child_left()) << part;
  }
}

TEST(KernelProbe, WhatIsNotAMeasurementIsAFailure) {
  for (const char* part : {"silent", "cut-short", "refuses"}) {
    const KernelMeasurement row = run_fake(part);
    EXPECT_EQ(row.status, KernelStatus::failed) << part;
    EXPECT_EQ(row.gflops, 0.0) << part;
  }
  EXPECT_EQ(run_fake("refuses").detail, "the library is broken");
}

TEST(KernelProbe, AWrongProductIsNotAMeasurement) {
  for (const char* part : {"inexact", "wrong", "no-number", "babbles", "-5"}) {
    const KernelMeasurement row = run_fake(part);
    EXPECT_EQ(row.status, KernelStatus::wrong_result) << part;
    EXPECT_EQ(row.gflops, 0.0) << part;
  }
}

TEST(KernelProbe, AProgramThatDoesNotExistIsAFailure) {
  const KernelMeasurement row = run_probe("/nowhere/probe", kernel_called("openblas"), {1024, 0.1, 5.0});
  EXPECT_EQ(row.status, KernelStatus::failed);
  EXPECT_THAT(row.detail, HasSubstr("/nowhere/probe"));
}

TEST(KernelProbe, TheChildSeesTheKernelsEnvironmentAndNoCoreTypeOfTheCaller) {
  ::setenv("OPENBLAS_CORETYPE", "FromTheShell", 1);
  ::setenv("OMP_NUM_THREADS", "64", 1);
  GemmKernel kernel = kernel_called("openblas:environment");
  kernel.environment = {{"OMP_NUM_THREADS", "1"}};
  EXPECT_EQ(run_probe(FAKE_GEMM_PROBE, kernel, {1024, 0.1, 20.0}).kernel.core_name, "unset/1");
  kernel.environment.push_back({"OPENBLAS_CORETYPE", "Zen"});
  EXPECT_EQ(run_probe(FAKE_GEMM_PROBE, kernel, {1024, 0.1, 20.0}).kernel.core_name, "Zen/1");
  EXPECT_STREQ(std::getenv("OPENBLAS_CORETYPE"), "FromTheShell")
      << "the caller's own environment is untouched";
  ::unsetenv("OPENBLAS_CORETYPE");
  ::unsetenv("OMP_NUM_THREADS");
}

TEST(KernelProbe, IsFoundByTheEnvironmentFirst) {
  ::setenv("LOCKSTEP_GEMM_PROBE", "/some/where", 1);
  EXPECT_EQ(find_probe_program(), "/some/where");
  ::unsetenv("LOCKSTEP_GEMM_PROBE");
  EXPECT_EQ(find_probe_program(), "") << "it is not beside this test";
}

TEST(KernelProbe, TheRealProbeMeasuresEveryKernelOfThisMachine) {
  const auto entries = list_kernels(read_cpu_features(), find_blas_libraries(library_folders()));
  ASSERT_FALSE(entries.empty()) << "the tests need a BLAS library, such as libopenblas0-serial";
  for (const CatalogEntry& entry : entries) {
    const KernelMeasurement row = run_probe(GEMM_PROBE, entry.kernel, {128, 0.001, 30.0});
    EXPECT_EQ(row.status, KernelStatus::measured) << entry.kernel.name << ": " << row.detail;
    if (!asked_core(entry.kernel).empty()) {
      EXPECT_TRUE(same_core(asked_core(entry.kernel), row.kernel.core_name)) << entry.kernel.name;
    }
  }
}

TEST(KernelProbe, TheRealProbeRefusesACoreThatTheLibraryDoesNotHave) {
  for (const BlasLibrary& library : find_blas_libraries(library_folders())) {
    if (library.family != BlasFamily::openblas)
      continue;
    GemmKernel kernel = kernel_called("openblas:NoSuchCore");
    kernel.library_path = library.path;
    kernel.environment = {{"OPENBLAS_CORETYPE", "NoSuchCore"}};
    const KernelMeasurement row = run_probe(GEMM_PROBE, kernel, {128, 0.001, 30.0});
    EXPECT_EQ(row.status, KernelStatus::failed);
    EXPECT_THAT(row.detail, HasSubstr("instead"));
    return;
  }
  GTEST_SKIP() << "no OpenBLAS on this machine";
}

TEST(KernelProbe, TheRealProbeNamesALibraryThatCannotBeLoaded) {
  const KernelMeasurement row = run_probe(GEMM_PROBE, kernel_called("openblas"), {128, 0.001, 30.0});
  EXPECT_EQ(row.status, KernelStatus::failed);
  EXPECT_THAT(row.detail, HasSubstr("libopenblas.so.0"));
}

}  // namespace
}  // namespace lockstep::compute
