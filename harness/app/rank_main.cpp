// lockstep-rank: one rank of a run.

#include <cstdio>
#include <exception>

#include <unistd.h>

#include "harness/app/rank_options.hpp"
#include "harness/app/rank_run.hpp"
#include "harness/app/rank_stop.hpp"
#include "harness/core/error.hpp"
#include "harness/core/log.hpp"
#include "harness/cuda/bounded_call.hpp"
#include "harness/watch/supervisor.hpp"

int main(int argc, char** argv) {
  using namespace lockstep;
  app::take_stop_requests();
  set_log_name("lockstep-rank");
  try {
    const auto options = app::parse_rank_options(argc, argv);
    if (!options)
      return 0;
    watch::Supervised supervised = watch::supervise();
    if (!options->journals.empty())
      supervised.announce_folder(options->journals);
    const int code = app::run_rank(*options, supervised, argc, argv);
    if (cuda::calls_left_behind() > 0) {
      // A thread is still inside a GPU library: nothing may be taken apart around it.
      std::fflush(nullptr);
      ::_exit(code);
    }
    return code;
  } catch (const InputError& error) {
    log_error(error.what());
    return static_cast<int>(ExitCode::bad_input);
  } catch (const std::exception& error) {
    log_error(error.what());
    return static_cast<int>(ExitCode::run_failed);
  }
}
