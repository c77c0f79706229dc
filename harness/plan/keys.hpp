#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "harness/plan/draft.hpp"

/// The one table of everything that a plan may contain. Loading, the check for unknown keys, known_keys() and
/// the test of configs/README.md all go by it. Internal to this room.
namespace lockstep::plan {

/// What a key holds and where in the draft it goes. The accessors of `site.`, `leg.` and `drill.` keys
/// refer to the last entry.
struct StringField {
  std::string& (*at)(Draft&);
};
struct StringsField {
  std::vector<std::string>& (*at)(Draft&);
};
struct BooleanField {
  bool& (*at)(Draft&);
};
struct IntegerField {
  std::variant<std::uint32_t& (*)(Draft&), std::uint64_t& (*)(Draft&)> at;
  std::int64_t least = 0;
  std::int64_t most = 0;
};
enum class LowerBound { included, excluded };
struct NumberField {
  double& (*at)(Draft&);
  double least = 0.0;
  double most = 0.0;
  LowerBound lower_bound = LowerBound::included;
};
struct ChoiceField {
  std::vector<std::string> choices;
  std::function<void(Draft&, std::size_t)> choose;
  std::function<std::size_t(Draft&)> chosen;
};
/// A table whose keys are free; values are strings, integers or booleans and are kept as text.
struct FreeTableField {
  std::map<std::string, std::string>& (*at)(Draft&);
};
using Field = std::variant<StringField, StringsField, BooleanField, IntegerField, NumberField, ChoiceField,
                           FreeTableField>;

enum class Presence {
  optional,     ///< has a default
  required,     ///< where its table is present; the top level and [workload] always must be
  conditional,  ///< needed or forbidden depending on other keys: see check.cpp
};

struct Key {
  std::string path;  ///< dotted: `run.steps`, `site.name`
  Field field;
  Presence presence = Presence::optional;
};

[[nodiscard]] const std::vector<Key>& key_table();

/// `""` for the top level, else the path of a table (`workload.shape`) or of an array of tables (`site`).
[[nodiscard]] bool is_section(const std::string& path);
[[nodiscard]] bool is_array_section(const std::string& path);
[[nodiscard]] const Key* find_key(const std::string& path);

/// `run.steps` -> `run`; empty for a top-level key.
[[nodiscard]] std::string section_of(const std::string& path);
/// `run.steps` -> `steps`.
[[nodiscard]] std::string leaf_of(const std::string& path);

/// The key or section that was most likely meant by an unknown path.
[[nodiscard]] std::optional<std::string> nearest_key(const std::string& path);
/// `did you mean 'run.steps'?`, or the valid keys of that table when nothing is near.
[[nodiscard]] std::string suggest_key(const std::string& path);

/// For messages and configs/README.md: `integer`, `array of strings`, ...
[[nodiscard]] std::string type_name(const Field& field);
/// `1 to 1000000`, `cpu, paced, cuda`, ...; empty when everything of the type is accepted.
[[nodiscard]] std::string limits_text(const Field& field);
/// `an integer, 1 to 1000000`
[[nodiscard]] std::string requirement_text(const Field& field);
/// What the draft holds, as TOML. Keys of `[[site]]`, `[[leg]]` and `[[drill]]`: of the last entry.
[[nodiscard]] std::string value_text(const Field& field, Draft& draft);
/// The default as TOML.
[[nodiscard]] std::string default_text(const Key& key);

}  // namespace lockstep::plan
