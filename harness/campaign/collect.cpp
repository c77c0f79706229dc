#include "harness/campaign/collect.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <sys/stat.h>

#include "harness/campaign/keep_aside.hpp"
#include "harness/campaign/process_watch.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/record/journal.hpp"
#include "harness/record/merge.hpp"
#include "harness/record/rewrite.hpp"
#include "harness/record/run_file.hpp"
#include "harness/watch/analysis.hpp"

namespace lockstep::campaign {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCollectedKey = "collected";

std::string name_of(const record::LegRow& row) {
  return fmt::format("{} (round {}, attempt {})", row.name, row.round, row.attempt);
}

/// Copies appear under their names only when they are whole: a reader that meets half of one would give it
/// up.
void copy_missing(const fs::path& from, const fs::path& to) {
  std::error_code error;
  for (const auto& launch : fs::directory_iterator(from, error)) {
    if (!launch.is_directory())
      continue;
    const fs::path target = to / launch.path().filename();
    fs::create_directories(target, error);
    for (const auto& file : fs::directory_iterator(launch.path(), error)) {
      const fs::path name = target / file.path().filename();
      if (fs::exists(name, error))
        continue;
      const fs::path partial = name.string() + ".part";
      fs::copy_file(file.path(), partial, fs::copy_options::overwrite_existing, error);
      if (!error)  // its last change may be the latest sign of its launch
        fs::last_write_time(partial, fs::last_write_time(file.path(), error), error);
      if (!error)
        fs::rename(partial, name, error);
      if (error)
        throw RunError({.what = "cannot copy " + file.path().string(),
                        .why = error.message(),
                        .suggestion = "look at permissions and disk",
                        .file = {}});
    }
  }
  if (error)
    throw InputError({.what = "cannot read " + from.string(),
                      .why = error.message(),
                      .suggestion = "name a folder that holds folders such as leg-002-joint-r0-a0",
                      .file = {}});
}

/// Ranks without a row, or with one that says that nothing was heard of them.
std::set<std::uint32_t> missing_ranks(const record::Evidence& evidence, const record::LegRow& leg) {
  std::set<std::uint32_t> missing;
  for (std::uint32_t rank = 0; rank < leg.ranks; ++rank)
    missing.insert(rank);
  for (const record::RankRow& row : evidence.ranks) {
    if (row.leg == leg.leg && row.state != "missing")
      missing.erase(row.rank);
  }
  return missing;
}

const record::LegEndRow* end_of(const record::Evidence& evidence, std::uint32_t leg) {
  const auto found = std::find_if(evidence.leg_ends.begin(), evidence.leg_ends.end(),
                                  [leg](const record::LegEndRow& row) { return row.leg == leg; });
  return found == evidence.leg_ends.end() ? nullptr : &*found;
}

/// Not ended, or with a journal here that was not there at its end.
bool wants_merging(const record::Evidence& evidence, const record::LegRow& leg, const ResultsFolder& folder) {
  if (end_of(evidence, leg.leg) == nullptr)
    return fs::exists(folder.journals_folder(leg));
  const std::set<std::uint32_t> missing = missing_ranks(evidence, leg);
  return std::any_of(missing.begin(), missing.end(), [&](std::uint32_t rank) {
    return fs::exists(folder.journals_folder(leg) + "/" + record::journal_file_name(rank));
  });
}

/// Nobody saw the launch's end: the last change of a file that it left is the latest sign of it.
std::int64_t last_change_utc_ns(const std::string& journals) {
  std::int64_t latest_ns = 0;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(journals, error)) {
    struct stat info {};
    if (::stat(file.path().c_str(), &info) == 0)
      latest_ns =
          std::max(latest_ns, info.st_mtim.tv_sec * std::int64_t{1'000'000'000} + info.st_mtim.tv_nsec);
  }
  return latest_ns;
}

/// Rows of `old` that are of that launch, as asked, and not among those that its journals gave again.
template <class Row, class Wanted>
std::vector<Row> not_again(const std::vector<Row>& old, const std::vector<Row>& again, std::uint32_t leg,
                           Wanted&& wanted) {
  std::vector<Row> rows;
  for (const Row& row : old) {
    if (static_cast<std::int64_t>(row.leg) == std::int64_t{leg} && wanted(row) &&
        std::find(again.begin(), again.end(), row) == again.end())
      rows.push_back(row);
  }
  return rows;
}

/// What only the controller knew of a launch: no journal holds it.
void keep_what_the_controller_saw(record::RunFileWriter& writer, const record::Evidence& old,
                                  const record::Evidence& launch, std::uint32_t leg) {
  const auto of_no_rank = [](const auto& row) { return row.rank < 0; };
  writer.append(std::span<const record::DrillRow>(
      not_again(old.drills, launch.drills, leg, [](const auto&) { return true; })));
  writer.append(
      std::span<const record::FailureRow>(not_again(old.failures, launch.failures, leg, of_no_rank)));
  writer.append(
      std::span<const record::ProvenanceRow>(not_again(old.provenance, launch.provenance, leg, of_no_rank)));
}

/// Incidents that the controller saw come are kept as it told them; the launch that nobody saw end has none
/// yet.
std::vector<record::IncidentRow> incidents_of(const record::Evidence& old, std::uint32_t leg) {
  std::vector<record::IncidentRow> rows;
  for (const record::IncidentRow& row : old.incidents) {
    if (row.leg == leg)
      rows.push_back(row);
  }
  return rows;
}

void merge_again(record::RunFileWriter& writer, const record::LegRow& leg, const record::Evidence& old,
                 std::uint32_t& next_incident, const ResultsFolder& folder) {
  const record::LegEndRow* old_end = end_of(old, leg.leg);
  const std::string journals = folder.journals_folder(leg);
  record::LegMerger merger(writer, leg, journals);
  merger.poll();
  record::LegEndRow end;
  end.leg = leg.leg;
  if (old_end != nullptr) {
    end = *old_end;
  } else {
    end.outcome = merger.is_whole() ? "completed" : "interrupted";
    end.ended_utc_ns = last_change_utc_ns(journals);
    end.message = "its controller did not see its end; collected later";
  }
  ProcessWatch processes(journals);
  processes.look(utc_ns());
  merger.finish(end, [&](const record::Evidence& launch) {
    watch::LaunchFacts facts;
    facts.exit_status = end.exit_status;
    facts.ranks = processes.ends(launch.ranks, 0);
    facts.interrupted = end.outcome == "interrupted";
    record::Conclusions conclusions = watch::analyse_launch(launch, leg.leg, facts);
    for (record::IncidentRow& incident : conclusions.incidents)
      incident.incident = next_incident++;
    if (std::vector<record::IncidentRow> known = incidents_of(old, leg.leg); !known.empty())
      conclusions.incidents = std::move(known);
    keep_what_the_controller_saw(writer, old, launch, leg.leg);
    return conclusions;
  });
}

}  // namespace

Collected collect_evidence(const ResultsFolder& folder, const std::string& journals_from,
                           std::int64_t now_utc_ns) {
  record::Evidence evidence = record::read_run_file(folder.run_file());
  if (!journals_from.empty())
    copy_missing(journals_from, folder.path() + "/journals");
  Collected collected;
  std::set<std::uint32_t> kept;
  std::vector<record::LegRow> again;
  for (const record::LegRow& row : evidence.legs) {
    if (wants_merging(evidence, row, folder)) {
      again.push_back(row);
      collected.merged.push_back(name_of(row));
    } else {
      kept.insert(row.leg);
    }
  }
  if (!again.empty() || record::was_left_open(folder.run_file())) {
    const std::string next = folder.path() + "/run.next.h5";
    std::error_code error;
    fs::remove(next, error);
    record::RunFileWriter writer(next, evidence.plan_text, evidence.created_utc);
    record::Evidence rest = evidence;
    record::keep_launches(rest, kept);
    record::append_evidence(writer, rest);
    std::uint32_t next_incident = record::next_incident(evidence.incidents);
    for (const record::LegRow& row : again)
      merge_again(writer, row, evidence, next_incident, folder);
    const record::ProvenanceRow note{
        -1, -1, kCollectedKey,
        fmt::format("{} on {}: {}", format_utc(now_utc_ns), short_host_name(),
                    again.empty() ? std::string("written anew") : "merged " + join(collected.merged, ", "))};
    writer.append(std::span(&note, 1));
    writer.close();
    fs::remove(folder.certificate_file(), error);  // of evidence that has changed
    replace_keeping(next, folder.run_file(), folder.earlier_run_file(folder.next_number()));
    collected.replaced = true;
    evidence = record::read_run_file(folder.run_file());
  }
  for (const record::LegRow& row : evidence.legs) {
    for (const std::uint32_t rank : missing_ranks(evidence, row))
      collected.missing.push_back(fmt::format("rank {} of {}", rank, name_of(row)));
  }
  return collected;
}

void recover_run_file(const std::string& path, const std::string& kept_path) {
  const record::Evidence evidence = record::read_run_file(path);
  const std::string next = path + ".next";
  std::error_code error;
  fs::remove(next, error);
  record::RunFileWriter writer(next, evidence.plan_text, evidence.created_utc);
  record::append_evidence(writer, evidence);
  writer.close();
  replace_keeping(next, path, kept_path);
}

}  // namespace lockstep::campaign
