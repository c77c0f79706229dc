#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/mpi/collect.hpp"

namespace lockstep::fabric {

/// Does what may fail on one rank alone, then lets all ranks know: all go on, or all throw the error of the
/// first rank that had one. Collective over `leg`; waits at most `deadline_s` for the others.
template <class Work>
void agree(const mpi::Communicator& leg, double deadline_s, Work&& work) {
  std::string verdict;
  try {
    work();
  } catch (const InputError& error) {
    verdict = std::string("I") + error.what();
  } catch (const RunError& error) {
    verdict = std::string("R") + error.what();
  }
  const auto verdicts = mpi::all_gather_strings(leg, verdict, deadline_s);
  const auto first =
      std::find_if(verdicts.begin(), verdicts.end(), [](const std::string& text) { return !text.empty(); });
  if (first == verdicts.end())
    return;
  Problem problem{.what = fmt::format("{} [rank {}]", first->substr(1), first - verdicts.begin()),
                  .why = {},
                  .suggestion = {},
                  .file = {}};
  if (first->front() == 'I')
    throw InputError(std::move(problem));
  throw RunError(std::move(problem));
}

}  // namespace lockstep::fabric
