#pragma once

#include <string>
#include <vector>

#include "harness/report/style.hpp"

namespace lockstep::report {

enum class Align { left, right };
struct Column {
  std::string header;
  Align align = Align::left;
};
struct Cell {
  std::string text;
  Emphasis emphasis = Emphasis::plain;
};

/// Columns of text, each as wide as its widest cell (ASCII: one byte, one character).
class Table {
 public:
  explicit Table(std::vector<Column> columns);
  /// As many cells as there are columns.
  void add(std::vector<Cell> row);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  /// Header line and rows, each after `indent`, without trailing spaces.
  [[nodiscard]] std::string render(const Style& style, const std::string& indent = "  ") const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

}  // namespace lockstep::report
