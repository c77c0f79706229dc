#include "harness/watch/analysis.hpp"

#include "harness/watch/attribution.hpp"
#include "harness/watch/incidents.hpp"
#include "harness/watch/launch_view.hpp"

namespace lockstep::watch {

record::Conclusions analyse_launch(const record::Evidence& evidence, std::uint32_t leg,
                                   const LaunchFacts& facts, const stats::StallRule& rule) {
  const LaunchView view = view_of(evidence, leg);
  if (view.leg == nullptr)
    return {};
  return {.stalls = attribute_stalls(view, rule), .incidents = find_incidents(view, facts)};
}

}  // namespace lockstep::watch
