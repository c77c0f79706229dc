#include "harness/campaign/survey_data.hpp"

#include <set>

namespace lockstep::campaign {

std::vector<std::uint32_t> distinct_hosts(const Survey& survey) {
  std::set<std::string> seen;
  std::vector<std::uint32_t> distinct;
  for (std::uint32_t i = 0; i < survey.hosts.size(); ++i) {
    const auto& facts = survey.hosts[i].facts;
    if (facts && seen.insert(facts->boot_id + "/" + facts->network_namespace).second)
      distinct.push_back(i);
  }
  return distinct;
}

}  // namespace lockstep::campaign
