#include <charconv>
#include <limits>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "harness/core/text.hpp"
#include "harness/record/journal_layout.hpp"
#include "harness/record/schema.hpp"

namespace lockstep::record {
namespace {

using nlohmann::json;

/// Keys are the columns' names.
template <class Row>
json row_to_json(const Row& row) {
  json object = json::object();
  for (const Column<Row>& column : table<Row>().columns)
    std::visit([&](auto field) { object[column.name] = row.*field; }, column.field);
  return object;
}

template <class Row>
Row row_from_json(const json& object) {
  Row row;
  for (const Column<Row>& column : table<Row>().columns) {
    std::visit(
        [&](auto field) {
          using Value = std::remove_cvref_t<decltype(row.*field)>;
          const json& value = object.at(column.name);
          if constexpr (std::is_same_v<Value, double>) {  // JSON has no NaN and writes null
            row.*field =
                value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.template get<double>();
          } else {
            row.*field = value.template get<Value>();
          }
        },
        column.field);
  }
  return row;
}

template <class Row>
json rows_to_json(const std::vector<Row>& rows) {
  json list = json::array();
  for (const Row& row : rows)
    list.push_back(row_to_json(row));
  return list;
}

template <class Row>
std::vector<Row> rows_from_json(const json& list) {
  std::vector<Row> rows;
  for (const json& object : list)
    rows.push_back(row_from_json<Row>(object));
  return rows;
}

std::uint32_t parse_number(std::string_view text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size())
    throw std::invalid_argument("no rank: " + std::string(text));
  return number;
}

}  // namespace

std::string pack_ranks(std::span<const std::uint32_t> ranks) {
  std::vector<std::string> runs;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t last = i;
    const std::uint32_t distance = i + 1 < ranks.size() ? ranks[i + 1] - ranks[i] : 0;
    while (last + 1 < ranks.size() && ranks[last + 1] - ranks[last] == distance)
      ++last;
    if (last - i < 2) {  // a run of two is no shorter than its members
      runs.push_back(std::to_string(ranks[i]));
      ++i;
      continue;
    }
    std::string run = std::to_string(ranks[i]) + "-" + std::to_string(ranks[last]);
    if (distance != 1)
      run += ":" + std::to_string(distance);
    runs.push_back(std::move(run));
    i = last + 1;
  }
  return join(runs, ",");
}

std::vector<std::uint32_t> unpack_ranks(std::string_view text) {
  constexpr std::size_t kMostRanks = 10'000'000;
  std::vector<std::uint32_t> ranks;
  if (text.empty())
    return ranks;
  for (const std::string& run : split(text, ',')) {
    const std::size_t dash = run.find('-');
    if (dash == std::string::npos) {
      ranks.push_back(parse_number(run));
      continue;
    }
    const std::string_view tail = std::string_view(run).substr(dash + 1);
    const std::size_t colon = tail.find(':');
    const std::uint32_t first = parse_number(std::string_view(run).substr(0, dash));
    const std::uint32_t last = parse_number(tail.substr(0, colon));
    const std::uint32_t distance = colon == std::string_view::npos ? 1 : parse_number(tail.substr(colon + 1));
    if (last < first || distance == 0 || (last - first) / distance + ranks.size() > kMostRanks)
      throw std::invalid_argument("no range of ranks: " + run);
    for (std::uint64_t rank = first; rank <= last; rank += distance)
      ranks.push_back(static_cast<std::uint32_t>(rank));
  }
  return ranks;
}

std::string write_meta(const RankMeta& meta) {
  json parts = json::object();
  for (const auto& [group, ranks] : meta.parts)
    parts[group] = pack_ranks(ranks);
  const json object = {{"leg", row_to_json(meta.leg)},
                       {"rank", row_to_json(meta.rank)},
                       {"graph", rows_to_json(meta.graph)},
                       {"parts", std::move(parts)},
                       {"provenance", rows_to_json(meta.provenance)},
                       {"devices", rows_to_json(meta.devices)}};
  // Host names and settings come from outside: what is no UTF-8 must not stop a run.
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

RankMeta read_meta(std::string_view text) {
  const json object = json::parse(text);
  RankMeta meta;
  meta.leg = row_from_json<LegRow>(object.at("leg"));
  meta.rank = row_from_json<RankRow>(object.at("rank"));
  meta.graph = rows_from_json<GraphRow>(object.at("graph"));
  for (const auto& [group, ranks] : object.at("parts").items())
    meta.parts[group] = unpack_ranks(ranks.get_ref<const std::string&>());
  meta.provenance = rows_from_json<ProvenanceRow>(object.at("provenance"));
  meta.devices = rows_from_json<DeviceRow>(object.at("devices"));
  return meta;
}

}  // namespace lockstep::record
