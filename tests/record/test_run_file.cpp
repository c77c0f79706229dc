#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/version.hpp"
#include "harness/hdf5/error.hpp"
#include "harness/hdf5/file.hpp"
#include "harness/hdf5/table.hpp"
#include "harness/record/schema.hpp"
#include "tests/record/fixtures.hpp"

namespace lockstep::record {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class RunFileTest : public RecordTest {
 protected:
  RunFileTest() : run_(path("run.h5")) {}
  [[nodiscard]] RunFileWriter make(const std::string& plan = "plan") const {
    return {run_, plan, "2026-01-31T12:34:56Z"};
  }
  void write_sample() const {
    RunFileWriter writer = make();
    append_all_tables(writer, sample_evidence());
    writer.close();
  }
  std::string run_;
};

void expect_same(const Evidence& found, const Evidence& expected) {
  for_each_table([&]<class Row>(std::vector<Row> Evidence::*rows) {
    EXPECT_EQ(found.*rows, expected.*rows) << table<Row>().name;
  });
}

template <class E>
std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const E& error) {
    EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

std::string refusal(const std::string& path) {
  return message_of<InputError>([&path] { static_cast<void>(read_run_file(path)); });
}

/// What `child` does happens in a process of its own, which ends without closing anything. One process shares
/// a file that it has open, so a writer and a reader need two.
void in_another_process(const std::function<void()>& child) {
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    try {
      child();
    } catch (...) {
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "status " << status;
}

TEST_F(RunFileTest, GivesBackEveryColumnOfEveryTable) {
  const Evidence sample = sample_evidence();
  {
    RunFileWriter writer = make(sample.plan_text);
    append_all_tables(writer, sample);
    writer.close();
  }
  const Evidence found = read_run_file(run_);
  expect_same(found, sample);
  EXPECT_EQ(found.plan_text, sample.plan_text);
  EXPECT_EQ(found.schema_version, std::to_string(kSchemaVersion));
  EXPECT_EQ(found.lockstep_version, version());
  EXPECT_EQ(found.created_utc, "2026-01-31T12:34:56Z");
}

TEST_F(RunFileTest, ClosedFileNeedsNoFollower) {
  write_sample();
  EXPECT_NO_THROW(hdf5::File::open(run_, hdf5::Access::read_only));
}

TEST_F(RunFileTest, DestructionClosesToo) {
  {
    RunFileWriter writer = make();
    append_all_tables(writer, sample_evidence());
  }
  EXPECT_NO_THROW(hdf5::File::open(run_, hdf5::Access::read_only));
  expect_same(read_run_file(run_), sample_evidence());
}

TEST_F(RunFileTest, ManyRowsInManyAppends) {
  std::vector<StepRow> rows(10'000);
  for (std::uint32_t i = 0; i < rows.size(); ++i) {
    rows[i].step = i;
    rows[i].begin_ns = 1'000'000 + i;
  }
  RunFileWriter writer = make();
  for (std::size_t i = 0; i < rows.size(); i += 7)
    writer.append(std::span<const StepRow>(rows).subspan(i, std::min<std::size_t>(7, rows.size() - i)));
  writer.append(std::span<const StepRow>());
  writer.close();
  EXPECT_EQ(read_run_file(run_).steps, rows);
}

TEST_F(RunFileTest, ManyRowsInOneAppend) {
  std::vector<GraphRow> rows(5'000);  // more than are encoded at once
  for (std::uint32_t i = 0; i < rows.size(); ++i)
    rows[i].name = "op" + std::to_string(i);
  RunFileWriter writer = make();
  writer.append(std::span<const GraphRow>(rows));
  writer.close();
  EXPECT_EQ(read_run_file(run_).graph, rows);
}

TEST_F(RunFileTest, LongTextsAreCut) {
  LegRow leg;
  leg.name = std::string(63, 'n') + "ö";
  GraphRow op;
  for (int i = 100; i < 600; ++i)
    op.after += (op.after.empty() ? "" : ",") + std::to_string(i);
  RunFileWriter writer = make();
  writer.append(std::span<const LegRow>(&leg, 1));
  writer.append(std::span<const GraphRow>(&op, 1));
  writer.close();
  const Evidence found = read_run_file(run_);
  EXPECT_EQ(found.legs[0].name, std::string(63, 'n'));
  EXPECT_TRUE(found.graph[0].after.ends_with(",...")) << found.graph[0].after;
  EXPECT_LE(found.graph[0].after.size(), 1024U);
}

TEST_F(RunFileTest, CanBeFollowedWhileItIsWritten) {
  int to_child[2];
  int to_parent[2];
  ASSERT_EQ(::pipe(to_child), 0);
  ASSERT_EQ(::pipe(to_parent), 0);
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    RunFileWriter writer = make("live plan");
    char byte = 0;
    for (std::uint32_t i = 0; i < 5; ++i) {
      const StepRow row{.leg = 0, .rank = 0, .step = i};
      writer.append(std::span(&row, 1));
      writer.flush();
      if (::write(to_parent[1], "x", 1) != 1 || ::read(to_child[0], &byte, 1) != 1)
        ::_exit(1);
    }
    writer.close();
    ::_exit(0);
  }
  char byte = 0;
  for (std::uint32_t i = 0; i < 5; ++i) {
    ASSERT_EQ(::read(to_parent[0], &byte, 1), 1);
    const Evidence found = read_run_file(run_);
    EXPECT_EQ(found.plan_text, "live plan");
    ASSERT_EQ(found.steps.size(), i + 1);
    EXPECT_EQ(found.steps.back().step, i);
    ASSERT_EQ(::write(to_child[1], "x", 1), 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_EQ(read_run_file(run_).steps.size(), 5U);
  for (const int fd : {to_child[0], to_child[1], to_parent[0], to_parent[1]})
    ::close(fd);
}

TEST_F(RunFileTest, ReadingChangesNothing) {
  const Evidence sample = sample_evidence();
  write_sample();
  ASSERT_EQ(::chmod(run_.c_str(), 0444), 0);
  const std::string closed = sha256_file(run_);
  static_cast<void>(read_run_file(run_));
  EXPECT_EQ(sha256_file(run_), closed);

  in_another_process([&] {
    RunFileWriter writer(path("killed.h5"), "plan", "now");
    append_all_tables(writer, sample);
    writer.flush();
    ::_exit(0);
  });
  const std::string killed = sha256_file(path("killed.h5"));
  expect_same(read_run_file(path("killed.h5")), sample);
  expect_same(read_run_file(path("killed.h5")), sample);
  EXPECT_EQ(sha256_file(path("killed.h5")), killed);
}

TEST_F(RunFileTest, RowsThatWereNeverStoredAreNoRows) {
  in_another_process([&] {
    RunFileWriter writer = make();
    // Bytes that no row of ours can hold stand for space that a killed writer had asked for and not filled.
    StepRow unwritten;
    std::memset(static_cast<void*>(&unwritten), 0xff, sizeof unwritten);
    const std::vector<StepRow> rows = {{.leg = 1, .rank = 2, .step = 3}, unwritten, unwritten};
    writer.append(std::span<const StepRow>(rows));
    writer.close();
  });
  const Evidence found = read_run_file(run_);
  ASSERT_EQ(found.steps.size(), 1U);
  EXPECT_EQ(found.steps[0].step, 3U);
}

TEST_F(RunFileTest, ExistingFilesAreNeverOverwritten) {
  write_bytes(run_, "precious");
  const std::string message = message_of<InputError>([this] { static_cast<void>(make()); });
  EXPECT_THAT(message, AllOf(HasSubstr(run_), HasSubstr("exists already")));
  EXPECT_EQ(file_bytes(run_), "precious");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder()), {}), 1)
      << "something was left behind";
}

TEST_F(RunFileTest, FolderThatCannotBeWrittenIsBadInput) {
  EXPECT_THAT(message_of<InputError>([this] { RunFileWriter(path("no/run.h5"), "p", "t"); }),
              AllOf(HasSubstr("No such file or directory"), HasSubstr("--out")));
  write_bytes(path("file"), "");
  EXPECT_THAT(message_of<InputError>([this] { RunFileWriter(path("file/run.h5"), "p", "t"); }),
              HasSubstr("Not a directory"));
}

TEST_F(RunFileTest, FolderWithoutPermissionIsBadInput) {
  const std::string message_file = path("message");
  ASSERT_EQ(::chmod(folder().c_str(), 0755), 0);
  std::filesystem::create_directory(path("closed"));
  ASSERT_EQ(::chmod(path("closed").c_str(), 0555), 0);
  write_bytes(message_file, "");
  ASSERT_EQ(::chmod(message_file.c_str(), 0666), 0);
  in_another_process([&] {
    if (::geteuid() == 0 && ::setuid(65534) != 0)  // root may write anywhere
      ::_exit(1);
    try {
      RunFileWriter(path("closed/run.h5"), "p", "t");
    } catch (const InputError& error) {
      write_bytes(message_file, error.what());
    }
  });
  EXPECT_THAT(file_bytes(message_file), HasSubstr("Permission denied"));
}

/// A disk of its own, small enough to fill.
class FullDiskTest : public RunFileTest {
 protected:
  void SetUp() override {
    disk_ = path("disk");
    std::filesystem::create_directory(disk_);
    if (::mount("none", disk_.c_str(), "tmpfs", 0, "size=1m") != 0)
      GTEST_SKIP() << "a small tmpfs cannot be mounted here: " << std::strerror(errno);
    is_mounted_ = true;
  }
  void TearDown() override {
    if (is_mounted_)
      ::umount2(disk_.c_str(), MNT_DETACH);
  }
  /// Leaves `bytes` free.
  void fill(std::size_t bytes_free) const {
    std::size_t bytes = std::filesystem::space(disk_).available;
    ASSERT_GT(bytes, bytes_free);
    write_bytes(disk_ + "/filler", std::string(bytes - bytes_free, 'x'));
    ASSERT_LE(std::filesystem::space(disk_).available, bytes_free + 4096);
  }
  std::string disk_;
  bool is_mounted_ = false;
};

TEST_F(FullDiskTest, WhileRowsAreAppended) {
  const std::string run = disk_ + "/run.h5";
  std::size_t flushed = 0;
  // In a process of its own: the library cannot let go of a file that it failed to write.
  const std::string message_file = path("message");
  in_another_process([&] {
    RunFileWriter writer(run, "plan", "now");
    const std::vector<StepRow> rows(500, StepRow{.leg = 1, .rank = 2, .step = 3});
    try {
      for (int i = 0; i < 1000; ++i) {
        writer.append(std::span<const StepRow>(rows));
        writer.flush();
        ++flushed;
        write_bytes(path("flushed"), std::to_string(flushed * rows.size()));
      }
    } catch (const RunError& error) {
      write_bytes(message_file, error.what());
    }
  });
  const std::string message = file_bytes(message_file);
  EXPECT_THAT(message, AllOf(HasSubstr("cannot write " + run), HasSubstr("No space left on device"),
                             HasSubstr("free some space"), Not(HasSubstr("\n"))));
  const std::size_t safe = std::stoul(file_bytes(path("flushed")));
  EXPECT_GT(safe, 0U);
  const Evidence found = read_run_file(run);
  EXPECT_GE(found.steps.size(), safe);
  for (const StepRow& row : found.steps)
    EXPECT_EQ(row.step, 3U);
}

TEST_F(FullDiskTest, WhileTheFileIsMade) {
  fill(8192);
  const std::string run = disk_ + "/run.h5";
  const std::string message_file = path("message");
  in_another_process([&] {
    try {
      RunFileWriter writer(run, std::string(100'000, 'p'), "now");
    } catch (const RunError& error) {
      write_bytes(message_file, error.what());
    }
  });
  EXPECT_THAT(file_bytes(message_file), AllOf(HasSubstr("No space left on device"), Not(HasSubstr("\n"))));
  EXPECT_FALSE(std::filesystem::exists(run)) << "a file that cannot be read must not appear";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(disk_), {}), 1) << "something was left behind";
}

TEST_F(RunFileTest, ForeignFilesAreRefusedWithReason) {
  EXPECT_THAT(refusal(path("nowhere")), HasSubstr("No such file or directory"));
  EXPECT_THAT(refusal(folder()), HasSubstr("it is a folder"));
  EXPECT_THAT(refusal("/dev/null"), HasSubstr("no ordinary file"));
  write_bytes(path("empty"), "");
  EXPECT_THAT(refusal(path("empty")), HasSubstr("it is empty"));
  write_bytes(path("text"), "what is this?\n");
  EXPECT_THAT(refusal(path("text")), HasSubstr("it is no HDF5 file"));
  {
    hdf5::File other = hdf5::File::create(path("other.h5"));
    other.close();
  }
  EXPECT_THAT(refusal(path("other.h5")), HasSubstr("without Lockstep's attribute"));
}

/// A run file as far as its root attributes say.
hdf5::File make_head(const std::string& path, const std::string& format, const std::string& schema_version) {
  hdf5::File file = hdf5::File::create(path);
  file.write_root_attribute("format", format);
  file.write_root_attribute("schema_version", schema_version);
  file.write_root_attribute("lockstep_version", "99.1.0");
  file.write_root_attribute("created_utc", "");
  return file;
}

TEST_F(RunFileTest, OtherFormatsAndNewerSchemasAreRefused) {
  make_head(path("other"), "something-else", "1").close();
  EXPECT_THAT(refusal(path("other")), HasSubstr("something-else"));
  const std::string current = std::to_string(kSchemaVersion);
  make_head(path("newer"), kRunFileFormat, std::to_string(kSchemaVersion + 1)).close();
  EXPECT_THAT(refusal(path("newer")),
              AllOf(HasSubstr("newer than " + current), HasSubstr("99.1.0 or newer")));
  make_head(path("older"), kRunFileFormat, std::to_string(kSchemaVersion - 1)).close();
  EXPECT_THAT(refusal(path("older")),
              AllOf(HasSubstr("older than " + current), HasSubstr("Lockstep 99.1.0")));
  make_head(path("odd"), kRunFileFormat, "1x").close();
  EXPECT_THAT(refusal(path("odd")), HasSubstr("schema_version"));
  make_head(path("bare"), kRunFileFormat, current).close();
  EXPECT_THAT(refusal(path("bare")), HasSubstr("no /plan/text"));
}

TEST_F(RunFileTest, ColumnsOfOtherTypesAreRefused) {
  hdf5::File file = make_head(path("typed"), kRunFileFormat, std::to_string(kSchemaVersion));
  file.create_group("/plan");
  file.write_text("/plan/text", "p");
  hdf5::RowLayout changed = layout<LegRow>();
  changed.members[0].type = hdf5::Scalar::int32;
  hdf5::Table::create(file, "/legs", changed, 4, std::byte{0xff}).close();
  file.close();
  EXPECT_THAT(refusal(path("typed")), HasSubstr("column \"leg\" of /legs is int32, not uint32"));
}

TEST_F(RunFileTest, AMissingColumnIsRefused) {
  hdf5::File file = make_head(path("columns"), kRunFileFormat, std::to_string(kSchemaVersion));
  file.create_group("/plan");
  file.write_text("/plan/text", "p");
  hdf5::RowLayout changed = layout<LegRow>();
  changed.members.pop_back();
  hdf5::Table::create(file, "/legs", changed, 4, std::byte{0xff}).close();
  file.close();
  EXPECT_THAT(refusal(path("columns")), HasSubstr("no column \"launched_utc_ns\""));
}

TEST_F(RunFileTest, ATableThatClaimsMoreThanTheFileHoldsIsRefused) {
  hdf5::File file = make_head(path("claims"), kRunFileFormat, std::to_string(kSchemaVersion));
  file.create_group("/plan");
  file.write_text("/plan/text", "p");
  hdf5::Table table = hdf5::Table::create(file, "/legs", layout<LegRow>(), 100'000, std::byte{0xff});
  table.extend(500'000'000);
  table.close();
  file.close();
  EXPECT_THAT(refusal(path("claims")), HasSubstr("more than the file can hold"));
}

TEST_F(RunFileTest, CutAnywhereIsRefused) {
  write_sample();
  const std::string whole = file_bytes(run_);
  std::size_t refused = 0;
  for (std::size_t length = 1; length < whole.size(); length += 1 + whole.size() / 150) {
    write_bytes(path("cut"), whole.substr(0, length));
    EXPECT_THAT(refusal(path("cut")), HasSubstr("cannot read " + path("cut"))) << length;
    ++refused;
  }
  EXPECT_GT(refused, 100U);
}

TEST_F(RunFileTest, CutAfterItsWriterWasKilledIsNeverAHalfTruth) {
  in_another_process([&] {
    RunFileWriter writer = make();
    append_all_tables(writer, sample_evidence());
    writer.flush();
    ::_exit(0);
  });
  const Evidence sample = sample_evidence();
  const std::string whole = file_bytes(run_);
  for (std::size_t length = 1; length < whole.size(); length += 1 + whole.size() / 60) {
    write_bytes(path("cut"), whole.substr(0, length));
    try {
      expect_same(read_run_file(path("cut")), sample);  // only what holds nothing was cut off
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    }
  }
}

TEST_F(RunFileTest, AppendingAfterCloseIsADefect) {
  RunFileWriter writer = make();
  writer.close();
  EXPECT_NO_THROW(writer.close());
  const LegRow row;
  EXPECT_DEATH(writer.append(std::span(&row, 1)), "closed");
}

}  // namespace
}  // namespace lockstep::record
