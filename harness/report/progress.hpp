#pragma once

#include <cstdio>
#include <string>

#include "harness/campaign/campaign.hpp"
#include "harness/report/style.hpp"

namespace lockstep::report {

/// One line that shows where the campaign is: `[#######-------] 3/6 joint  step 40/105  412 steps/s  0:34
/// left`. At most `style.width` - 1 characters.
[[nodiscard]] std::string progress_line(const campaign::Progress& progress, const Style& style);

/// A line for a log that nobody watches: the begin and the end of each launch; empty for what lies between.
[[nodiscard]] std::string progress_log_line(const campaign::Progress& progress);

/// Tells progress on a stream: a bar that is redrawn on a terminal, plain lines elsewhere.
class ProgressPrinter {
 public:
  ProgressPrinter(std::FILE* stream, Style style) : stream_(stream), style_(style) {}
  ProgressPrinter(const ProgressPrinter&) = delete;
  ProgressPrinter& operator=(const ProgressPrinter&) = delete;
  ~ProgressPrinter() { clear(); }
  void tell(const campaign::Progress& progress);
  /// Takes the bar away, so that other text can follow.
  void clear();

 private:
  std::FILE* stream_;
  Style style_;
  bool bar_shown_ = false;
};

}  // namespace lockstep::report
