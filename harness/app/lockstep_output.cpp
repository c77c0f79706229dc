#include <cerrno>
#include <cstdio>
#include <cstring>

#include "harness/app/lockstep_commands.hpp"

namespace lockstep::app {

void print_out(const std::string& text) {
  const bool written = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (!written || std::fflush(stdout) != 0) {
    throw RunError({.what = "cannot write to standard output",
                    .why = std::strerror(errno),
                    .suggestion = {},
                    .file = {}});
  }
}

}  // namespace lockstep::app
