#include "harness/mpi/error.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>
#include <mpi.h>

namespace lockstep::mpi {
namespace {

int class_of(int code) {
  int error_class = MPI_ERR_UNKNOWN;
  // Nothing better to say when the question itself fails.
  if (MPI_Error_class(code, &error_class) != MPI_SUCCESS)
    return MPI_ERR_UNKNOWN;
  return error_class;
}

std::string describe(const std::string& call, int code) {
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS || length <= 0)
    return fmt::format("{} failed: unknown MPI error {}", call, code);
  return fmt::format("{} failed: {} (error class {})", call, text.data(), class_of(code));
}

}  // namespace

MpiError::MpiError(std::string call, int code)
    : std::runtime_error(describe(call, code)), call_(std::move(call)), error_class_(class_of(code)) {}

DeadlineError::DeadlineError(std::string call, double deadline_s)
    : std::runtime_error(fmt::format("{} did not complete within {:g} s", call, deadline_s)),
      call_(std::move(call)),
      deadline_s_(deadline_s) {}

void check(int code, const char* call) {
  if (code != MPI_SUCCESS) [[unlikely]]
    throw MpiError(call, code);
}

}  // namespace lockstep::mpi
