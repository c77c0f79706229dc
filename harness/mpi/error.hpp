#pragma once

#include <stdexcept>
#include <string>

namespace lockstep::mpi {

/// An MPI call returned an error. What it was doing is undone as far as MPI undoes it; the communicator may
/// be unusable.
class MpiError : public std::runtime_error {
 public:
  /// `code` is what `call` returned; its class and text are asked of MPI.
  MpiError(std::string call, int code);
  [[nodiscard]] const std::string& call() const { return call_; }
  /// One of MPI_ERR_*, the same on every implementation (codes are not).
  [[nodiscard]] int error_class() const { return error_class_; }

 private:
  std::string call_;
  int error_class_ = 0;
};

/// A wait passed its deadline. The operation is still under way.
class DeadlineError : public std::runtime_error {
 public:
  DeadlineError(std::string call, double deadline_s);
  [[nodiscard]] const std::string& call() const { return call_; }
  [[nodiscard]] double deadline_s() const { return deadline_s_; }

 private:
  std::string call_;
  double deadline_s_ = 0.0;
};

/// Throws MpiError unless `code` is MPI_SUCCESS: every return code of this room goes through here.
void check(int code, const char* call);

}  // namespace lockstep::mpi
