#include "harness/app/rank_evidence.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

#include <fmt/format.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/record/merge.hpp"
#include "harness/record/provenance.hpp"
#include "harness/record/run_file.hpp"
#include "harness/report/style.hpp"
#include "harness/report/summary.hpp"
#include "harness/watch/analysis.hpp"

namespace lockstep::app {

const plan::Leg& leg_of(const plan::Plan& plan, const std::string& name) {
  std::vector<std::string> names;
  for (const plan::Leg& leg : plan.legs) {
    if (leg.name == name || (name.empty() && leg.kind == plan::LegKind::joint))
      return leg;
    names.push_back(leg.name);
  }
  const auto nearest = nearest_match(name, names);
  throw InputError({.what = "the plan has no leg '" + name + "'",
                    .why = "its legs are " + join(names, ", "),
                    .suggestion = nearest ? "did you mean '" + *nearest + "'?" : "",
                    .file = plan.path});
}

plan::AttemptSteps steps_left(const plan::Plan& plan, std::uint32_t first_step) {
  const std::uint32_t all = plan.run.warmup_steps + plan.run.steps;
  if (first_step < all)
    return plan::attempt_steps(plan.run, first_step);
  throw InputError({.what = fmt::format("--first-step is {}", first_step),
                    .why = fmt::format("a launch has {} training steps, warm-up included", all),
                    .suggestion = {},
                    .file = plan.path});
}

record::LegRow leg_row(const plan::Plan& plan, const plan::Leg& leg, const RankOptions& options,
                       std::uint32_t ranks) {
  std::vector<std::string> sites;
  for (const SiteId site : leg.sites)
    sites.push_back(plan.sites[site.value()].name);
  record::LegRow row;
  row.leg = options.leg_index;
  row.name = leg.name;
  row.kind = plan::to_string(leg.kind);
  row.sites = join(sites, ",");
  row.round = options.round;
  row.attempt = options.attempt;
  row.ranks = ranks;
  row.first_step = options.first_step;
  const plan::AttemptSteps steps = steps_left(plan, options.first_step);
  row.warmup_steps = steps.warmup;
  row.steps = steps.steady;
  row.launched_utc_ns = options.launched_utc_ns;
  return row;
}

void merge_by_hand(const plan::Plan& plan, const record::LegRow& row, const RankPlaces& places,
                   const std::string& outcome) {
  const std::string run_file = places.results_folder + "/run.h5";
  write_text_file(places.results_folder + "/plan.toml", plan.text);
  {
    record::RunFileWriter writer(run_file, plan.text, format_utc(row.launched_utc_ns));
    writer.append(record::machine_provenance(-1, -1));
    record::LegMerger merger(writer, row, places.journals);
    merger.poll();
    record::LegEndRow end;
    end.leg = row.leg;
    end.outcome = outcome;
    end.ended_utc_ns = utc_ns();
    merger.finish(end,
                  [&row](const record::Evidence& launch) { return watch::analyse_launch(launch, row.leg); });
    writer.close();
  }
  const report::RunSummary summary =
      report::summarize_run(record::read_run_file(run_file), run_file, std::nullopt);
  std::fputs(report::summary_text(summary, report::Style{}).c_str(), stdout);
  fmt::print(
      "\nOne leg alone proves nothing about the sites; `lockstep certify {}` runs all legs and judges "
      "them.\n",
      plan.path);
  std::fflush(stdout);
}

}  // namespace lockstep::app
