#include "harness/report/preview.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/report/table.hpp"

namespace lockstep::report {
namespace {

using Json = nlohmann::ordered_json;

std::string seconds_or_unknown(const std::optional<double>& seconds) {
  return seconds ? format_seconds(*seconds) : "?";
}

std::string exposed_text(const LegPreview& leg) {
  if (!leg.exposed_s || !leg.step_s || *leg.step_s <= 0.0)
    return "?";
  return fmt::format("{} ({})", format_seconds(*leg.exposed_s), format_percent(*leg.exposed_s / *leg.step_s));
}

std::string sites_text(const LegPreview& leg) {
  std::vector<std::string> parts;
  for (const auto& site : leg.sites)
    parts.push_back(fmt::format("{}:{}", site.name, site.ranks));
  return join(parts, " ");
}

/// `A, B, joint | joint, B, A`: a bar between the rounds.
std::string order_text(const Preview& preview) {
  std::string text;
  const std::size_t legs = preview.legs.size();
  for (std::size_t i = 0; i < preview.order.size(); ++i) {
    if (i > 0)
      text += i % legs == 0 ? " | " : ", ";
    text += preview.order[i];
  }
  return text;
}

std::string leg_table(const Preview& preview, const Style& style) {
  Table table({{"leg"},
               {"ranks", Align::right},
               {"by site"},
               {"FLOPs", Align::right},
               {"tokens", Align::right},
               {"sent", Align::right},
               {"comms", Align::right},
               {"memory", Align::right},
               {"step", Align::right},
               {"compute", Align::right},
               {"exposed", Align::right}});
  for (const LegPreview& leg : preview.legs) {
    table.add({{leg.name, Emphasis::strong},
               {std::to_string(leg.ranks)},
               {sites_text(leg)},
               {format_count(leg.flops_per_step)},
               {format_count(leg.tokens_per_step)},
               {format_bytes(leg.sent_bytes_per_step)},
               {std::to_string(leg.communications)},
               {format_bytes(static_cast<double>(leg.memory_bytes))},
               {seconds_or_unknown(leg.step_s)},
               {seconds_or_unknown(leg.compute_s)},
               {exposed_text(leg)}});
  }
  return table.render(style);
}

Json optional_number(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json real_system_json(const RealSystem& real) {
  return {{"model", real.model},
          {"parameters", real.parameters},
          {"gpus", real.gpus},
          {"gpu_gflops", real.gpu_gflops},
          {"time_scale", real.time_scale},
          {"step_s", real.step_s},
          {"tokens_per_step", real.tokens_per_step},
          {"gradient_bytes", real.gradient_bytes},
          {"wan_bytes_per_s", real.wan_bytes_per_s},
          {"wan_round_trip_s", real.wan_round_trip_s}};
}

Json leg_json(const LegPreview& leg) {
  Json sites = Json::array();
  for (const auto& site : leg.sites)
    sites.push_back({{"name", site.name}, {"ranks", site.ranks}, {"hosts", site.hosts}});
  return {{"name", leg.name},
          {"kind", leg.kind},
          {"ranks", leg.ranks},
          {"sites", sites},
          {"command", leg.command},
          {"flops_per_rank_and_step", leg.flops_per_step},
          {"tokens_per_rank_and_step", leg.tokens_per_step},
          {"sent_bytes_per_rank_and_step", leg.sent_bytes_per_step},
          {"communications_per_step", leg.communications},
          {"memory_bytes_per_rank", leg.memory_bytes},
          {"expected_step_s", optional_number(leg.step_s)},
          {"expected_compute_s", optional_number(leg.compute_s)},
          {"expected_exposed_s", optional_number(leg.exposed_s)},
          {"expected_exposed_wan_s", optional_number(leg.exposed_wan_s)}};
}

std::string real_system_text(const RealSystem& real, const Style& style) {
  return wrap(fmt::format(
                  "{} ({} parameters) on {:.0f} GPUs that sustain {} each: a step of {} trains {} tokens",
                  real.model, format_count(real.parameters), real.gpus,
                  fmt::format("{:.4g} TFLOP/s", real.gpu_gflops / 1e3), format_seconds(real.step_s),
                  format_count(real.tokens_per_step)),
              "  - ", style.width) +
         wrap(fmt::format("{} of gradients in each step, between sites {} of egress per site ({:.3g} Tb/s) "
                          "and a round "
                          "trip of {}",
                          fmt::format("{:.4g} GB", real.gradient_bytes / 1e9),
                          format_rate(real.wan_bytes_per_s), real.wan_bytes_per_s * 8e-12,
                          format_seconds(real.wan_round_trip_s)),
              "  - ", style.width) +
         wrap(fmt::format(
                  "a second here is {:.4g} s there: bytes / (bandwidth x step time) and round trip / step "
                  "time are the same in both",
                  real.time_scale),
              "  - ", style.width);
}

}  // namespace

std::string preview_text(const Preview& preview, const Style& style) {
  std::string text = fmt::format("{}  {}\n", paint(style, Emphasis::strong, "Plan " + preview.plan_name),
                                 paint(style, Emphasis::faint, preview.plan_path));
  text += fmt::format("  model     {}, {} parameters per rank\n", preview.model,
                      format_count(preview.parameters_per_rank));
  text += fmt::format("  launches  {} ({} steps each, and {} to warm up)\n", preview.order.size(),
                      preview.steps, preview.warmup_steps);
  text += wrap(order_text(preview), "            ", style.width);
  text += fmt::format(
      "  time      {}\n",
      preview.total_s ? "about " + format_seconds(*preview.total_s) + ", without starts and ends of launches"
                      : "not known: no GEMM rate to reckon with (--gemm-gflops gives one)");
  text += "\nPer rank and step\n" + leg_table(preview, style);
  if (preview.stands_for)
    text += "\nStands for\n" + real_system_text(*preview.stands_for, style);
  text += "\nCommands (first launch of each leg)\n";
  for (const LegPreview& leg : preview.legs)
    text += fmt::format("  {}: {}\n", paint(style, Emphasis::strong, leg.name), leg.command);
  if (!preview.rehearsal.empty()) {
    text += "\n" + paint(style, Emphasis::warning, "A rehearsal: it can certify no hardware") + "\n";
    for (const std::string& reason : preview.rehearsal)
      text += wrap(reason, "  - ", style.width);
  }
  if (!preview.warnings.empty()) {
    text += "\n" + paint(style, Emphasis::warning, "Warnings") + "\n";
    for (const std::string& warning : preview.warnings)
      text += wrap(warning, "  - ", style.width);
  }
  text += "\nConventions\n";
  for (const std::string& convention : preview.conventions)
    text += fmt::format("  - {}\n", convention);
  return text;
}

std::string preview_json(const Preview& preview) {
  Json legs = Json::array();
  for (const LegPreview& leg : preview.legs)
    legs.push_back(leg_json(leg));
  const Json document = {
      {"plan", preview.plan_name},
      {"path", preview.plan_path},
      {"plan_sha256", preview.plan_sha256},
      {"model", preview.model},
      {"parameters_per_rank", preview.parameters_per_rank},
      {"rounds", preview.rounds},
      {"steps", preview.steps},
      {"warmup_steps", preview.warmup_steps},
      {"order", preview.order},
      {"legs", legs},
      {"expected_total_s", optional_number(preview.total_s)},
      {"stands_for", preview.stands_for ? real_system_json(*preview.stands_for) : Json(nullptr)},
      {"rehearsal", preview.rehearsal},
      {"warnings", preview.warnings},
      {"conventions", preview.conventions}};
  return document.dump(2) + "\n";
}

}  // namespace lockstep::report
