#include "harness/campaign/resume.hpp"

#include <algorithm>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "harness/campaign/keep_aside.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/record/journal.hpp"
#include "harness/record/rewrite.hpp"

namespace lockstep::campaign {
namespace {

namespace fs = std::filesystem;

constexpr const char* kResumedKey = "resumed";

/// Whether the row announces what the schedule says at its place, or a further attempt of something in it.
bool is_scheduled(const record::LegRow& row, const plan::Plan& plan, const std::vector<Launch>& launches) {
  const auto is_it = [&](const Launch& launch) {
    return row.name == plan.legs[launch.leg].name && row.round == launch.round &&
           (row.attempt == 0 ? row.leg == launch.index : row.leg >= launches.size());
  };
  return std::any_of(launches.begin(), launches.end(), is_it);
}

/// All attempts of a leg and round are kept, or none.
void drop_rounds_cut_short(const std::vector<record::LegRow>& legs, std::set<std::uint32_t>& kept) {
  const auto same_round = [](const record::LegRow& a, const record::LegRow& b) {
    return a.name == b.name && a.round == b.round;
  };
  for (const record::LegRow& row : legs) {
    if (kept.contains(row.leg))
      continue;
    for (const record::LegRow& other : legs) {
      if (same_round(row, other))
        kept.erase(other.leg);
    }
  }
}

/// A failed attempt that was to be followed by another one, which never began: its round is cut short.
void drop_unmade_restarts(const record::Evidence& evidence, std::set<std::uint32_t>& kept) {
  for (const record::IncidentRow& incident : evidence.incidents) {
    if (incident.recovery.empty() || incident.recovery == plan::to_string(plan::RestartPolicy::stop))
      continue;
    const auto failed = std::find_if(evidence.legs.begin(), evidence.legs.end(),
                                     [&](const record::LegRow& row) { return row.leg == incident.leg; });
    if (failed == evidence.legs.end())
      continue;
    const bool followed =
        std::any_of(evidence.legs.begin(), evidence.legs.end(), [&](const record::LegRow& row) {
          return row.name == failed->name && row.round == failed->round && row.attempt == failed->attempt + 1;
        });
    if (!followed)
      kept.erase(incident.leg);
  }
}

std::string name_launches(const std::vector<record::LegRow>& rows) {
  std::vector<std::string> names;
  names.reserve(rows.size());
  for (const record::LegRow& row : rows)
    names.push_back(fmt::format("{} ({}, round {})", row.leg, row.name, row.round));
  return join(names, ", ");
}

/// The row that a reader of the evidence finds: `2026-01-31T12:34:56Z on n1: kept 1 of 6 launches; cut short
/// and made again: 1 (B, round 0)`.
record::ProvenanceRow resumed_row(const Earlier& earlier, std::size_t launches, std::int64_t now_utc_ns) {
  std::string text = fmt::format("{} on {}: kept {} of {} launches", format_utc(now_utc_ns),
                                 short_host_name(), earlier.kept.size(), launches);
  if (!earlier.cut_short.empty())
    text += fmt::format("; cut short and made again: {}", name_launches(earlier.cut_short));
  return {-1, -1, kResumedKey, std::move(text)};
}

}  // namespace

std::optional<Earlier> read_earlier(const ResultsFolder& folder, const plan::Plan& plan,
                                    const std::vector<Launch>& launches) {
  if (!fs::exists(folder.run_file()))
    return std::nullopt;
  Earlier earlier;
  earlier.evidence = record::read_run_file(folder.run_file());
  if (earlier.evidence.plan_text != plan.text) {
    throw InputError({.what = fmt::format("{} holds a run of another plan", folder.path()),
                      .why = "launches of different plans cannot be judged together",
                      .suggestion = "give the same plan, overrides and hosts, or begin a run of its own "
                                    "without --resume",
                      .file = plan.path});
  }
  for (const record::LegEndRow& end : earlier.evidence.leg_ends) {
    if (end.outcome != "interrupted")
      earlier.kept.insert(end.leg);
  }
  std::set<std::uint32_t> first_attempts;
  for (const record::LegRow& row : earlier.evidence.legs) {
    if (row.attempt == 0)
      first_attempts.insert(row.leg);
  }
  for (const record::FailureRow& failure : earlier.evidence.failures) {
    // A further attempt that could not be launched says that the hosts did not come back: that is evidence.
    if (failure.kind == "launch" && first_attempts.contains(failure.leg))
      earlier.kept.erase(failure.leg);
  }
  drop_unmade_restarts(earlier.evidence, earlier.kept);
  drop_rounds_cut_short(earlier.evidence.legs, earlier.kept);
  for (const record::LegRow& row : earlier.evidence.legs) {
    if (!is_scheduled(row, plan, launches))
      throw InputError(
          {.what = fmt::format("{} holds a launch that the plan does not have", folder.run_file()),
           .why = fmt::format("launch {} is {} in round {}", row.leg, row.name, row.round),
           .suggestion = "begin a run of its own without --resume",
           .file = plan.path});
    if (!earlier.kept.contains(row.leg))
      earlier.cut_short.push_back(row);
  }
  record::keep_launches(earlier.evidence, earlier.kept);
  return earlier;
}

record::RunFileWriter resume_run_file(const ResultsFolder& folder, const plan::Plan& plan,
                                      const Earlier& earlier, std::int64_t now_utc_ns) {
  const std::uint32_t number = folder.next_number();
  const std::string aside = folder.aside_folder(number);
  for (const record::LegRow& row : earlier.cut_short) {
    const std::string name = record::leg_folder_name(row);
    move_if_there(folder.journals_folder(row), fmt::format("{}/journals/{}", aside, name));
    move_if_there(folder.log_file(row), fmt::format("{}/logs/{}.log", aside, name));
  }
  std::error_code error;
  fs::remove(folder.certificate_file(), error);  // of evidence that is about to change
  const std::string next = folder.path() + "/run.next.h5";
  fs::remove(next, error);
  record::RunFileWriter writer(next, plan.text, earlier.evidence.created_utc);
  record::append_evidence(writer, earlier.evidence);
  const record::ProvenanceRow resumed = resumed_row(earlier, schedule(plan).size(), now_utc_ns);
  writer.append(std::span(&resumed, 1));
  writer.flush();
  replace_keeping(next, folder.run_file(), folder.earlier_run_file(number));
  return writer;
}

}  // namespace lockstep::campaign
