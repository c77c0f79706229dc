#include "harness/plan/overrides.hpp"

#include <charconv>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "harness/core/error.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/draft.hpp"
#include "harness/plan/keys.hpp"

namespace lockstep::plan {
namespace {

const Place kPlace{"--set", 0};

[[noreturn]] void refuse(std::string what, std::string why, std::string suggestion = {}) {
  throw InputError(problem_at(kPlace, std::move(what), std::move(why), std::move(suggestion)));
}

/// The value in a table of its own, under the key `value`.
toml::table parse_value(const std::string& key, const std::string& text) {
  if (text.empty())
    refuse(fmt::format("'{}=' has no value", key), "", fmt::format("write {}=\"\" for an empty string", key));
  try {
    toml::table parsed = toml::parse("value = " + text);
    if (parsed.size() == 1)
      return parsed;
  } catch (const toml::parse_error& error) {
    if (std::string_view("\"'[{").find(text.front()) != std::string_view::npos)
      refuse(fmt::format("the value of '{}' is not valid TOML", key), std::string(error.description()));
  }
  if (text.find_first_of("\r\n") != std::string::npos)
    refuse(fmt::format("the value of '{}' has more than one line", key), "an override sets one key");
  toml::table word;
  word.insert("value", text);
  return word;
}

/// The entry of `[[section]]` at this place, counted from 0: for those that have no names.
toml::table& find_numbered(toml::table& root, const std::string& section, const std::string& number,
                           const std::string& key) {
  toml::array* entries = root[section].as_array();
  const std::size_t count = entries == nullptr ? 0 : entries->size();
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), index);
  const bool is_number = error == std::errc{} && end == number.data() + number.size();
  if (is_number && index < count && entries->get(index)->is_table())
    return *entries->get(index)->as_table();
  refuse(fmt::format("cannot set '{}'", key),
         fmt::format("the plan has {} [[{}]], counted from 0", count, section),
         count == 0 ? fmt::format("add a [[{}]] to the plan", section)
                    : fmt::format("write {}.0.KEY=VALUE", section));
}

/// The entry of `[[section]]` with this name; refuses when there is none.
toml::table& find_entry(toml::table& root, const std::string& section, const std::string& name,
                        const std::string& key) {
  if (find_key(section + ".name") == nullptr)
    return find_numbered(root, section, name, key);
  std::vector<std::string> names;
  if (toml::array* entries = root[section].as_array()) {
    for (toml::node& entry : *entries) {
      toml::table* table = entry.as_table();
      if (table == nullptr)
        continue;
      const auto entry_name = (*table)["name"].value_exact<std::string>();
      if (entry_name == name)
        return *table;
      if (entry_name)
        names.push_back(*entry_name);
    }
  }
  if (names.empty())
    refuse(fmt::format("cannot set '{}'", key), fmt::format("the plan has no [[{}]] with a name", section),
           fmt::format("add a [[{}]] to the plan", section));
  const std::optional<std::string> near = nearest_match(name, names);
  refuse(fmt::format("cannot set '{}'", key),
         fmt::format("no {} is named '{}': there are {}", section, name, join(names, ", ")),
         fmt::format("write {}.{}.KEY=VALUE", section, near.value_or(names.front())));
}

toml::table& descend(toml::table& table, const std::string& name, const std::string& key) {
  if (!table.contains(name))
    table.insert(name, toml::table{});
  toml::table* inner = table[name].as_table();
  if (inner == nullptr)
    refuse(fmt::format("cannot set '{}'", key), fmt::format("'{}' is no table in this plan", name));
  return *inner;
}

void assign(toml::table& table, const std::string& leaf, const toml::table& value) {
  value.get("value")->visit([&](const auto& node) { table.insert_or_assign(leaf, node); });
}

std::string join_path(std::span<const std::string> parts) {
  return join(parts, ".");
}

}  // namespace

void apply_override(toml::table& root, const std::string& assignment) {
  const std::size_t equals = assignment.find('=');
  const std::string key(trim(std::string_view(assignment).substr(0, equals)));
  if (equals == std::string::npos || key.empty())
    refuse(fmt::format("'{}' sets nothing", assignment), "an override is KEY=VALUE",
           "for example --set run.steps=50");
  const toml::table value =
      parse_value(key, std::string(trim(std::string_view(assignment).substr(equals + 1))));

  std::vector<std::string> parts = split(key, '.');
  toml::table* table = &root;
  std::string schema;  // the path in the key table, and what was written for it
  std::string written;
  std::size_t at = 0;
  if (is_array_section(parts[0]) && parts.size() > 1) {
    table = &find_entry(root, parts[0], parts[1], key);
    schema = parts[0];
    written = parts[0] + "." + parts[1];
    at = 2;
    if (parts.size() == 2)
      refuse(fmt::format("'{}' is a whole [[{}]]", key, parts[0]), "an override sets one key",
             fmt::format("write {}.KEY=VALUE", key));
  }
  const std::string rest = join_path(std::span(parts).subspan(at));
  const std::string full = schema.empty() ? rest : schema + "." + rest;
  const std::string free_table = section_of(full);
  const Key* table_key = find_key(free_table);
  const bool is_free = table_key != nullptr && std::holds_alternative<FreeTableField>(table_key->field);
  if (find_key(full) == nullptr && !is_section(full) && !is_free) {
    std::string suggestion = suggest_key(full);
    // `site.slots` is how the key table says it; here the entry's name belongs in it.
    if (!schema.empty() && section_of(nearest_key(full).value_or("")) == schema)
      suggestion = fmt::format("did you mean '{}.{}'?", written, leaf_of(*nearest_key(full)));
    refuse(fmt::format("unknown key '{}'", key), "", suggestion);
  }
  for (; at + 1 < parts.size(); ++at)
    table = &descend(*table, parts[at], key);
  assign(*table, parts.back(), value);
}

void insert_sites(toml::table& root, std::span<const Site> sites) {
  LOCKSTEP_EXPECT(!root.contains("site"), "a plan with sites of its own keeps them");
  toml::array entries;
  for (const Site& site : sites) {
    toml::array hosts;
    for (const std::string& host : site.hosts)
      hosts.push_back(host);
    toml::table entry;
    entry.insert("name", site.name);
    entry.insert("hosts", std::move(hosts));
    entry.insert("slots", static_cast<std::int64_t>(site.slots));
    entries.push_back(std::move(entry));
  }
  root.insert("site", std::move(entries));
}

}  // namespace lockstep::plan
