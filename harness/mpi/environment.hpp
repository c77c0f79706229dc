#pragma once

#include <string>

namespace lockstep::mpi {

/// Which threads may call MPI, one at a time in either case.
enum class ThreadLevel {
  funneled,    ///< only the thread that made the Environment
  serialized,  ///< any thread
};

/// MPI from its initialisation to its end. One object, made early and by the main thread.
///
/// Sharp edge: neither MPI_Init_thread nor MPI_Finalize can be given a deadline from inside; arm a watchdog
/// that ends the process before making this object and before letting it go.
///
/// MPI is finalized by the destructor, unless an exception is unwinding, a request was abandoned while
/// pending, or abandon() was called: MPI_Finalize waits for all ranks, and would then wait for ever. mpirun
/// reports a rank that leaves without it as failed.
class Environment {
 public:
  /// Errors of MPI are returned (MPI_ERRORS_RETURN), and so end as MpiError. Throws MpiError; RunError when
  /// the library cannot give the thread level.
  Environment(int& argc, char**& argv, ThreadLevel level = ThreadLevel::funneled);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

  /// Leave without MPI_Finalize: after a fault, teardown calls no collective.
  void abandon() noexcept { abandoned_ = true; }
  /// False once it is known that the destructor will not finalize.
  [[nodiscard]] bool will_finalize() const noexcept;

 private:
  int exceptions_at_start_ = 0;
  bool abandoned_ = false;
};

/// MPI_Get_library_version, first line: `Open MPI v4.1.4, package: ...`.
[[nodiscard]] std::string library_version();
/// Version of the MPI standard that the library implements, e.g. "3.1".
[[nodiscard]] std::string standard_version();

}  // namespace lockstep::mpi
