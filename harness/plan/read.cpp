#include "harness/plan/read.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "harness/core/text.hpp"
#include "harness/plan/keys.hpp"

namespace lockstep::plan {
namespace {

std::string dotted(const std::string& section, std::string_view leaf) {
  return section.empty() ? std::string(leaf) : section + "." + std::string(leaf);
}

/// The value as it is written in TOML, when that is short enough for a message.
std::string value_text(const toml::node& node) {
  constexpr std::size_t kLongest = 60;
  std::ostringstream text;
  node.visit([&text](const auto& value) {
    if constexpr (!toml::is_container<decltype(value)>)
      text << value;
  });
  return text.str().size() > kLongest ? std::string() : text.str();
}

class Reader {
 public:
  Reader(Draft& draft, std::string file) : draft_(draft), file_(std::move(file)) {}

  /// `section` is the table's path in the key table, `where` its path in this plan (`site.0` for `site`).
  void read(const toml::table& table, const std::string& section, const std::string& where) {
    for (const auto& [name, node] : table) {
      const std::string path = dotted(section, name.str());
      const std::string instance = dotted(where, name.str());
      draft_.places[instance] = place_of(node, file_);
      if (const Key* key = find_key(path)) {
        store(*key, node, instance);
      } else if (is_array_section(path)) {
        read_array(node, path);
      } else if (is_section(path)) {
        if (const toml::table* inner = node.as_table())
          read(*inner, path, instance);
        else
          refuse(node, fmt::format("{} is {}", path, type_of(node)), "it must be a table",
                 fmt::format("write [{}] on a line of its own and its keys below", path));
      } else {
        refuse(node, fmt::format("unknown key '{}'", path), "", suggest_key(path));
      }
    }
    require_keys(table, section);
  }

  /// Throws the problem that is written first; a missing key comes after everything that is there but wrong.
  void finish() {
    const auto before = [](const Problem& a, const Problem& b) { return a.line < b.line; };
    std::stable_sort(problems_.begin(), problems_.end(), before);
    std::stable_sort(missing_.begin(), missing_.end(), before);
    if (!problems_.empty())
      throw InputError(problems_.front());
    if (!missing_.empty())
      throw InputError(missing_.front());
  }

 private:
  void refuse(const toml::node& node, std::string what, std::string why, std::string suggestion = {}) {
    problems_.push_back(
        problem_at(place_of(node, file_), std::move(what), std::move(why), std::move(suggestion)));
  }

  void read_array(const toml::node& node, const std::string& section) {
    const toml::array* entries = node.as_array();
    const bool tables = entries != nullptr && std::all_of(entries->begin(), entries->end(),
                                                          [](const toml::node& e) { return e.is_table(); });
    if (!tables) {
      refuse(node, fmt::format("{} is {}", section, type_of(node)),
             "there can be several, so it must be an array of tables",
             fmt::format("write [[{}]] with double brackets", section));
      return;
    }
    for (std::size_t i = 0; i < entries->size(); ++i) {
      const std::string where = fmt::format("{}.{}", section, i);
      draft_.places[where] = place_of((*entries)[i], file_);
      if (section == "site")
        draft_.plan.sites.emplace_back();
      else if (section == "leg")
        draft_.legs.emplace_back();
      else
        draft_.plan.drills.emplace_back();
      read(*(*entries)[i].as_table(), section, where);
    }
  }

  void require_keys(const toml::table& table, const std::string& section) {
    for (const Key& key : key_table()) {
      if (key.presence != Presence::required || section_of(key.path) != section ||
          table.contains(leaf_of(key.path)))
        continue;
      const bool is_entry = is_array_section(section);
      const Place place = section.empty() ? Place{file_, 0} : place_of(table, file_);
      const std::string table_text =
          section.empty() ? "the plan" : (is_entry ? "this [[" : "[") + section + (is_entry ? "]]" : "]");
      missing_.push_back(problem_at(place, fmt::format("missing key '{}'", key.path),
                                    fmt::format("{} needs it: {}", table_text, requirement_text(key.field)),
                                    fmt::format("add {} = ... there", leaf_of(key.path))));
    }
    if (section.empty() && !table.contains("workload"))
      missing_.push_back(problem_at({file_, 0}, "missing table [workload]", "it says what is trained",
                                    "add [workload] with model and sequence_length"));
  }

  void store(const Key& key, const toml::node& node, const std::string& instance) {
    std::visit([&](const auto& field) { store(key, field, node, instance); }, key.field);
  }

  void refuse_type(const Key& key, const toml::node& node) {
    const std::string value = value_text(node);
    refuse(node, fmt::format("{} is {}{}{}", key.path, value, value.empty() ? "" : ", ", type_of(node)),
           fmt::format("it must be {}", requirement_text(key.field)));
  }

  void refuse_value(const Key& key, const toml::node& node, std::string suggestion = {}) {
    refuse(node, fmt::format("{} is {}", key.path, value_text(node)),
           fmt::format("it must be {}", requirement_text(key.field)), std::move(suggestion));
  }

  void store(const Key& key, const StringField& field, const toml::node& node, const std::string&) {
    if (const auto value = node.value_exact<std::string>())
      field.at(draft_) = *value;
    else
      refuse_type(key, node);
  }

  void store(const Key& key, const StringsField& field, const toml::node& node, const std::string& instance) {
    const toml::array* array = node.as_array();
    if (array == nullptr)
      return refuse_type(key, node);
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < array->size(); ++i) {
      const auto text = (*array)[i].value_exact<std::string>();
      if (!text)
        return refuse((*array)[i], fmt::format("{} has {} in it", key.path, type_of((*array)[i])),
                      "it must be an array of strings");
      draft_.places[fmt::format("{}.{}", instance, i)] = place_of((*array)[i], file_);
      texts.push_back(*text);
    }
    field.at(draft_) = std::move(texts);
  }

  void store(const Key& key, const BooleanField& field, const toml::node& node, const std::string&) {
    if (const auto value = node.value_exact<bool>())
      field.at(draft_) = *value;
    else
      refuse_type(key, node);
  }

  void store(const Key& key, const IntegerField& field, const toml::node& node, const std::string&) {
    const auto value = node.value_exact<std::int64_t>();
    if (!value)
      return refuse_type(key, node);
    if (*value < field.least || *value > field.most)
      return refuse_value(key, node);
    const auto assign = [&](auto at) {
      auto& target = at(draft_);
      target = static_cast<std::remove_reference_t<decltype(target)>>(*value);
    };
    std::visit(assign, field.at);
  }

  void store(const Key& key, const NumberField& field, const toml::node& node, const std::string&) {
    if (!node.is_number())
      return refuse_type(key, node);
    const double value = node.value_or(std::numeric_limits<double>::quiet_NaN());
    const bool above = field.lower_bound == LowerBound::excluded ? value > field.least : value >= field.least;
    if (!std::isfinite(value) || !above || value > field.most)
      return refuse_value(key, node);
    field.at(draft_) = value;
  }

  void store(const Key& key, const ChoiceField& field, const toml::node& node, const std::string&) {
    const auto value = node.value_exact<std::string>();
    if (!value)
      return refuse_type(key, node);
    const auto found = std::find(field.choices.begin(), field.choices.end(), *value);
    if (found != field.choices.end())
      return field.choose(draft_, static_cast<std::size_t>(found - field.choices.begin()));
    const auto near = nearest_match(*value, field.choices);
    refuse_value(key, node, near ? "did you mean \"" + *near + "\"?" : "");
  }

  void store(const Key& key, const FreeTableField& field, const toml::node& node,
             const std::string& instance) {
    const toml::table* table = node.as_table();
    if (table == nullptr)
      return refuse_type(key, node);
    for (const auto& [name, value] : *table) {
      draft_.places[dotted(instance, name.str())] = place_of(value, file_);
      std::string& target = field.at(draft_)[std::string(name.str())];
      if (const auto text = value.value_exact<std::string>())
        target = *text;
      else if (const auto integer = value.value_exact<std::int64_t>())
        target = std::to_string(*integer);
      else if (const auto boolean = value.value_exact<bool>())
        target = *boolean ? "1" : "0";
      else
        refuse(value, fmt::format("{}.{} is {}", key.path, name.str(), type_of(value)),
               "it must be a string, an integer or a boolean");
    }
  }

  Draft& draft_;
  std::string file_;
  std::vector<Problem> problems_;
  std::vector<Problem> missing_;
};

}  // namespace

const char* type_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

toml::table parse_toml(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw InputError(problem_at({file, static_cast<int>(error.source().begin.line)}, "this is not valid TOML",
                                std::string(error.description())));
  }
}

Place place_of(const toml::node& node, const std::string& file) {
  const auto line = static_cast<int>(node.source().begin.line);
  // A copied node has lost its source; only overrides are copied into a plan.
  return line > 0 ? Place{file, line} : Place{"--set", 0};
}

Draft read_draft(const toml::table& root, const std::string& file) {
  Draft draft;
  draft.places[""] = {file, 0};
  draft.plan.path = file;
  Reader reader(draft, file);
  reader.read(root, "", "");
  reader.finish();
  return draft;
}

void read_section(const toml::table& table, const std::string& section, const std::string& file,
                  Draft& draft) {
  Reader reader(draft, file);
  reader.read(table, section, section);
  reader.finish();
}

Place Draft::place(std::string path) const {
  while (true) {
    const auto found = places.find(path);
    if (found != places.end())
      return found->second;
    if (path.empty())
      return {plan.path, 0};
    path = section_of(path);
  }
}

Problem problem_at(const Place& place, std::string what, std::string why, std::string suggestion) {
  return {.what = std::move(what),
          .why = std::move(why),
          .suggestion = std::move(suggestion),
          .file = place.file,
          .line = place.line};
}

}  // namespace lockstep::plan
