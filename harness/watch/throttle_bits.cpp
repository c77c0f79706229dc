#include "harness/watch/throttle_bits.hpp"

#include <array>
#include <utility>
#include <vector>

#include "harness/core/text.hpp"

namespace lockstep::watch {

std::string throttle_words(std::int64_t bits) {
  static constexpr std::array<std::pair<std::int64_t, const char*>, 9> kWords{
      {{kThrottleHeatHardware, "heat (hardware)"},
       {kThrottleHeatSoftware, "heat (software)"},
       {kThrottlePowerBrake, "power brake"},
       {kThrottleHardware, "hardware slowdown"},
       {kThrottlePowerCap, "power cap"},
       {kThrottleSyncBoost, "sync boost"},
       {kThrottleApplicationClocks, "application clocks"},
       {kThrottleDisplayClocks, "display clocks"},
       {kThrottleIdle, "idle"}}};
  std::vector<std::string> words;
  for (const auto& [bit, word] : kWords) {
    if (bits > 0 && (bits & bit) != 0)
      words.emplace_back(word);
  }
  return join(words, ", ");
}

}  // namespace lockstep::watch
