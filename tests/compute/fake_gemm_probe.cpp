// Plays a probe program that misbehaves. Called as KERNEL FAMILY LIBRARY EXTENT BUDGET_S; the kernel's name
// says how.

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <unistd.h>

namespace {

void say(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "unset";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6)
    return 9;
  const std::string kernel = argv[1];
  const std::string part = kernel.substr(kernel.find(':') + 1);
  if (const char* log = std::getenv("FAKE_GEMM_PROBE_LOG"); log != nullptr)
    std::ofstream(log, std::ios::app) << kernel << "\n";
  const auto answer = [argv](const std::string& gflops, const char* exact, const char* correct) {
    say(std::string("exact ") + exact + "\nrate " + argv[4] + " " + gflops + " " + correct + "\nend\n");
  };
  if (part == "illegal") {
    say("core Wide\n");
    ::raise(SIGILL);
  } else if (part == "hangs") {
    while (true)
      ::pause();
  } else if (part == "hangs-with-output-closed") {
    ::close(STDOUT_FILENO);
    while (true)
      ::pause();
  } else if (part == "floods") {
    while (true)
      say(std::string(4096, 'x'));
  } else if (part == "silent") {
    return 3;
  } else if (part == "babbles") {
    say("rate rate rate\nexact maybe\n\n\nend\n");
  } else if (part == "cut-short") {
    say("exact 1\nrate 1024 99.5 1\n");
  } else if (part == "refuses") {
    say("error the library is broken\nend\n");
  } else if (part == "inexact") {
    answer("500", "0", "1");
  } else if (part == "wrong") {
    answer("500", "1", "0");
  } else if (part == "no-number") {
    answer("nan", "1", "1");
  } else if (part == "environment") {
    say(std::string("core ") + variable("OPENBLAS_CORETYPE") + "/" + variable("OMP_NUM_THREADS") + "\n");
    answer("10", "1", "1");
  } else {
    answer(part, "1", "1");  // a rate
  }
  return 0;
}
