#pragma once

#include <string>

#include "harness/core/error.hpp"

namespace lockstep::hdf5 {

/// A call of the HDF5 library that failed. The text is one line: the call, then the library's own error stack
/// from the outermost message to the innermost one, which holds the cause.
class Error : public RunError {
 public:
  Error(const std::string& call, const std::string& stack, int system_error);
  /// errno of the system call underneath (ENOSPC, EACCES, ...); 0 when the library named none.
  [[nodiscard]] int system_error() const { return system_error_; }
  /// The library's error stack alone, on one line.
  [[nodiscard]] const std::string& stack() const { return stack_; }

 private:
  std::string stack_;
  int system_error_ = 0;
};

/// Version of the library that runs, e.g. "1.10.8".
[[nodiscard]] std::string library_version();

}  // namespace lockstep::hdf5
