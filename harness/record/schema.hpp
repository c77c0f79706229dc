#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "harness/hdf5/table.hpp"
#include "harness/record/evidence.hpp"

/// The one description of every table: run files, journals, schema() and results/README.md all follow it.
/// Internal to this room.
namespace lockstep::record {

/// Root attribute `format` of every run file.
constexpr const char* kRunFileFormat = "lockstep-run";

/// Raised when a column changes meaning or type, or one goes. Readers refuse other versions than theirs.
constexpr int kSchemaVersion = 2;

template <class Row>
using Field = std::variant<std::uint32_t Row::*, std::int32_t Row::*, std::uint64_t Row::*,
                           std::int64_t Row::*, double Row::*, std::string Row::*>;

/// Where a text that is too long for its column is cut.
enum class Cut : std::uint8_t {
  between_characters,
  between_items,  ///< of a comma-separated list, which then ends in `,...`
};

template <class Row>
struct Column {
  const char* name;
  Field<Row> field;
  std::size_t text_bytes;  ///< fixed length of a text; 0 for numbers
  Cut cut;
  const char* unit;  ///< empty for text and identifiers
  const char* about;
};

template <class Row>
struct TableSpec {
  const char* name;  ///< of the dataset, without the leading slash
  const char* about;
  std::uint64_t chunk_rows;
  std::vector<Column<Row>> columns;
};

/// Specialised for every row type of Evidence.
template <class Row>
[[nodiscard]] const TableSpec<Row>& table();

/// Calls `visit.template operator()<Row>(member of Evidence)` for every table, in the order of the file.
template <class Visitor>
void for_each_table(Visitor&& visit) {
  visit.template operator()<LegRow>(&Evidence::legs);
  visit.template operator()<LegEndRow>(&Evidence::leg_ends);
  visit.template operator()<RankRow>(&Evidence::ranks);
  visit.template operator()<GraphRow>(&Evidence::graph);
  visit.template operator()<StepRow>(&Evidence::steps);
  visit.template operator()<CommRow>(&Evidence::comms);
  visit.template operator()<OpRow>(&Evidence::ops);
  visit.template operator()<ClockRow>(&Evidence::clock);
  visit.template operator()<StallRow>(&Evidence::stalls);
  visit.template operator()<FailureRow>(&Evidence::failures);
  visit.template operator()<IncidentRow>(&Evidence::incidents);
  visit.template operator()<CheckpointRow>(&Evidence::checkpoints);
  visit.template operator()<ProbeRow>(&Evidence::probes);
  visit.template operator()<DeviceRow>(&Evidence::devices);
  visit.template operator()<HealthRow>(&Evidence::health);
  visit.template operator()<DrillRow>(&Evidence::drills);
  visit.template operator()<EventRow>(&Evidence::events);
  visit.template operator()<ProvenanceRow>(&Evidence::provenance);
}

/// The row as stored: columns one after the other, without gaps.
template <class Row>
[[nodiscard]] const hdf5::RowLayout& layout();

/// `out` holds layout<Row>().bytes bytes. Texts are cut to their column by fit_text().
template <class Row>
void encode(const Row& row, std::span<std::byte> out);
template <class Row>
[[nodiscard]] Row decode(std::span<const std::byte> bytes);

/// At most `most_bytes` bytes of `text`, cut between characters; what is no UTF-8, and NUL, becomes '?'.
[[nodiscard]] std::string fit_text(std::string_view text, std::size_t most_bytes);
/// The same for a comma-separated list: a cut list ends in `,...`, never within an item.
[[nodiscard]] std::string fit_list(std::string_view text, std::size_t most_bytes);

}  // namespace lockstep::record
