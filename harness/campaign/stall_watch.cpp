#include "harness/campaign/stall_watch.hpp"

#include <utility>
#include <vector>

#include "harness/core/units.hpp"

namespace lockstep::campaign {

void StallWatch::take(double step_s) {
  steps_s_.push_back(step_s);
  if (steps_s_.size() > kMostSteps)
    steps_s_.pop_front();
  threshold_.reset();
}

std::optional<LiveStall> StallWatch::observe(std::int64_t now_ns, std::uint32_t steps) {
  if (steps != steps_ || changed_ns_ == 0) {
    end(now_ns);
    steps_ = steps;
    changed_ns_ = now_ns;
    return std::nullopt;
  }
  if (steps_s_.size() < kLeastSteps)
    return std::nullopt;
  if (!threshold_)
    threshold_ = stats::StallRule{}.threshold(std::vector<double>(steps_s_.begin(), steps_s_.end()));
  const std::int64_t waited_ns = now_ns - changed_ns_;
  if (seconds_from_ns(waited_ns) <= threshold_->limit + look_every_s_)
    return std::nullopt;
  current_ = LiveStall{steps_, changed_ns_, waited_ns, threshold_->median};
  return current_;
}

void StallWatch::end(std::int64_t now_ns) {
  if (!current_)
    return;
  current_->length_ns = now_ns - current_->since_ns;
  ended_ = std::exchange(current_, std::nullopt);
}

std::optional<LiveStall> StallWatch::take_ended() {
  return std::exchange(ended_, std::nullopt);
}

}  // namespace lockstep::campaign
