#include "harness/campaign/drills.hpp"

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"

namespace lockstep::campaign {

bool is_made_by_ranks(const plan::Drill& drill) {
  switch (drill.kind) {
    case plan::DrillKind::kill:
    case plan::DrillKind::stop:
      return drill.rank.has_value();
    case plan::DrillKind::crash:
    case plan::DrillKind::abort:
    case plan::DrillKind::slow:
    case plan::DrillKind::hang:
    case plan::DrillKind::flip:
    case plan::DrillKind::fill:
      return true;
    case plan::DrillKind::cut:
    case plan::DrillKind::degrade:
    case plan::DrillKind::lose:
      return false;
  }
  LOCKSTEP_EXPECT(false, "no such kind of drill");
}

void check_drills_allowed(const plan::Plan& plan, bool in_lab, bool allowed) {
  if (plan.drills.empty() || in_lab)
    return;
  for (const plan::Drill& drill : plan.drills) {
    if (!is_made_by_ranks(drill))
      throw InputError({.what = fmt::format("the plan has a drill of kind \"{}\" on {}",
                                            plan::to_string(drill.kind), plan::target_text(drill)),
                        .why = "outside of a lab only drills that act on Lockstep's own ranks are made",
                        .suggestion = "give it a rank, or rehearse it with --lab",
                        .file = plan.path});
  }
  if (!allowed)
    throw InputError({.what = fmt::format("the plan has {} drill{}", plan.drills.size(),
                                          plan.drills.size() == 1 ? "" : "s"),
                      .why = "they break ranks of this run on purpose",
                      .suggestion = "add --allow-drills, or remove them from the plan",
                      .file = plan.path});
}

Drills::Drills(const plan::Plan& plan, const std::string& leg, std::uint32_t round) {
  for (std::uint32_t i = 0; i < plan.drills.size(); ++i) {
    const plan::Drill& drill = plan.drills[i];
    if (drill.leg != leg || drill.round != round)
      continue;
    Entry entry;
    entry.index = i;
    entry.drill = &drill;
    entries_.push_back(std::move(entry));
  }
}

std::vector<std::uint32_t> Drills::of_ranks() const {
  std::vector<std::uint32_t> indices;
  for (const Entry& entry : entries_) {
    if (is_made_by_ranks(*entry.drill) && !entry.made)
      indices.push_back(entry.index);
  }
  return indices;
}

void Drills::note_progress(std::uint32_t training_steps) {
  for (Entry& entry : entries_) {
    if (is_made_by_ranks(*entry.drill) && training_steps >= entry.drill->step)
      entry.made = true;
  }
}

std::vector<record::DrillRow> Drills::act(const FaultMaker& make, std::uint32_t leg_index,
                                          std::uint32_t training_steps, std::uint32_t first_step,
                                          std::int64_t now_ns, std::int64_t now_utc_ns) {
  std::vector<record::DrillRow> rows;
  for (Entry& entry : entries_) {
    const plan::Drill& drill = *entry.drill;
    if (is_made_by_ranks(drill) || !make)
      continue;
    if (!entry.step_seen_ns && training_steps >= drill.step)
      entry.step_seen_ns = now_ns;
    if (!entry.step_seen_ns)
      continue;
    if (!entry.made && seconds_from_ns(now_ns - *entry.step_seen_ns) >= drill.after_s) {
      entry.made = true;
      entry.made_ns = now_ns;
      entry.row.leg = leg_index;
      entry.row.drill = entry.index;
      entry.row.kind = plan::to_string(drill.kind);
      entry.row.target = plan::target_text(drill);
      entry.row.step = static_cast<std::int32_t>(training_steps - first_step);
      entry.row.begin_utc_ns = now_utc_ns;
      try {
        entry.row.how = make(drill, FaultAction::make);
      } catch (const std::runtime_error& error) {
        entry.row.how = std::string("could not be made: ") + error.what();
        entry.taken_back = true;
      }
      rows.push_back(entry.row);
    }
    if (entry.made && !entry.taken_back && drill.for_s > 0.0 &&
        seconds_from_ns(now_ns - entry.made_ns) >= drill.for_s)
      take_back(entry, make, now_utc_ns, rows);
  }
  return rows;
}

std::vector<record::DrillRow> Drills::take_back_all(const FaultMaker& make, std::int64_t now_utc_ns) {
  std::vector<record::DrillRow> rows;
  for (Entry& entry : entries_) {
    if (make && !is_made_by_ranks(*entry.drill) && entry.made && !entry.taken_back)
      take_back(entry, make, now_utc_ns, rows);
  }
  return rows;
}

void Drills::take_back(Entry& entry, const FaultMaker& make, std::int64_t now_utc_ns,
                       std::vector<record::DrillRow>& rows) {
  entry.taken_back = true;
  try {
    entry.row.how = make(*entry.drill, FaultAction::take_back);
    entry.row.end_utc_ns = now_utc_ns;
  } catch (const std::runtime_error& error) {
    entry.row.how = std::string("could not be taken back: ") + error.what();
  }
  rows.push_back(entry.row);
}

}  // namespace lockstep::campaign
