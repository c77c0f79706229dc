#include "harness/report/progress.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "harness/core/units.hpp"

namespace lockstep::report {
namespace {

constexpr int kBarWidth = 20;

std::string clock_text(double seconds) {
  const auto whole = static_cast<long>(std::lround(std::max(0.0, seconds)));
  if (whole >= 3600)
    return fmt::format("{}:{:02d}:{:02d}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02d}", whole / 60, whole % 60);
}

double share_done(const campaign::Progress& progress) {
  if (progress.launches == 0)
    return 0.0;
  const double in_launch =
      progress.steps > 0 ? static_cast<double>(progress.steps_done) / progress.steps : 0.0;
  return std::clamp((progress.launch + in_launch) / progress.launches, 0.0, 1.0);
}

std::string phase_text(const campaign::Progress& progress) {
  if (progress.phase == "stepping")
    return fmt::format("step {}/{}", progress.steps_done, progress.steps);
  if (progress.phase == "starting" || progress.phase.empty())
    return "starting";
  std::string words = progress.phase;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

}  // namespace

std::string progress_line(const campaign::Progress& progress, const Style& style) {
  const auto filled = static_cast<int>(share_done(progress) * kBarWidth);
  std::string line = fmt::format("[{}{}] {}/{} {}  {}", std::string(static_cast<std::size_t>(filled), '#'),
                                 std::string(static_cast<std::size_t>(kBarWidth - filled), '-'),
                                 progress.launch + 1, progress.launches, progress.leg, phase_text(progress));
  if (!progress.stall.empty())
    line += "  STALL: " + progress.stall;
  else if (progress.steps_per_s > 0.0)
    line += fmt::format("  {:.3g} steps/s", progress.steps_per_s);
  if (progress.left_s)
    line += fmt::format("  {} left", clock_text(*progress.left_s));
  if (line.size() >= static_cast<std::size_t>(style.width))
    line.resize(static_cast<std::size_t>(style.width - 1));
  return line;
}

std::string progress_log_line(const campaign::Progress& progress) {
  const std::string which =
      fmt::format("launch {} of {}: {}, round {}{}", progress.launch + 1, progress.launches, progress.leg,
                  progress.round + 1,
                  progress.attempt > 0 ? fmt::format(", attempt {}", progress.attempt + 1) : std::string());
  switch (progress.moment) {
    case campaign::Progress::Moment::launched:
      return which + (progress.left_s ? fmt::format(" (about {} left)", clock_text(*progress.left_s)) : "");
    case campaign::Progress::Moment::running:
      return {};
    case campaign::Progress::Moment::event:
      return progress.message;
    case campaign::Progress::Moment::ended:
      break;
  }
  return fmt::format("{}: {} after {} of {} steps in {}{}", which, progress.outcome, progress.steps_done,
                     progress.steps, format_seconds(progress.elapsed_s),
                     progress.message.empty() ? "" : ": " + progress.message);
}

void ProgressPrinter::tell(const campaign::Progress& progress) {
  if (!style_.interactive) {
    const std::string line = progress_log_line(progress);
    if (!line.empty())
      fmt::print(stream_, "{}\n", line);
    std::fflush(stream_);
    return;
  }
  clear();
  using Moment = campaign::Progress::Moment;
  const bool is_news = progress.moment == Moment::event ||
                       (progress.moment == Moment::ended && progress.outcome != "completed");
  if (is_news)
    fmt::print(stream_, "{}\n", paint(style_, Emphasis::warning, progress_log_line(progress)));
  if (progress.moment == Moment::launched || progress.moment == Moment::running) {
    fmt::print(stream_, "{}", progress_line(progress, style_));
    bar_shown_ = true;
  }
  std::fflush(stream_);
}

void ProgressPrinter::clear() {
  if (!bar_shown_)
    return;
  fmt::print(stream_, "\r\033[K");
  std::fflush(stream_);
  bar_shown_ = false;
}

}  // namespace lockstep::report
