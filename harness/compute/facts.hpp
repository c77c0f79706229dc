#pragma once

#include <string>
#include <vector>

namespace lockstep::compute {

/// One line of provenance.
struct Fact {
  std::string key;
  std::string value;
};

/// What a rank puts on record about the backend that computes for it.
struct ComputeFacts {
  std::string description;  ///< backend and kernel, e.g. "cpu openblas:SkylakeX"
  double peak_gflops =
      0.0;  ///< measured on this rank just before the run, GFLOP/s (1e9); 0 when nothing computes
  std::vector<Fact> details;  ///< keys begin with "compute."
};

}  // namespace lockstep::compute
