#include "harness/watch/device_signs.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "harness/core/text.hpp"
#include "harness/watch/incident_story.hpp"
#include "harness/watch/names.hpp"

namespace lockstep::watch {
namespace {

using record::IncidentRow;

struct XidMeaning {
  std::int64_t number;
  const char* words;
  bool by_programs;  ///< a program's own fault raises it as well
};
/// Those that concern a run (NVIDIA, Xid Errors, section "Xid messages").
constexpr std::array<XidMeaning, 16> kXids{{{13, "graphics engine exception", true},
                                            {31, "memory page fault", true},
                                            {43, "stopped processing", true},
                                            {45, "preemptive cleanup", true},
                                            {48, "double-bit memory error", false},
                                            {61, "internal micro-controller breakpoint", false},
                                            {62, "internal micro-controller halt", false},
                                            {63, "memory row to be remapped", false},
                                            {64, "memory row could not be remapped", false},
                                            {74, "NVLink error", false},
                                            {79, "card has fallen off the bus", false},
                                            {92, "high rate of corrected memory errors", false},
                                            {94, "contained memory error", false},
                                            {95, "uncontained memory error", false},
                                            {119, "no answer from the card's system processor", false},
                                            {120, "error of the card's system processor", false}}};

const XidMeaning* meaning_of(std::int64_t xid) {
  const auto found = std::find_if(kXids.begin(), kXids.end(),
                                  [xid](const XidMeaning& entry) { return entry.number == xid; });
  return found == kXids.end() ? nullptr : &*found;
}

std::string xid_words(std::int64_t xid) {
  const XidMeaning* meaning = meaning_of(xid);
  return meaning == nullptr ? fmt::format("Xid {}", xid) : fmt::format("Xid {} ({})", xid, meaning->words);
}

/// What went wrong with one device in a launch.
struct Signs {
  std::int64_t uncorrected = 0;  ///< new errors
  std::set<std::int64_t> xids;
  bool remap_failed = false;                 ///< newly
  const record::HealthRow* first = nullptr;  ///< that showed any of it
};

Signs signs_of(std::span<const record::HealthRow* const> rows) {
  Signs signs;
  std::int64_t errors = -1;
  int remap_failed = -1;
  for (const record::HealthRow* row : rows) {
    bool any = false;
    // A counter that fell was reset with its driver: its errors cannot be told from old ones.
    if (errors >= 0 && row->ecc_uncorrected > errors) {
      signs.uncorrected += row->ecc_uncorrected - errors;
      any = true;
    }
    if (row->ecc_uncorrected >= 0)
      errors = row->ecc_uncorrected;
    if (row->xid > 0)
      any = signs.xids.insert(row->xid).second || any;
    if (remap_failed == 0 && row->remap_failed == 1)
      any = signs.remap_failed = true;
    if (row->remap_failed >= 0)
      remap_failed = row->remap_failed;
    if (any && signs.first == nullptr)
      signs.first = row;
  }
  return signs;
}

std::string words_of(const Signs& signs) {
  std::vector<std::string> parts;
  if (signs.uncorrected > 0)
    parts.push_back(fmt::format("{} new uncorrected memory error{}", signs.uncorrected,
                                signs.uncorrected == 1 ? "" : "s"));
  for (const std::int64_t xid : signs.xids)
    parts.push_back(xid_words(xid));
  if (signs.remap_failed)
    parts.emplace_back("a memory row that could not be remapped");
  return join(parts, ", ");
}

/// Step that the rank was in at that time of its clock; -1 when it was in none that it completed.
std::int32_t step_at(const LaunchView& view, std::uint32_t rank, std::int64_t local_ns) {
  for (const record::StepRow* row : view.steps) {
    if (row->rank == rank && row->begin_ns <= local_ns && local_ns <= row->end_ns)
      return static_cast<std::int32_t>(row->step);
  }
  return -1;
}

IncidentRow begin(const LaunchView& view, const LaunchFacts& facts, const char* kind) {
  IncidentRow row;
  row.leg = view.leg->leg;
  row.kind = kind;
  row.detected_utc_ns = facts.detected_utc_ns;
  return row;
}

/// Its rank knew of it when it saw it, however long the launch went on.
void finish(IncidentRow& row, const LaunchView& view) {
  if (row.began_utc_ns != 0)
    row.detected_utc_ns = row.began_utc_ns;
  tell_story(row, view, std::nullopt);
  row.ranks_hit = 1;
}

}  // namespace

std::vector<IncidentRow> find_device_errors(const LaunchView& view, const LaunchFacts& facts) {
  std::vector<IncidentRow> found;
  for (const record::DeviceRow* device : view.devices) {
    const Signs signs = signs_of(view.health_of(*device));
    if (signs.first == nullptr)
      continue;
    const bool only_programs = signs.uncorrected == 0 && !signs.remap_failed &&
                               std::all_of(signs.xids.begin(), signs.xids.end(), [](std::int64_t xid) {
                                 const XidMeaning* meaning = meaning_of(xid);
                                 return meaning != nullptr && meaning->by_programs;
                               });
    IncidentRow row = begin(view, facts, "device_error");
    const std::string& host = view.host_of(device->rank);
    const bool of_host = device->kind == "cpu" && !host.empty();  // its name says so
    row.culprit = of_host ? "host " + host : rank_name(view, device->rank);
    row.confidence = only_programs ? 0.5 : 0.95;
    row.step = step_at(view, device->rank, signs.first->end_ns);
    row.began_utc_ns = view.to_utc_ns(device->rank, signs.first->end_ns).value_or(0);
    row.cause = fmt::format("{}{} told of {}", device_name(view, device), of_host ? "" : " of " + row.culprit,
                            words_of(signs));
    if (only_programs)
      row.cause += "; a program's own fault can bring that about";
    row.first_symptom = row.cause;
    finish(row, view);
    found.push_back(std::move(row));
  }
  return found;
}

std::vector<IncidentRow> find_silent_corruption(const LaunchView& view, const LaunchFacts& facts) {
  struct Seen {
    const record::FailureRow* first = nullptr;
    std::int64_t first_utc_ns = 0;
    std::size_t count = 0;
  };
  std::map<std::int32_t, Seen> by_rank;
  for (const record::FailureRow* failure : view.failures) {
    if (failure->kind != "checksum")
      continue;
    Seen& seen = by_rank[failure->rank];
    ++seen.count;
    if (seen.first == nullptr || (failure->step >= 0 && failure->step < seen.first->step))
      seen.first = failure;
    if (failure->utc_ns > 0 && (seen.first_utc_ns == 0 || failure->utc_ns < seen.first_utc_ns))
      seen.first_utc_ns = failure->utc_ns;
  }
  std::vector<IncidentRow> found;
  for (const auto& [rank, seen] : by_rank) {
    IncidentRow row = begin(view, facts, "silent_data_corruption");
    const bool known = rank >= 0 && static_cast<std::uint32_t>(rank) < view.rank_count();
    std::string device;
    if (known) {
      row.culprit = rank_name(view, static_cast<std::uint32_t>(rank));
      device = device_name(view, view.device_of(static_cast<std::uint32_t>(rank)));
    }
    row.confidence = known ? 0.95 : 0.5;
    row.step = seen.first->step;
    row.op = seen.first->op;
    row.began_utc_ns = seen.first_utc_ns;
    row.cause = fmt::format("{} result{} computed by {} failed {}{}", seen.count, seen.count == 1 ? "" : "s",
                            known ? row.culprit : "a rank that is not known",
                            seen.count == 1 ? "its checksum" : "their checksums",
                            device.empty() ? "" : ": " + device);
    row.first_symptom = seen.first->message.empty() ? row.cause : seen.first->message;
    finish(row, view);
    found.push_back(std::move(row));
  }
  return found;
}

}  // namespace lockstep::watch
