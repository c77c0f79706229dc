#include "harness/record/merge.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include <fmt/core.h>
#include <sys/stat.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/record/merge_checks.hpp"

namespace lockstep::record {
namespace {

/// The parts of one group of ranks, as the journals tell them.
struct PartIndex {
  std::map<std::vector<std::uint32_t>, std::uint32_t> ids;
  std::vector<std::uint32_t> of_rank;  ///< id of the rank's part; kNoPart when the rank told none
};
constexpr std::uint32_t kNoPart = 0xffffffffU;

/// What one rank left of one step.
struct RankStep {
  std::uint32_t rank = 0;
  std::optional<step::StepStamp> stamp;  ///< only when the rank completed the step
  std::vector<step::CommStamp> comms;
};

bool is_complete(const step::CommStamp& comm) {
  return comm.end_ns != 0 && comm.end_ns >= comm.begin_ns;
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0;
}

}  // namespace

struct LegMerger::State {
  State(RunFileWriter& to, LegRow launch, std::string from)
      : writer(to),
        leg(std::move(launch)),
        folder(std::move(from)),
        journals(leg.ranks),
        why_not(leg.ranks) {}

  RunFileWriter& writer;
  LegRow leg;
  std::string folder;
  std::vector<std::optional<JournalReader>> journals;  ///< by rank
  std::vector<std::string> why_not;                    ///< why there is no journal of this rank
  std::uint32_t opened = 0;
  std::optional<std::uint32_t> graph_rank;  ///< whose graph is in the file
  std::vector<GraphRow> graph;
  std::map<std::string, PartIndex> groups;
  std::uint32_t next_step = 0;
  Evidence rows;  ///< all that was appended
  bool finished = false;

  // Reused from step to step.
  std::vector<RankStep> ranks_step;
  std::vector<StepRow> step_rows;
  std::vector<CommRow> comm_rows;
  std::unordered_map<std::uint64_t, std::int64_t> shortest_ns;  ///< by op and part

  bool open_new_journals();
  void take_in(std::uint32_t rank, JournalReader journal);
  void gather_step(std::uint32_t step);
  void flush_rows();
  void append_leftovers();
  void append_ranks(LegEndRow& end);
  [[nodiscard]] std::uint64_t part_key(const step::CommStamp& comm, std::uint32_t rank) const;
  void compare_data(std::uint32_t step);

  template <class Row>
  void append(const std::vector<Row>& more, std::vector<Row> Evidence::*table) {
    writer.append(std::span<const Row>(more));
    std::vector<Row>& kept = rows.*table;
    kept.insert(kept.end(), more.begin(), more.end());
  }
  template <class Row>
  void append(const Row& row, std::vector<Row> Evidence::*table) {
    writer.append(std::span<const Row>(&row, 1));
    (rows.*table).push_back(row);
  }
};

bool LegMerger::State::open_new_journals() {
  const std::uint32_t before = opened;
  for (std::uint32_t rank = 0; rank < leg.ranks; ++rank) {
    if (journals[rank])
      continue;
    const std::string path = folder + "/" + journal_file_name(rank);
    if (!exists(path)) {
      why_not[rank] = "there is no " + path;
      continue;
    }
    try {
      JournalReader journal = JournalReader::open(path);
      const RankMeta& meta = journal.meta();
      if (meta.leg.leg != leg.leg || meta.rank.rank != rank)
        why_not[rank] =
            fmt::format("{} is the journal of rank {} in launch {}", path, meta.rank.rank, meta.leg.leg);
      else if (meta.leg.launched_utc_ns != leg.launched_utc_ns || meta.leg.name != leg.name ||
               meta.leg.round != leg.round || meta.leg.attempt != leg.attempt || meta.leg.ranks != leg.ranks)
        why_not[rank] = fmt::format("{} is the journal of another launch, of {} (round {}, attempt {}) at {}",
                                    path, meta.leg.name, meta.leg.round, meta.leg.attempt,
                                    format_utc(meta.leg.launched_utc_ns));
      else
        take_in(rank, std::move(journal));
    } catch (const InputError& error) {  // its rank may still be making it
      why_not[rank] = error.what();
    }
  }
  return opened > before;
}

void LegMerger::State::take_in(std::uint32_t rank, JournalReader journal) {
  const RankMeta& meta = journal.meta();
  if (!graph_rank) {
    graph_rank = rank;
    graph = meta.graph;
    for (GraphRow& row : graph)
      row.leg = leg.leg;
    append(graph, &Evidence::graph);
  }
  append(meta.provenance, &Evidence::provenance);
  append(meta.devices, &Evidence::devices);
  for (const auto& [group, ranks] : meta.parts) {
    PartIndex& index = groups[group];
    index.of_rank.resize(leg.ranks, kNoPart);
    const auto next = static_cast<std::uint32_t>(index.ids.size());
    index.of_rank[rank] = index.ids.try_emplace(ranks, next).first->second;
  }
  journals[rank] = std::move(journal);
  ++opened;
}

/// Ops whose times may be compared: the same op, in the same part of its group.
std::uint64_t LegMerger::State::part_key(const step::CommStamp& comm, std::uint32_t rank) const {
  const auto group = groups.find(graph[comm.op].group);
  const std::uint32_t part = group == groups.end() ? kNoPart : group->second.of_rank[rank];
  return std::uint64_t{comm.op} << 32U | part;
}

/// Rows of one step from every rank that left any.
void LegMerger::State::gather_step(std::uint32_t step) {
  ranks_step.clear();
  shortest_ns.clear();
  for (std::uint32_t rank = 0; rank < leg.ranks; ++rank) {
    if (!journals[rank])
      continue;
    RankStep entry{.rank = rank, .stamp = journals[rank]->step(step), .comms = journals[rank]->comms(step)};
    if (entry.stamp && entry.stamp->end_ns == 0)
      entry.stamp.reset();
    // Ops that the graph does not know come from a damaged journal.
    std::erase_if(entry.comms, [this](const step::CommStamp& comm) { return comm.op >= graph.size(); });
    for (const step::CommStamp& comm : entry.comms) {
      if (!is_complete(comm))
        continue;
      const std::int64_t own_ns = comm.end_ns - comm.begin_ns;
      const auto [shortest, is_first] = shortest_ns.try_emplace(part_key(comm, rank), own_ns);
      if (!is_first)
        shortest->second = std::min(shortest->second, own_ns);
    }
    if (entry.stamp || !entry.comms.empty())
      ranks_step.push_back(std::move(entry));
  }
  for (const RankStep& entry : ranks_step) {
    StepRow row;
    for (const step::CommStamp& comm : entry.comms) {
      CommRow comm_row{.leg = leg.leg,
                       .rank = entry.rank,
                       .step = step,
                       .op = comm.op,
                       .begin_ns = comm.begin_ns,
                       .end_ns = is_complete(comm) ? comm.end_ns : 0};
      if (is_complete(comm)) {
        comm_row.exposed_ns = comm.exposed_ns;
        comm_row.wait_ns = comm.end_ns - comm.begin_ns - shortest_ns.at(part_key(comm, entry.rank));
        row.wait_ns += comm_row.wait_ns;
        row.exposed_wan_ns += graph[comm.op].spans_sites != 0 ? comm.exposed_ns : 0;
      }
      comm_rows.push_back(comm_row);
    }
    if (!entry.stamp)
      continue;
    row.leg = leg.leg;
    row.rank = entry.rank;
    row.step = step;
    row.flags = entry.stamp->flags;
    row.begin_ns = entry.stamp->begin_ns;
    row.end_ns = entry.stamp->end_ns;
    row.compute_ns = entry.stamp->compute_ns;
    row.exposed_ns = entry.stamp->exposed_ns;
    row.checksum = entry.stamp->checksum;
    step_rows.push_back(row);
  }
  compare_data(step);
}

void LegMerger::State::compare_data(std::uint32_t step) {
  auto group = groups.find("data_parallel");
  if (group == groups.end())
    group = groups.find("world");
  if (group == groups.end())
    return;
  std::map<std::uint32_t, std::vector<RankChecksum>> parts;
  for (const RankStep& entry : ranks_step) {
    const std::uint32_t part = group->second.of_rank[entry.rank];
    if (part != kNoPart && entry.stamp && (entry.stamp->flags & step::kStepValidated) != 0)
      parts[part].push_back({entry.rank, entry.stamp->checksum});
  }
  for (const auto& [part, checksums] : parts)
    append(compare_checksums(leg.leg, step, group->first, checksums), &Evidence::failures);
}

void LegMerger::State::flush_rows() {
  append(step_rows, &Evidence::steps);
  append(comm_rows, &Evidence::comms);
  step_rows.clear();
  comm_rows.clear();
}

/// Steps that not every rank completed, and all rows that do not belong to a step.
void LegMerger::State::append_leftovers() {
  std::uint32_t steps = 0;
  for (const auto& journal : journals)
    steps = std::max(steps, journal ? journal->planned_steps() : 0);
  for (; next_step < steps; ++next_step) {
    gather_step(next_step);
    flush_rows();
  }
  for (std::uint32_t rank = 0; rank < leg.ranks; ++rank) {
    if (!journals[rank])
      continue;
    const JournalReader& journal = *journals[rank];
    std::vector<OpRow> ops;
    for (const step::OpStamp& stamp : journal.ops())
      ops.push_back({leg.leg, rank, stamp.step, stamp.op, stamp.begin_ns, stamp.end_ns});
    append(ops, &Evidence::ops);
    append(journal.clock(), &Evidence::clock);
    append(journal.failures(), &Evidence::failures);
    append(journal.checkpoints(), &Evidence::checkpoints);
    append(journal.probes(), &Evidence::probes);
    append(journal.health(), &Evidence::health);
    append(journal.drills(), &Evidence::drills);
    // Nothing is judged by probes, so the lack of some is no gap.
    if (const std::uint32_t probes = journal.dropped_probes(); probes > 0)
      append(ProvenanceRow{static_cast<std::int32_t>(leg.leg), static_cast<std::int32_t>(rank),
                           "probe_rows_without_room", std::to_string(probes)},
             &Evidence::provenance);
    const std::uint32_t dropped =
        journal.dropped_clock_rows() + journal.dropped_failures() + journal.dropped_others();
    if (dropped > 0) {
      const FailureRow row = make_failure(
          leg.leg, static_cast<std::int32_t>(rank), "dropped_rows",
          fmt::format("{} failures, {} clock measurements and {} other rows of rank {} found no room in its "
                      "journal",
                      journal.dropped_failures(), journal.dropped_clock_rows(), journal.dropped_others(),
                      rank));
      append(row, &Evidence::failures);
    }
    if (journal.meta().graph != journals[*graph_rank]->meta().graph) {
      const FailureRow row =
          make_failure(leg.leg, static_cast<std::int32_t>(rank), "graph_mismatch",
                       fmt::format("rank {} ran another step graph than rank {}", rank, *graph_rank));
      append(row, &Evidence::failures);
    }
  }
}

/// The manifest: every rank that should be there, with what was found of it.
void LegMerger::State::append_ranks(LegEndRow& end) {
  std::vector<std::uint32_t> missing;
  std::vector<std::uint32_t> partial;
  std::vector<RankRow> found;
  for (std::uint32_t rank = 0; rank < leg.ranks; ++rank) {
    RankRow row;
    if (journals[rank])
      row = journals[rank]->meta().rank;
    row.leg = leg.leg;
    row.rank = rank;
    if (!journals[rank]) {
      row.state = "missing";
      missing.push_back(rank);
      const FailureRow failure =
          make_failure(leg.leg, static_cast<std::int32_t>(rank), "missing_evidence",
                       fmt::format("nothing is known of rank {}: {}", rank, why_not[rank]));
      append(failure, &Evidence::failures);
    } else if (journals[rank]->is_complete()) {
      row.state = "complete";
    } else {
      row.state = "partial";
      partial.push_back(rank);
    }
    found.push_back(std::move(row));
  }
  append(found, &Evidence::ranks);

  end.leg = leg.leg;
  end.journals = opened;
  end.complete_journals = opened - static_cast<std::uint32_t>(partial.size());
  if (end.outcome != "completed" || (missing.empty() && partial.empty()))
    return;
  end.outcome = "failed";
  std::string message;
  if (!missing.empty())
    message = fmt::format("no journal of rank{} {}", missing.size() > 1 ? "s" : "", name_ranks(missing));
  if (!partial.empty())
    message += fmt::format("{}journal of rank{} {} ends early", message.empty() ? "" : "; ",
                           partial.size() > 1 ? "s" : "", name_ranks(partial));
  end.message = end.message.empty() ? message : end.message + "; " + message;
}

LegMerger::LegMerger(RunFileWriter& writer, const LegRow& leg, std::string folder)
    : state_(std::make_shared<State>(writer, leg, std::move(folder))) {
  state_->append(leg, &Evidence::legs);
  writer.flush();
}

std::uint32_t LegMerger::poll() {
  State& state = *state_;
  LOCKSTEP_EXPECT(!state.finished, "the launch has been merged");
  bool is_new = state.open_new_journals();
  std::uint32_t least = 0;
  if (state.opened == state.leg.ranks && state.leg.ranks > 0) {
    least = 0xffffffffU;
    for (const auto& journal : state.journals)
      least = std::min(least, journal->completed_steps());
    for (; state.next_step < least; ++state.next_step) {
      state.gather_step(state.next_step);
      is_new = true;
    }
    state.flush_rows();
  }
  if (is_new)
    state.writer.flush();
  return least;
}

bool LegMerger::is_whole() const {
  return std::all_of(state_->journals.begin(), state_->journals.end(),
                     [](const auto& journal) { return journal.has_value() && journal->is_complete(); });
}

LegEndRow LegMerger::finish(LegEndRow end, const Analyst& analyst) {
  State& state = *state_;
  poll();
  state.finished = true;
  state.append_leftovers();
  state.append_ranks(end);
  state.rows.leg_ends = {end};
  if (analyst) {
    const Conclusions conclusions = analyst(state.rows);
    state.append(conclusions.stalls, &Evidence::stalls);
    state.append(conclusions.incidents, &Evidence::incidents);
  }
  state.writer.flush();
  state.writer.append(std::span<const LegEndRow>(&end, 1));  // once it can be seen, so can all the rest
  state.writer.flush();
  return end;
}

}  // namespace lockstep::record
