#pragma once

#include "harness/record/schema.hpp"

/// How the files that describe tables write a column, and meanings that many tables share. Internal to this
/// room.
namespace lockstep::record {

template <class Row, class T>
[[nodiscard]] Column<Row> number(const char* name, T Row::*field, const char* unit, const char* about) {
  return {name, field, 0, Cut::between_characters, unit, about};
}

template <class Row>
[[nodiscard]] Column<Row> text(const char* name, std::string Row::*field, std::size_t bytes,
                               const char* about) {
  return {name, field, bytes, Cut::between_characters, "", about};
}

template <class Row>
[[nodiscard]] Column<Row> list(const char* name, std::string Row::*field, std::size_t bytes,
                               const char* about) {
  return {name, field, bytes, Cut::between_items, "", about};
}

inline constexpr const char* kLeg = "index of the launch";
inline constexpr const char* kRank = "rank in the launch, numbered site by site";
inline constexpr const char* kStep = "step of the launch, from 0; warm-up steps come first";
inline constexpr const char* kBegin = "on the clock of the rank's host";

}  // namespace lockstep::record
