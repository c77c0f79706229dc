#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/hdf5/error.hpp"
#include "harness/hdf5/file.hpp"
#include "harness/hdf5/table.hpp"

namespace lockstep::hdf5 {
namespace {

using testing::HasSubstr;
using testing::Not;

class Hdf5Test : public testing::Test {
 protected:
  Hdf5Test() {
    char name[] = "/tmp/lockstep-hdf5-XXXXXX";
    folder_ = ::mkdtemp(name);
  }
  ~Hdf5Test() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_;
};

struct Pair {
  std::uint32_t number;
  char word[4];
};

RowLayout pair_layout() {
  return {.members = {{"number", Scalar::uint32, 4, 0}, {"word", Scalar::text, 4, 4}}, .bytes = 8};
}

std::span<const std::byte> bytes_of(const Pair& pair) {
  return std::as_bytes(std::span(&pair, 1));
}

TEST_F(Hdf5Test, KeepsRowsTextsAndAttributes) {
  {
    File file = File::create(path("a.h5"));
    file.create_group("/plan");
    file.write_text("/plan/text", "site = \"ä\"\n");
    file.write_text("/plan/empty", "");
    file.write_root_attribute("format", "test");
    Table table = Table::create(file, "/pairs", pair_layout(), 3, std::byte{0xff});
    table.write_attribute("unit", "");
    file.start_swmr_write();
    for (std::uint32_t i = 0; i < 10; ++i)
      table.append(bytes_of(Pair{i, {'x', static_cast<char>('0' + i)}}));
    table.flush();
    table.close();
    file.close();
  }
  const File file = File::open(path("a.h5"), Access::read_only);
  const std::uint64_t size = std::filesystem::file_size(path("a.h5"));
  EXPECT_EQ(file.read_text("/plan/text", 100, size), "site = \"ä\"\n");
  EXPECT_EQ(file.read_text("/plan/empty", 100, size), "");
  EXPECT_EQ(file.read_root_attribute("format"), "test");
  EXPECT_TRUE(file.has("/plan/text"));
  EXPECT_FALSE(file.has("/plan/none"));
  EXPECT_FALSE(file.has("/none/text"));
  EXPECT_FALSE(file.has_root_attribute("none"));
  EXPECT_EQ(Table::columns(file, "/pairs"), pair_layout().members);
  EXPECT_TRUE(Table::columns(file, "/plan/text").empty());

  const Table table = Table::open(file, "/pairs", pair_layout());
  EXPECT_EQ(table.read_attribute("unit"), "");
  ASSERT_EQ(table.rows(), 10U);
  EXPECT_NO_THROW(table.expect_within(size));
  EXPECT_THROW(table.expect_within(100), Error);
  EXPECT_THROW(static_cast<void>(file.read_text("/plan/text", 100, 100)), Error);
  std::vector<Pair> pairs(4);
  table.read(5, std::as_writable_bytes(std::span(pairs)));
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(pairs[i].number, 5 + i);
    EXPECT_EQ(pairs[i].word[0], 'x');
    EXPECT_EQ(pairs[i].word[1], static_cast<char>('5' + i));
    EXPECT_EQ(pairs[i].word[2], '\0');
  }
}

TEST_F(Hdf5Test, ErrorIsOneLineWithCauseAndPrintsNothingItself) {
  testing::internal::CaptureStderr();
  try {
    File::open(path("nowhere.h5"), Access::read_only);
    FAIL() << "opened a file that is not there";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("H5Fopen failed"));
    EXPECT_THAT(error.what(), HasSubstr("No such file or directory"));
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    EXPECT_EQ(error.system_error(), ENOENT);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST_F(Hdf5Test, ErrorsDoNotPileUp) {
  EXPECT_THROW(File::open(path("first.h5"), Access::read_only), Error);
  try {
    File::open(path("second.h5"), Access::read_only);
  } catch (const Error& error) {
    EXPECT_THAT(error.stack(), Not(HasSubstr("first.h5")));
  }
}

TEST_F(Hdf5Test, ClosingAFileWithOpenTablesIsRefused) {
  File file = File::create(path("open.h5"));
  Table table = Table::create(file, "/pairs", pair_layout(), 3, std::byte{0xff});
  EXPECT_THROW(file.close(), Error);
}

TEST_F(Hdf5Test, AMovedFromHandleOwnsNothing) {
  File first = File::create(path("moved.h5"));
  File second = std::move(first);
  EXPECT_NO_THROW(
      first.close());  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move): that is the point
  second.create_group("/still_open");
  second.close();
  EXPECT_NO_THROW(second.close());
}

TEST_F(Hdf5Test, AFileWhoseWriterVanishedIsOnlyFollowed) {
  const pid_t writer = ::fork();  // of its own process: one process shares what it has open
  ASSERT_GE(writer, 0);
  if (writer == 0) {
    File file = File::create(path("swmr.h5"));
    Table table = Table::create(file, "/pairs", pair_layout(), 3, std::byte{0xff});
    file.start_swmr_write();
    table.append(bytes_of(Pair{7, {}}));
    table.flush();
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(writer, &status, 0), writer);
  EXPECT_THROW(File::open(path("swmr.h5"), Access::read_only), Error);
  const File file = File::open(path("swmr.h5"), Access::swmr_read);
  EXPECT_EQ(Table::open(file, "/pairs", pair_layout()).rows(), 1U);
}

TEST_F(Hdf5Test, KnowsTheSignature) {
  File::create(path("real.h5")).close();
  std::ofstream(path("text")) << "no HDF5 at all";
  EXPECT_TRUE(has_hdf5_signature(path("real.h5")));
  EXPECT_FALSE(has_hdf5_signature(path("text")));
  EXPECT_FALSE(has_hdf5_signature(path("nowhere")));
}

TEST_F(Hdf5Test, TextsOfOtherKindsAreRefused) {
  File file = File::create(path("long.h5"));
  file.write_text("/text", "0123456789");
  Table table = Table::create(file, "/pairs", pair_layout(), 3, std::byte{0xff});
  EXPECT_THROW(static_cast<void>(file.read_text("/text", 9, 1U << 20U)), Error);
  EXPECT_THROW(static_cast<void>(file.read_text("/pairs", 100, 1U << 20U)), Error);
}

}  // namespace
}  // namespace lockstep::hdf5
