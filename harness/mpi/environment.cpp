#include "harness/mpi/environment.hpp"

#include <array>
#include <exception>

#include <fmt/format.h>
#include <mpi.h>

#include "harness/core/error.hpp"
#include "harness/mpi/error.hpp"
#include "harness/mpi/request.hpp"

namespace lockstep::mpi {

Environment::Environment(int& argc, char**& argv, ThreadLevel level)
    : exceptions_at_start_(std::uncaught_exceptions()) {
  const int wanted = level == ThreadLevel::funneled ? MPI_THREAD_FUNNELED : MPI_THREAD_SERIALIZED;
  int provided = MPI_THREAD_SINGLE;
  check(MPI_Init_thread(&argc, &argv, wanted, &provided), "MPI_Init_thread");
  check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check(MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  if (provided < wanted) {
    throw RunError({.what = "the MPI library cannot be used from a program with threads",
                    .why = fmt::format("it provides thread level {}, needed is {}", provided, wanted),
                    .suggestion = "use an MPI built with thread support",
                    .file = {}});
  }
}

Environment::~Environment() {
  if (!will_finalize())
    return;
  // An error here has nobody left to tell; mpirun will.
  static_cast<void>(MPI_Finalize());
}

bool Environment::will_finalize() const noexcept {
  return !abandoned_ && std::uncaught_exceptions() <= exceptions_at_start_ && abandoned_requests() == 0;
}

std::string library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  check(MPI_Get_library_version(text.data(), &length), "MPI_Get_library_version");
  std::string version(text.data());
  version.resize(std::min(version.size(), version.find('\n')));
  return version;
}

std::string standard_version() {
  int major = 0;
  int minor = 0;
  check(MPI_Get_version(&major, &minor), "MPI_Get_version");
  return fmt::format("{}.{}", major, minor);
}

}  // namespace lockstep::mpi
