#pragma once

#include <string>
#include <vector>

namespace lockstep::mpi {

/// A setting of the MPI library as it is in force in this process.
struct Parameter {
  std::string name;
  std::string value;
};

/// The settings that change what a communication costs: transports, eager limits, interfaces, collective
/// algorithms, yielding. Read from the library itself (MPI tool interface), so a value is the one in force
/// wherever it was set. Settings that this library does not have are left out. Throws MpiError. MPI must be
/// initialised.
[[nodiscard]] std::vector<Parameter> performance_parameters();

}  // namespace lockstep::mpi
