#include "harness/plan/load.hpp"

#include <sstream>

#include <fmt/format.h>

#include "harness/core/posix.hpp"
#include "harness/plan/check.hpp"
#include "harness/plan/keys.hpp"
#include "harness/plan/overrides.hpp"
#include "harness/plan/read.hpp"

namespace lockstep::plan {

std::vector<KeyInfo> known_keys() {
  std::vector<KeyInfo> keys;
  for (const Key& key : key_table())
    keys.push_back({key.path, type_name(key.field), default_text(key), limits_text(key.field)});
  return keys;
}

Plan parse_plan(std::string_view text, const std::string& name_for_messages,
                std::span<const std::string> overrides, std::span<const Site> sites) {
  toml::table root = parse_toml(text, name_for_messages);
  if (!sites.empty())
    insert_sites(root, sites);
  for (const std::string& assignment : overrides)
    apply_override(root, assignment);
  Draft draft = read_draft(root, name_for_messages);
  check_draft(draft);
  if (overrides.empty() && sites.empty()) {
    draft.plan.text = text;
  } else {
    std::ostringstream canonical;
    canonical << root << '\n';
    draft.plan.text = canonical.str();
  }
  return std::move(draft.plan);
}

bool sets_key(const Plan& plan, std::string_view dotted_key) {
  const toml::table root = parse_toml(plan.text, plan.path);
  return static_cast<bool>(root.at_path(dotted_key));
}

std::vector<std::string> changed_criteria(const Plan& plan) {
  Draft draft;
  draft.plan.criteria = plan.criteria;
  std::vector<std::string> changes;
  for (const Key& key : key_table()) {
    if (section_of(key.path) != "criteria")
      continue;
    const std::string value = value_text(key.field, draft);
    if (value != default_text(key))
      changes.push_back(fmt::format("{} = {} (by default {})", leaf_of(key.path), value, default_text(key)));
  }
  return changes;
}

Plan load_plan(const std::string& path, std::span<const std::string> overrides, std::span<const Site> sites) {
  return parse_plan(read_text_file(path), path, overrides, sites);
}

bool lists_sites(const std::string& path) {
  return parse_toml(read_text_file(path), path).contains("site");
}

}  // namespace lockstep::plan
