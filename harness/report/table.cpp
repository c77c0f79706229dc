#include "harness/report/table.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "harness/core/error.hpp"

namespace lockstep::report {
namespace {

constexpr const char* kGap = "  ";

/// Spaces go outside the colours, so that a coloured cell is as wide as a plain one.
std::string padded(const Style& style, const Cell& cell, Align align, std::size_t width, bool last) {
  const std::string spaces(width > cell.text.size() ? width - cell.text.size() : 0, ' ');
  const std::string text = paint(style, cell.emphasis, cell.text);
  if (align == Align::right)
    return spaces + text;
  return last ? text : text + spaces;
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::add(std::vector<Cell> row) {
  LOCKSTEP_EXPECT(row.size() == columns_.size(), "a row has one cell for each column");
  rows_.push_back(std::move(row));
}

std::string Table::render(const Style& style, const std::string& indent) const {
  std::vector<std::size_t> widths;
  widths.reserve(columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = columns_[i].header.size();
    for (const auto& row : rows_)
      width = std::max(width, row[i].text.size());
    widths.push_back(width);
  }
  const auto line = [&](const std::vector<Cell>& row) {
    std::string text = indent;
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0)
        text += kGap;
      text += padded(style, row[i], columns_[i].align, widths[i], i + 1 == row.size());
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text + "\n";
  };
  std::vector<Cell> header;
  header.reserve(columns_.size());
  for (const Column& column : columns_)
    header.push_back({column.header, Emphasis::faint});
  std::string text = line(header);
  for (const auto& row : rows_)
    text += line(row);
  return text;
}

}  // namespace lockstep::report
