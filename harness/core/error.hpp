#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace lockstep {

/// Exit codes of `lockstep`. Never 1, 110, 124-127, 128+n or 205: mpirun, timeout and shells use those.
enum class ExitCode : int {
  certified = 0,
  bad_input = 2,
  not_certified = 3,
  inconclusive = 4,
  run_failed = 5,
  regression = 7,
};

/// What is told to a person when something is wrong: the problem, why it is one, what to try.
struct Problem {
  std::string what;
  std::string why;         ///< may be empty
  std::string suggestion;  ///< may be empty
  std::string file;        ///< may be empty
  int line = 0;            ///< 1-based; 0 when there is none

  /// `file:line: what (why); suggestion` on one line.
  [[nodiscard]] std::string one_line() const;
};

/// The user's input cannot be used as it is. Ends the program with exit code 2.
class InputError : public std::runtime_error {
 public:
  explicit InputError(Problem problem);
  [[nodiscard]] const Problem& problem() const { return problem_; }

 private:
  Problem problem_;
};

/// The surroundings failed us (disk full, a process that cannot be started). Ends the program with exit
/// code 5.
class RunError : public std::runtime_error {
 public:
  explicit RunError(Problem problem);
  [[nodiscard]] const Problem& problem() const { return problem_; }

 private:
  Problem problem_;
};

namespace detail {
[[noreturn]] void broken_invariant(const char* condition, const char* file, int line,
                                   std::string_view message);
}

}  // namespace lockstep

/// A broken precondition is a defect of Lockstep itself: it prints the place and aborts, in every build.
#define LOCKSTEP_EXPECT(condition, message)                                            \
  do {                                                                                 \
    if (!(condition)) [[unlikely]]                                                     \
      ::lockstep::detail::broken_invariant(#condition, __FILE__, __LINE__, (message)); \
  } while (false)

/// A postcondition, checked in the dev and asan presets only.
#ifdef LOCKSTEP_DEBUG_CHECKS
#define LOCKSTEP_ENSURE(condition, message) LOCKSTEP_EXPECT(condition, message)
#else
#define LOCKSTEP_ENSURE(condition, message) static_cast<void>(0)
#endif
