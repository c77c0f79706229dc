#include "harness/app/rank_options.hpp"

#include <cstdio>

#include <CLI/CLI.hpp>

#include "harness/core/error.hpp"
#include "harness/core/version.hpp"

namespace lockstep::app {

std::optional<RankOptions> parse_rank_options(int argc, char** argv) {
  RankOptions options;
  CLI::App app{
      "One rank of a Lockstep run. mpirun (or srun) starts as many of these as the plan has slots; together "
      "they\n"
      "train a synthetic transformer, and each records every step in a journal.\n\n"
      "  mpirun -np 4 lockstep-rank --plan configs/two-sites.toml\n\n"
      "By hand it runs one leg (the joint one by default) and leaves results/<plan>-<UTC>/run.h5. `lockstep "
      "certify`\n"
      "runs all legs and judges them.",
      "lockstep-rank"};
  bool show_version = false;
  app.add_option("--plan", options.plan_path, "plan file (configs/README.md)");
  app.add_option("--set", options.overrides, "override a key of the plan, e.g. run.steps=50")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option("--leg", options.leg, "leg to run: a site's name or `joint` (default)");
  app.add_option("--out", options.results, "folder in which the results folder is made")
      ->capture_default_str();
  app.add_option("--journals", options.journals, "folder for the journals of this launch");
  app.add_option("--leg-index", options.leg_index, "number of this launch in its run")->capture_default_str();
  app.add_option("--round", options.round, "round that this launch belongs to")->capture_default_str();
  app.add_option("--attempt", options.attempt, "attempt of this launch")->capture_default_str();
  app.add_option("--launched-utc-ns", options.launched_utc_ns,
                 "when this launch began, ns since 1970: its journals are told from others by it");
  app.add_option("--drills", options.drills,
                 "drills of the plan to make in this launch, by index from 0, e.g. 0,2")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--ranks-per-site", options.ranks_per_site,
                 "ranks of each site of the leg where that is not what the plan declares, e.g. 2,1")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--first-step", options.first_step,
                 "go on behind this many training steps, from the checkpoint that holds them")
      ->capture_default_str();
  app.add_flag("--launched-by-controller", options.launched_by_controller,
               "leave merging and judging to `lockstep certify`, which started this");
  app.add_flag("--version", show_version, "print the version");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    throw InputError({.what = error.what(), .why = {}, .suggestion = "see lockstep-rank --help", .file = {}});
  }
  if (show_version) {
    std::printf("lockstep-rank %s\n", version());
    return std::nullopt;
  }
  if (options.plan_path.empty()) {
    throw InputError({.what = "no plan was given",
                      .why = "a rank needs to know the sites and the workload",
                      .suggestion = "add --plan FILE",
                      .file = {}});
  }
  if (options.launched_by_controller && options.journals.empty()) {
    throw InputError({.what = "--launched-by-controller needs --journals",
                      .why = "the controller looks for them there",
                      .suggestion = {},
                      .file = {}});
  }
  return options;
}

}  // namespace lockstep::app
