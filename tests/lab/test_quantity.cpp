#include <cmath>
#include <cstdint>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "harness/core/error.hpp"
#include "harness/lab/quantity.hpp"

namespace lockstep::lab {
namespace {

TEST(Quantity, TimesNeedAUnit) {
  EXPECT_EQ(parse_duration_ns("250us"), 250'000);
  EXPECT_EQ(parse_duration_ns(" 20 ms "), 20'000'000);
  EXPECT_EQ(parse_duration_ns("1.5s"), 1'500'000'000);
  EXPECT_EQ(parse_duration_ns("2min"), 120'000'000'000);
  EXPECT_EQ(parse_duration_ns("7ns"), 7);
  EXPECT_EQ(parse_duration_ns("24h"), 86'400'000'000'000);
  EXPECT_EQ(parse_duration_ns("0"), 0);
  for (const char* bad :
       {"", "20", "ms", "-1ms", "20 m", "20msx", "inf s", "nan s", "1e400s", "25h", "1.2.3s"})
    EXPECT_THROW(static_cast<void>(parse_duration_ns(bad)), InputError) << bad;
}

TEST(Quantity, RatesAreDecimalBitsASecond) {
  EXPECT_EQ(parse_bits_per_s("50M"), 50e6);
  EXPECT_EQ(parse_bits_per_s("800 Mb/s"), 800e6);
  EXPECT_EQ(parse_bits_per_s("1Gbit/s"), 1e9);
  EXPECT_EQ(parse_bits_per_s("2.5Gbps"), 2.5e9);
  EXPECT_EQ(parse_bits_per_s("9k"), 9e3);
  EXPECT_EQ(parse_bits_per_s("0"), 0.0);
  for (const char* bad : {"", "50", "50MB", "M", "-1M", "50 Mb/h", "1MiB/s"})
    EXPECT_THROW(static_cast<void>(parse_bits_per_s(bad)), InputError) << bad;
}

TEST(Quantity, SharesAreFromZeroToOne) {
  EXPECT_EQ(parse_share("0.1%"), 0.001);
  EXPECT_EQ(parse_share("0.001"), 0.001);
  EXPECT_EQ(parse_share("100 %"), 1.0);
  EXPECT_EQ(parse_share("0"), 0.0);
  for (const char* bad : {"", "%", "1.1", "101%", "-0.1", "0.1x", "nan"})
    EXPECT_THROW(static_cast<void>(parse_share(bad)), InputError) << bad;
}

TEST(Quantity, DistancesAndBytes) {
  EXPECT_EQ(parse_km("16km"), 16.0);
  EXPECT_DOUBLE_EQ(parse_km("10 mi"), 16.09344);
  EXPECT_THROW(static_cast<void>(parse_km("16")), InputError);
  EXPECT_THROW(static_cast<void>(parse_km("16m")), InputError);
  EXPECT_EQ(parse_bytes("256K"), 262'144U);
  EXPECT_EQ(parse_bytes(" 4M "), 4'194'304U);
  EXPECT_EQ(parse_bytes("0"), 0U);
  for (const char* bad : {"", "-1", "4X", "1.5M", "99999999999G"})
    EXPECT_THROW(static_cast<void>(parse_bytes(bad)), InputError) << bad;
}

TEST(Quantity, ARefusalShowsTheTextAndAnExample) {
  try {
    static_cast<void>(parse_duration_ns("20 parsecs"));
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.problem().what, testing::HasSubstr("20 parsecs"));
    EXPECT_THAT(error.problem().suggestion, testing::HasSubstr("20ms"));
  }
}

TEST(Quantity, TextsAreShort) {
  EXPECT_EQ(duration_text(0), "0");
  EXPECT_EQ(duration_text(20'000'000), "20ms");
  EXPECT_EQ(duration_text(1'250'000), "1.25ms");
  EXPECT_EQ(duration_text(90'000'000'000), "90s");
  EXPECT_EQ(rate_text(800e6), "800Mb/s");
  EXPECT_EQ(rate_text(2.5e9), "2.5Gb/s");
  EXPECT_EQ(share_text(0.001), "0.1%");
  EXPECT_EQ(share_text(0.0), "0");
  EXPECT_EQ(bytes_text(512 * 1024), "512K");
  EXPECT_EQ(bytes_text(3 << 20), "3M");
  EXPECT_EQ(bytes_text(1000), "1000");
}

TEST(Quantity, TextsReadBackToTheSameValue) {
  for (std::int64_t ns = 1; ns < 86'000'000'000'000; ns = ns * 3 + 7)
    EXPECT_EQ(parse_duration_ns(duration_text(ns)), ns) << duration_text(ns);
  for (double value = 1e3; value < 1e15; value = value * 2.7182818284590452 + 1.0 / 3.0)
    EXPECT_EQ(parse_bits_per_s(rate_text(value)), value) << rate_text(value);
  for (double share = 1.0 / 3.0; share > 1e-12; share /= 7.3)
    EXPECT_EQ(parse_share(share_text(share)), share) << share_text(share);
  for (const std::uint64_t bytes : {1ULL, 1023ULL, 1024ULL, 1'048'576ULL, 1'048'577ULL})
    EXPECT_EQ(parse_bytes(bytes_text(bytes)), bytes);
}

}  // namespace
}  // namespace lockstep::lab
