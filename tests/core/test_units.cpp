#include <gtest/gtest.h>

#include "harness/core/units.hpp"

namespace lockstep {
namespace {

TEST(Units, GiveThreeDigits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(4.0 * 1024 * 1024), "4.00 MiB");
  EXPECT_EQ(format_rate(1.25e9), "1.25 GB/s");
  EXPECT_EQ(format_rate(999.9e6), "1.00 GB/s");
  EXPECT_EQ(format_count(8.03e9), "8.03G");
  EXPECT_EQ(format_count(12), "12");
  EXPECT_EQ(format_percent(0.9731), "97.3 %");
}

TEST(Units, PickTheTimeUnit) {
  EXPECT_EQ(format_seconds(812e-9), "812 ns");
  EXPECT_EQ(format_seconds(14.2e-6), "14.2 us");
  EXPECT_EQ(format_seconds(0.0961), "96.1 ms");
  EXPECT_EQ(format_seconds(3.21), "3.21 s");
  EXPECT_EQ(format_seconds(725), "12 min 05 s");
  EXPECT_EQ(format_seconds(-0.002), "-2.00 ms");
}

TEST(Units, ReadSizesWithBinarySuffixes) {
  EXPECT_EQ(parse_size("64K"), 65536U);
  EXPECT_EQ(parse_size("8MiB"), 8U << 20);
  EXPECT_EQ(parse_size("17"), 17U);
  EXPECT_EQ(parse_size("17X"), std::nullopt);
  EXPECT_EQ(parse_size("K"), std::nullopt);
  EXPECT_EQ(parse_size("99999999999G"), std::nullopt);
}

}  // namespace
}  // namespace lockstep
