// Two ranks, of which rank 0 leaves MPI behind in the way that the argument names; MPI_Finalize would wait
// for rank 1, which sleeps.

#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

#include "harness/mpi/collect.hpp"
#include "harness/mpi/communicator.hpp"
#include "harness/mpi/environment.hpp"
#include "harness/mpi/error.hpp"

namespace {

using namespace lockstep;

void leave(mpi::Environment& environment, const std::string& how) {
  const mpi::Communicator world = mpi::Communicator::world();
  const mpi::Communicator part = world.split(0, world.rank(), 20.0);
  if (world.rank() == 1)
    sleep(60);  // ended by mpirun when rank 0 has left
  if (how == "request") {
    try {
      mpi::barrier(part, 0.05);
    } catch (const mpi::DeadlineError& error) {
      std::printf("%s\n", error.what());
    }
  } else if (how == "exception") {
    throw std::runtime_error("leaving through an exception");
  } else {
    environment.abandon();
  }
  std::printf("%s\n", environment.will_finalize() ? "rank 0 finalized" : "rank 0 leaves without finalize");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  try {
    mpi::Environment environment(argc, argv);
    leave(environment, how);
  } catch (const std::exception& error) {
    std::printf("%s: rank 0 leaves without finalize\n", error.what());
    std::fflush(stdout);
  }
  return 0;
}
