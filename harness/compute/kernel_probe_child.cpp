#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "harness/compute/kernel_probe.hpp"
#include "harness/compute/sgemm_library.hpp"
#include "harness/core/error.hpp"

namespace lockstep::compute {
namespace {

void say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);  // what was found before a crash is not lost
}

GemmKernel kernel_from(char** argv) {
  GemmKernel kernel;
  kernel.name = argv[1];
  kernel.library_path = argv[3];
  for (const BlasFamily family : {BlasFamily::openblas, BlasFamily::onednn, BlasFamily::blis}) {
    if (std::string_view(argv[2]) == to_string(family))
      kernel.family = family;
  }
  // The parent has set the library's environment; load() must find the core type among the kernel's settings,
  // since it clears what a shell left behind.
  if (!asked_core(kernel).empty() && kernel.family == BlasFamily::openblas)
    kernel.environment.push_back({"OPENBLAS_CORETYPE", std::string(asked_core(kernel))});
  return kernel;
}

}  // namespace

int probe_main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr,
                 "usage: %s KERNEL FAMILY LIBRARY EXTENT BUDGET_S\n"
                 "Measures one GEMM kernel in single precision on one thread and writes the result to "
                 "standard output.\n"
                 "It is started by lockstep-rank, which compares kernels before a run.\n",
                 kProbeProgram);
    return argc == 2 && std::string_view(argv[1]) == "--help" ? 0 : static_cast<int>(ExitCode::bad_input);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  try {
    const SgemmLibrary library = SgemmLibrary::load(kernel_from(argv));
    if (!library.kernel().core_name.empty())
      say("core " + library.kernel().core_name);
    say(fmt::format("exact {:d}", multiplies_exactly(library)));
    const GemmRate rate =
        measure_rate(library, std::strtoull(argv[4], nullptr, 10), std::strtod(argv[5], nullptr));
    say(fmt::format("rate {} {:.3f} {:d}", rate.extent, rate.gflops, rate.correct));
  } catch (const RunError& error) {
    say("error " + error.problem().why);
  }
  say("end");
  return 0;
}

}  // namespace lockstep::compute
