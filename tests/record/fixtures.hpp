#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "harness/record/evidence.hpp"
#include "harness/record/journal.hpp"
#include "harness/record/run_file.hpp"

/// What the tests of this room share.
namespace lockstep::record {

/// A folder of its own for every test, gone when the test ends.
class RecordTest : public testing::Test {
 protected:
  RecordTest();
  ~RecordTest() override;
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  [[nodiscard]] const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
};

/// At least two rows in every table, every column with a value of its own.
[[nodiscard]] Evidence sample_evidence();
/// Every table of it, in the order of the file.
void append_all_tables(RunFileWriter& writer, const Evidence& evidence);

/// Rank `rank` of three: a GEMM (op 0), an all-reduce over all ranks that spans sites (op 1) and one between
/// ranks 0 and 1 only (op 2; rank 2 is alone there).
[[nodiscard]] RankMeta sample_meta(std::uint32_t rank);
constexpr std::uint32_t kSampleRanks = 3;
constexpr std::uint32_t kSampleOps = 3;
constexpr std::uint32_t kSampleComms = 2;

/// Stores one whole step as the executor does: begin, ops, end. Communication `c` takes comm_ns[c].
struct SampleStep {
  std::uint32_t step = 0;
  std::uint32_t flags = 0;
  std::int64_t begin_ns = 1000;
  std::int64_t length_ns = 100;
  std::vector<std::int64_t> comm_ns = {10, 20};
  std::uint64_t checksum = 0;
};
void store_step(Journal& journal, const SampleStep& sample);

[[nodiscard]] std::string file_bytes(const std::string& path);
void write_bytes(const std::string& path, const std::string& bytes);
/// Overwrites in place.
void patch_bytes(const std::string& path, std::size_t offset, const std::string& bytes);

}  // namespace lockstep::record
