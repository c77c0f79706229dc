#include <gtest/gtest.h>

#include "harness/report/style.hpp"
#include "harness/report/table.hpp"

namespace lockstep::report {
namespace {

TEST(Table, AlignsColumnsAndLeavesNoTrailingSpace) {
  Table table({{"leg", Align::left}, {"ranks", Align::right}, {"note", Align::left}});
  table.add({{"A"}, {"2"}, {""}});
  table.add({{"joint"}, {"1024"}, {"all"}});
  EXPECT_EQ(table.render({}),
            "  leg    ranks  note\n"
            "  A          2\n"
            "  joint   1024  all\n");
}

TEST(Table, ColoursDoNotShiftColumns) {
  Table plain({{"a", Align::left}, {"b", Align::left}});
  plain.add({{"x", Emphasis::good}, {"y"}});
  std::string coloured = plain.render({.colours = true});
  for (const char* code : {"\033[2m", "\033[32m", "\033[0m"}) {
    for (std::size_t at = 0; (at = coloured.find(code)) != std::string::npos;)
      coloured.erase(at, std::string(code).size());
  }
  EXPECT_EQ(coloured, plain.render({}));
}

TEST(Paint, ColoursOnlyWhenAsked) {
  EXPECT_EQ(paint({}, Emphasis::bad, "x"), "x");
  EXPECT_EQ(paint({.colours = true}, Emphasis::bad, "x"), "\033[31mx\033[0m");
}

TEST(Wrap, BreaksAtSpacesAndIndents) {
  EXPECT_EQ(wrap("one two three", "- ", 9), "- one two\n  three\n");
  EXPECT_EQ(wrap("averyveryverylongword x", "", 5), "averyveryverylongword\nx\n");
}

}  // namespace
}  // namespace lockstep::report
