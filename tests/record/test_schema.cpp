#include <set>

#include <gtest/gtest.h>

#include "harness/record/journal_layout.hpp"
#include "harness/record/run_file.hpp"
#include "harness/record/schema.hpp"
#include "tests/record/fixtures.hpp"

namespace lockstep::record {
namespace {

TEST(SchemaTest, EveryColumnIsExplained) {
  std::set<std::string> seen;
  for (const ColumnInfo& column : schema()) {
    EXPECT_FALSE(column.meaning.empty()) << column.table << "." << column.column;
    EXPECT_NE(column.type, "other");
    EXPECT_TRUE(seen.insert(column.table + "." + column.column).second) << "twice: " << column.column;
    if (column.type.starts_with("string")) {
      EXPECT_EQ(column.unit, "") << column.table << "." << column.column;
    }
    if (column.column.ends_with("_ns")) {
      EXPECT_EQ(column.unit, "ns") << column.table << "." << column.column;
    }
  }
}

TEST(SchemaTest, ARowSurvivesItsBytes) {
  const Evidence evidence = sample_evidence();
  for_each_table([&]<class Row>(std::vector<Row> Evidence::*rows) {
    for (const Row& row : evidence.*rows) {
      std::vector<std::byte> bytes(layout<Row>().bytes, std::byte{0x55});
      encode(row, std::span(bytes));
      EXPECT_EQ(decode<Row>(bytes), row) << table<Row>().name;
    }
  });
}

TEST(SchemaTest, TextsAreCutBetweenCharacters) {
  EXPECT_EQ(fit_text("abc", 3), "abc");
  EXPECT_EQ(fit_text("abcd", 3), "abc");
  EXPECT_EQ(fit_text("aäb", 2), "a");
  EXPECT_EQ(fit_text("aäb", 3), "aä");
  EXPECT_EQ(fit_text("€", 2), "");
  EXPECT_EQ(fit_text("\xf0\x9f\x98\x80!", 4), "\xf0\x9f\x98\x80");
  EXPECT_EQ(fit_text("", 3), "");
}

TEST(SchemaTest, WhatIsNoUtf8BecomesAQuestionMark) {
  EXPECT_EQ(fit_text("a\xff"
                     "b",
                     9),
            "a?b");
  EXPECT_EQ(fit_text("a\xc3", 9), "a?");                       // cut short
  EXPECT_EQ(fit_text("\xc0\x80", 9), "??");                    // overlong
  EXPECT_EQ(fit_text("\xed\xa0\x80", 9), "???");               // surrogate
  EXPECT_EQ(fit_text("\xf4\x90\x80\x80", 9), "????");          // beyond the last code point
  EXPECT_EQ(fit_text(std::string_view("a\0b", 3), 9), "a?b");  // would end the text
}

TEST(SchemaTest, ListsAreCutBetweenItemsAndSaySo) {
  EXPECT_EQ(fit_list("12,34,56", 8), "12,34,56");
  EXPECT_EQ(fit_list("12,34,567", 8), "12,...");
  EXPECT_EQ(fit_list("12,34,5678", 9), "12,34,...");
}

TEST(SchemaTest, RanksArePackedInRuns) {
  const auto pack = [](std::vector<std::uint32_t> ranks) { return pack_ranks(ranks); };
  EXPECT_EQ(pack({}), "");
  EXPECT_EQ(pack({5}), "5");
  EXPECT_EQ(pack({0, 1}), "0,1");
  EXPECT_EQ(pack({0, 1, 2, 3}), "0-3");
  EXPECT_EQ(pack({0, 2, 4, 6, 9}), "0-6:2,9");
  for (const std::vector<std::uint32_t>& ranks :
       std::vector<std::vector<std::uint32_t>>{{}, {7}, {1, 2}, {0, 8, 16, 24}, {1, 2, 3, 10, 20, 30, 31}})
    EXPECT_EQ(unpack_ranks(pack_ranks(ranks)), ranks);
  for (const char* bad : {"x", "3-1", "1-5:0", "0-4294967295", "1,,2", "1-"})
    EXPECT_THROW(static_cast<void>(unpack_ranks(bad)), std::invalid_argument) << bad;
}

}  // namespace
}  // namespace lockstep::record
