#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lockstep::app {

/// Command line of `lockstep-rank`.
struct RankOptions {
  std::string plan_path;
  std::vector<std::string> overrides;
  std::string leg;  ///< empty: the plan's joint leg
  std::uint32_t leg_index = 0;
  std::uint32_t round = 0;
  std::uint32_t attempt = 0;
  std::int64_t launched_utc_ns = 0;  ///< when the controller launched it; 0: by hand, when rank 0 began
  std::string journals;              ///< folder of this launch's journals; empty: inside a new results folder
  std::string results = "results";   ///< where that results folder is made
  std::vector<std::uint32_t> drills;          ///< of the plan, by index: those to be made in this launch
  std::vector<std::uint32_t> ranks_per_site;  ///< of the leg's sites; empty: as the plan declares
  std::uint32_t first_step = 0;               ///< training steps that earlier attempts saved
  bool launched_by_controller = false;        ///< the controller merges and judges; otherwise rank 0 merges
};

/// nullopt when help or the version was asked for and printed. Throws InputError.
[[nodiscard]] std::optional<RankOptions> parse_rank_options(int argc, char** argv);

}  // namespace lockstep::app
