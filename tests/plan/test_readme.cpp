// Holds configs/README.md and the shipped plans against the loader.
#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/posix.hpp"
#include "harness/core/text.hpp"
#include "harness/plan/load.hpp"
#include "harness/plan/model.hpp"

namespace lockstep::plan {
namespace {

std::string configs() {
  return std::string(LOCKSTEP_SOURCE_DIR) + "/configs";
}

std::string without_backticks(std::string_view text) {
  std::string plain;
  for (const char c : trim(text)) {
    if (c != '`')
      plain += c;
  }
  return plain;
}

/// Rows of the README's tables, by the text in backticks in their first cell.
std::map<std::string, std::vector<std::string>> rows_of_readme() {
  std::map<std::string, std::vector<std::string>> rows;
  std::string section;
  for (const std::string& line : split(read_text_file(configs() + "/README.md"), '\n')) {
    if (line.starts_with("#"))
      section = line;
    if (!line.starts_with("| `") || (!section.starts_with("### ") && section != "## Models"))
      continue;
    std::vector<std::string> cells;
    for (const std::string& cell : split(line, '|'))
      cells.push_back(without_backticks(cell));
    EXPECT_TRUE(rows.emplace(cells[1], cells).second) << cells[1] << " is documented twice";
  }
  return rows;
}

TEST(Readme, DocumentsEveryKeyAndNoOther) {
  auto rows = rows_of_readme();
  for (const ModelShape& model : builtin_models())
    rows.erase(model.name);
  for (const KeyInfo& key : known_keys()) {
    const auto found = rows.find(key.path);
    if (found == rows.end()) {
      ADD_FAILURE() << key.path << " is not documented";
      continue;
    }
    const std::vector<std::string>& cells = found->second;
    ASSERT_EQ(cells.size(), 7U) << key.path;  // empty, key, type, default, limits, meaning, empty
    EXPECT_EQ(cells[2], key.type) << key.path;
    EXPECT_EQ(cells[3], key.default_value) << key.path;
    EXPECT_EQ(cells[4], key.limits) << key.path;
    EXPECT_GT(cells[5].size(), 10U) << key.path << " has no meaning";
    rows.erase(found);
  }
  for (const auto& [key, cells] : rows)
    ADD_FAILURE() << key << " is documented and does not exist";
}

TEST(Readme, ShowsTheModelsAsTheyAre) {
  const auto rows = rows_of_readme();
  for (const ModelShape& m : builtin_models()) {
    ASSERT_TRUE(rows.contains(m.name)) << m.name;
    const std::vector<std::string>& cells = rows.at(m.name);
    const double n = parameters(m);
    const std::string count =
        n >= 1e9 ? fmt::format("{:.3g} billion", n / 1e9) : fmt::format("{:.3g} million", n / 1e6);
    EXPECT_EQ(join(std::span(cells).subspan(2, 9), " "),
              fmt::format("{} {} {} {} {} {} {} {} {}", m.layers, m.hidden, m.ffn, m.heads, m.kv_heads,
                          m.head_dim, m.vocab, m.gated_mlp ? "gated" : "plain", count))
        << m.name;
  }
}

TEST(Readme, ItsPlanCanBeRead) {
  const std::string text = read_text_file(configs() + "/README.md");
  const std::string fence = "```toml\n";
  const std::size_t begin = text.find(fence);
  ASSERT_NE(begin, std::string::npos);
  const std::size_t end = text.find("```", begin + fence.size());
  const Plan plan = parse_plan(text.substr(begin + fence.size(), end - begin - fence.size()), "README.md");
  EXPECT_EQ(declared_ranks(plan, SiteId(0)), 128U);
  EXPECT_EQ(declared_ranks(plan, SiteId(1)), 128U);
}

TEST(Readme, ItsOverridesWork) {
  const std::string plan = configs() + "/two-sites.toml";
  const std::vector<std::string> first{"run.steps=100", "workload.model=tiny"};
  EXPECT_EQ(load_plan(plan, first).workload.model.name, "tiny");
  const std::vector<std::string> second{"site.A.slots=4", "mpi.mpirun_args=[\"--bind-to\", \"core\"]"};
  EXPECT_EQ(load_plan(plan, second).sites[0].slots, 4U);
}

TEST(Configs, AreAllReadableAndListed) {
  const std::string readme = read_text_file(configs() + "/README.md");
  int plans = 0;
  for (const auto& entry : std::filesystem::directory_iterator(configs())) {
    if (entry.path().extension() != ".toml")
      continue;
    ++plans;
    const Plan plan = load_plan(entry.path().string());
    EXPECT_EQ(plan.name, entry.path().stem().string());
    EXPECT_EQ(parse_plan(plan.text, plan.path), plan);
    EXPECT_THAT(readme, testing::HasSubstr("`" + entry.path().filename().string() + "`"));
  }
  EXPECT_GE(plans, 3);
}

}  // namespace
}  // namespace lockstep::plan
