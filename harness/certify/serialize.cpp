#include <cmath>
#include <cstdlib>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/certify/certificate.hpp"
#include "harness/core/units.hpp"
#include "harness/watch/throttle_bits.hpp"

namespace lockstep::certify {
namespace {

using Json = nlohmann::ordered_json;

/// Six significant digits: far more than is measured, and few enough that the last digits of a mathematical
/// library cannot show.
Json number(double value) {
  if (!std::isfinite(value))
    return nullptr;
  return std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr);
}

Json number(const std::optional<double>& value) {
  return value ? number(*value) : Json(nullptr);
}

Json interval(const std::optional<stats::Interval>& value) {
  return value ? Json::array({number(value->low), number(value->high)}) : Json(nullptr);
}

Json figures(const StepFigures& step) {
  Json json;
  json["steps"] = step.time_s.count;
  json["p50_s"] = number(step.time_s.p50);
  json["p95_s"] = number(step.time_s.p95);
  json["p99_s"] = number(step.time_s.p99);
  json["min_s"] = number(step.time_s.min);
  json["max_s"] = number(step.time_s.max);
  json["avg_s"] = number(step.time_s.mean);
  json["stdev_s"] = number(step.time_s.stdev);
  json["tokens_per_s_per_rank"] = number(step.tokens_per_s_per_rank);
  json["stalls"] = step.stalls;
  return json;
}

Json leg(const LegMetrics& metrics) {
  Json json;
  json["name"] = metrics.name;
  json["kind"] = plan::to_string(metrics.kind);
  json["ranks"] = metrics.ranks;
  json["tokens_per_step_per_rank"] = number(metrics.tokens_per_step);
  json["axis"] = "over steady steps of all rounds; a step lasts until its last rank is done";
  json.update(figures(metrics.figures));
  json["shares"] = {{"axis", "sum over steps of the largest value of any rank / sum of step times"},
                    {"compute", number(metrics.compute_share)},
                    {"exposed_communication", number(metrics.exposed_share)},
                    {"waiting", number(metrics.waiting_share)}};
  json["rounds"] = Json::array();
  for (const RoundMetrics& round : metrics.rounds) {
    Json entry;
    entry["round"] = round.round;
    entry.update(figures(round.figures));
    json["rounds"].push_back(std::move(entry));
  }
  return json;
}

Json criterion(const Criterion& line) {
  Json json;
  json["name"] = line.name;
  json["title"] = line.title;
  json["status"] = to_string(line.status);
  json["value"] = number(line.value);
  json["interval"] = interval(line.interval);
  json["bound"] = to_string(line.bound);
  json["threshold"] = number(line.threshold);
  json["unit"] = line.unit;
  json["axis"] = line.axis;
  json["method"] = line.method;
  json["for_grade_a"] = line.for_grade_a;
  return json;
}

Json communication(const CommFigures& comm) {
  Json json;
  json["type"] = comm.kind;
  json["group"] = comm.group;
  json["size_bytes"] = comm.bytes;
  json["ranks"] = comm.ranks;
  json["spans_sites"] = comm.spans_sites;
  json["operations"] = comm.samples;
  json["p50_s"] = number(comm.time_s);
  json["algbw_bytes_per_s"] = number(comm.algbw);
  json["busbw_bytes_per_s"] = number(comm.busbw);
  json["cut_bytes_per_s"] = comm.spans_sites ? number(comm.cut_bandwidth) : Json(nullptr);
  return json;
}

Json joint_stalls(const JointStalls& stalls) {
  Json json = {{"axis", "steady steps of the joint leg; costs: mean over all of them"},
               {"steps", stalls.steps},
               {"between_sites", stalls.between_sites},
               {"in_compute", stalls.in_compute},
               {"longest_s", number(stalls.longest_s)},
               {"cost_s_per_step", number(stalls.cost_s)},
               {"between_sites_cost_s_per_step", number(stalls.between_sites_cost_s)}};
  json["causes"] = Json::array();
  for (const StallCause& cause : stalls.causes)
    json["causes"].push_back({{"cause", cause.cause},
                              {"culprit", cause.culprit},
                              {"steps", cause.steps},
                              {"cost_s_per_step", number(cause.cost_s)},
                              {"confidence", number(cause.confidence)}});
  json["worst"] = Json::array();
  for (const record::StallRow& stall : stalls.worst)
    json["worst"].push_back({{"launch", stall.leg},
                             {"step", stall.step},
                             {"length_s", number(seconds_from_ns(stall.length_ns))},
                             {"median_s", number(seconds_from_ns(stall.median_ns))},
                             {"op", stall.op},
                             {"phase", stall.phase},
                             {"cause", stall.cause},
                             {"culprit", stall.culprit},
                             {"confidence", number(stall.confidence)},
                             {"why", stall.why}});
  return json;
}

Json time_account(const TimeAccount& account) {
  Json json = {{"axis", "joint leg: from the launch of each round's first attempt to the end of its last"},
               {"wall_s", number(account.wall_s)},
               {"attempts", account.attempts},
               {"kept_steps", account.kept_steps},
               {"lost_steps", account.lost_steps}};
  for (std::size_t i = 0; i < kTimeBuckets; ++i)
    json[fmt::format("{}_s", to_string(static_cast<TimeBucket>(i)))] = number(account.seconds[i]);
  json["goodput_tokens_per_s"] =
      account.wall_s > 0.0 ? number(account.kept_tokens / account.wall_s) : Json(nullptr);
  json["goodput_method"] = "tokens of all ranks in kept steps, warm-up included / wall_s";
  return json;
}

Json drill(const DrillResult& result) {
  return {{"drill", result.index},
          {"kind", result.kind},
          {"target", result.target},
          {"expected", result.expected},
          {"made", result.made},
          {"detected", result.detected},
          {"detected_as", result.detected_as},
          {"kind_right", result.kind_right},
          {"culprit_right", result.culprit_right},
          {"detection_s", number(result.detection_s)},
          {"recovered", result.recovered},
          {"recovery_s", number(result.recovery_s)}};
}

Json incident(const record::IncidentRow& row) {
  Json json;
  json["launch"] = row.leg;
  json["incident"] = row.incident;
  json["kind"] = row.kind;
  json["culprit"] = row.culprit;
  json["confidence"] = number(row.confidence);
  json["step"] = row.step;
  json["op"] = row.op;
  json["began_utc_ns"] = row.began_utc_ns;
  json["detected_utc_ns"] = row.detected_utc_ns;
  json["ranks_hit"] = row.ranks_hit;
  json["steps_lost"] = row.steps_lost;
  json["first_symptom"] = row.first_symptom;
  json["cause"] = row.cause;
  json["story"] = row.story;
  json["recovery"] = row.recovery;
  json["recovery_detail"] = row.recovery_detail;
  return json;
}

Json place(const RankPlace& rank) {
  return {{"rank", rank.rank},
          {"site", rank.site},
          {"host", rank.host},
          {"device", rank.device},
          {"serial", rank.serial}};
}

Json devices(const DeviceHealth& health) {
  Json json = {{"watched", health.watched}};
  json["throttled_axis"] =
      "steady steps in which the device of any rank was throttled for heat, by a power brake "
      "or in hardware";
  json["legs"] = Json::array();
  for (const LegThrottle& leg : health.legs)
    json["legs"].push_back({{"leg", leg.leg}, {"steps", leg.steps}, {"throttled_steps", leg.throttled}});
  json["throttled_ranks"] = health.throttled_ranks;
  json["throttled"] = Json::array();
  for (const ThrottledRank& rank : health.throttled) {
    Json entry = place(rank.place);
    entry["leg"] = rank.leg;
    entry["steps"] = rank.steps;
    entry["throttled_steps"] = rank.throttled;
    entry["marked_steps"] = rank.marked;
    entry["reasons"] = watch::throttle_words(rank.bits);
    entry["hottest_c"] = rank.hottest_c < 0.0 ? Json(nullptr) : number(rank.hottest_c);
    json["throttled"].push_back(std::move(entry));
  }
  json["rate_drift_axis"] = "compute rate of one rank over the steady steps of one launch, surest loss first";
  json["rate_drift"] = Json::array();
  for (const RateDrift& drift : health.drifts) {
    Json entry = place(drift.place);
    entry["leg"] = drift.leg;
    entry["round"] = drift.round;
    entry["attempt"] = drift.attempt;
    entry["loss"] = number(drift.loss);
    entry["interval"] = interval(drift.interval);
    entry["steps"] = drift.steps;
    entry["throttled_steps"] = drift.throttled_steps;
    json["rate_drift"].push_back(std::move(entry));
  }
  json["slow_rank"] = nullptr;
  if (health.slow) {
    json["slow_rank"] = place(health.slow->place);
    json["slow_rank"]["compute_time_ratio"] = number(health.slow->ratio);
    json["slow_rank"]["launches"] = health.slow->launches;
    json["slow_rank"]["throttled_steps"] = health.slow->throttled_steps;
  }
  return json;
}

Json information(const Certificate& certificate) {
  const Metrics& metrics = certificate.metrics;
  Json json;
  for (const Note& note : certificate.notes)
    json[note.name] = note.text;
  json["eta_best_baseline"] = metrics.eta ? Json(metrics.eta_best) : Json(nullptr);
  json["eta_rounds"] = metrics.eta ? Json(metrics.eta->rounds) : Json(nullptr);
  json["eta_standard_error"] = metrics.eta ? number(metrics.eta->standard_error) : Json(nullptr);
  json["eta_within_launch_error"] = metrics.eta ? number(metrics.eta->within_error) : Json(nullptr);
  json["clock_bound_per_median_step"] = number(metrics.clock_bound);
  json["checked_steps_least"] = metrics.data.least_checked_steps;
  json["wrong_values"] = metrics.data.wrong_values;
  json["checksum_mismatches"] = metrics.data.checksum_mismatches;
  json["wrong_results"] = metrics.data.wrong_results;
  if (metrics.wan)
    json["wan"] = {{"axis", "joint leg, mean over steady steps"},
                   {"exposed_s_per_step", number(metrics.wan->exposed_s)},
                   {"worst_rank", metrics.wan->worst_rank},
                   {"transfer_s_per_step", number(metrics.wan->transfer_s)},
                   {"cut_bytes_per_step", number(metrics.wan->cut_bytes)}};
  json["joint_time"] = time_account(metrics.joint_time);
  json["joint_stalls"] = joint_stalls(metrics.stalls);
  json["devices"] = devices(metrics.devices);
  json["communication_axis"] =
      "joint leg, p50 over operations in steady steps; time of the last rank to arrive, longest part of the "
      "group";
  json["communication"] = Json::array();
  for (const CommFigures& comm : metrics.comms)
    json["communication"].push_back(communication(comm));
  return json;
}

}  // namespace

std::string serialize(const Certificate& certificate) {
  Json json;
  json["schema"] = certificate.schema;
  json["lockstep_version"] = certificate.lockstep_version;
  json["created_utc"] = certificate.created_utc;
  json["plan"] = {{"name", certificate.plan_name}, {"sha256", certificate.plan_sha256}};
  json["evidence"] = {{"file", "run.h5"}, {"sha256", certificate.evidence_sha256}};
  json["grade"] = plan::to_string(certificate.grade);
  json["required_grade"] = plan::to_string(certificate.required_grade);
  json["certified"] = certificate.certified;
  json["exit_code"] = static_cast<int>(exit_code(certificate));
  json["rehearsal"] = {{"is", certificate.is_rehearsal()}, {"reasons", certificate.rehearsal_reasons}};
  json["changed_criteria"] = certificate.changed_criteria;
  json["reasons"] = certificate.reasons;
  json["advice"] = certificate.advice;
  json["missing"] = certificate.gaps;
  json["criteria"] = Json::array();
  for (const Criterion& line : certificate.criteria)
    json["criteria"].push_back(criterion(line));
  json["legs"] = Json::array();
  for (const LegMetrics& metrics : certificate.metrics.legs)
    json["legs"].push_back(leg(metrics));
  json["incidents"] = Json::array();
  for (const record::IncidentRow& row : certificate.incidents)
    json["incidents"].push_back(incident(row));
  json["drills"] = Json::array();
  for (const DrillResult& result : certificate.drills)
    json["drills"].push_back(drill(result));
  json["information"] = information(certificate);
  // Names in evidence come from outside and need not be UTF-8.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep::certify
