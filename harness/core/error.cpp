#include "harness/core/error.hpp"

#include <cstdio>
#include <cstdlib>

namespace lockstep {

std::string Problem::one_line() const {
  std::string text;
  if (!file.empty()) {
    text += file;
    if (line > 0)
      text += ":" + std::to_string(line);
    text += ": ";
  }
  text += what;
  if (!why.empty())
    text += " (" + why + ")";
  if (!suggestion.empty())
    text += "; " + suggestion;
  for (char& c : text) {
    if (c == '\n' || c == '\r')
      c = ' ';
  }
  return text;
}

InputError::InputError(Problem problem)
    : std::runtime_error(problem.one_line()), problem_(std::move(problem)) {}

RunError::RunError(Problem problem) : std::runtime_error(problem.one_line()), problem_(std::move(problem)) {}

void detail::broken_invariant(const char* condition, const char* file, int line, std::string_view message) {
  std::fprintf(stderr, "lockstep: defect at %s:%d: %s (%.*s)\n", file, line, condition,
               static_cast<int>(message.size()), message.data());
  std::abort();
}

}  // namespace lockstep
