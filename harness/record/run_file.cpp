#include "harness/record/run_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <tuple>

#include <fcntl.h>
#include <fmt/core.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/version.hpp"
#include "harness/hdf5/error.hpp"
#include "harness/hdf5/file.hpp"
#include "harness/hdf5/table.hpp"
#include "harness/record/schema.hpp"

namespace lockstep::record {
namespace {

constexpr std::byte kUnwritten{0xff};  // see read_run_file.cpp
constexpr std::size_t kMostEncodedBytes = 1U << 20U;

[[noreturn]] void refuse(const std::string& what, const std::string& why, const std::string& suggestion) {
  throw InputError({.what = what, .why = why, .suggestion = suggestion, .file = {}});
}

[[noreturn]] void fail_to_write(const std::string& path, const std::string& why, int error) {
  const char* suggestion = error == ENOSPC || error == EDQUOT
                               ? "free some space, or write the results to another disk with --out"
                               : "look at the disk, or write the results to another one with --out";
  throw RunError({.what = "cannot write " + path, .why = why, .suggestion = suggestion, .file = {}});
}

[[noreturn]] void fail_to_write(const std::string& path, const hdf5::Error& error) {
  const int number = error.system_error();
  fail_to_write(path, number != 0 ? std::strerror(number) : error.what(), number);
}

/// Makes the empty file and says clearly why it cannot be made.
void reserve_name(const std::string& path, const std::string& temporary) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0)
    refuse("cannot write " + path, "it exists already",
           "evidence is never overwritten: move it away, or give another --out");
  const UniqueFd fd(::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (fd.valid())
    return;
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT || error == EIO || error == EMFILE || error == ENFILE)
    fail_to_write(path, std::strerror(error), error);
  refuse("cannot write " + path, std::strerror(error), "give a folder that you may write to with --out");
}

/// Gives the file its name, which must still be free.
void publish_name(const std::string& temporary, const std::string& path) {
  if (::syscall(SYS_renameat2, AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0)
    return;
  int error = errno;
  if (error == EINVAL || error == ENOSYS) {  // a file system without that flag
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0) {
      if (std::rename(temporary.c_str(), path.c_str()) == 0)
        return;
      error = errno;
    } else {
      error = EEXIST;
    }
  }
  if (error == EEXIST)
    refuse("cannot write " + path, "somebody else made it meanwhile", "give another --out");
  fail_to_write(path, std::strerror(error), error);
}

template <class Row>
hdf5::Table create_table(const hdf5::File& file) {
  const TableSpec<Row>& spec = table<Row>();
  hdf5::Table made =
      hdf5::Table::create(file, std::string("/") + spec.name, layout<Row>(), spec.chunk_rows, kUnwritten);
  made.write_attribute("about", spec.about);
  for (const Column<Row>& column : spec.columns) {
    made.write_attribute(std::string("unit.") + column.name, column.unit);
    made.write_attribute(std::string("about.") + column.name, column.about);
  }
  return made;
}

/// The table of one row type, and whether it holds rows that readers do not see yet.
template <class Row>
struct Slot {
  std::optional<hdf5::Table> table;
  bool dirty = false;
};

}  // namespace

struct RunFileWriter::State {
  std::string path;
  std::optional<hdf5::File> file;  // before the tables, which are closed first
  std::tuple<Slot<LegRow>, Slot<LegEndRow>, Slot<RankRow>, Slot<GraphRow>, Slot<StepRow>, Slot<CommRow>,
             Slot<OpRow>, Slot<ClockRow>, Slot<StallRow>, Slot<FailureRow>, Slot<IncidentRow>,
             Slot<CheckpointRow>, Slot<ProbeRow>, Slot<DeviceRow>, Slot<HealthRow>, Slot<DrillRow>,
             Slot<EventRow>, Slot<ProvenanceRow>>
      slots;
  std::vector<std::byte> encoded;

  template <class Visitor>
  void for_each_slot(Visitor&& visit) {
    std::apply([&visit](auto&... slot) { (visit(slot), ...); }, slots);
  }

  void make(const std::string& temporary, const std::string& plan_text, const std::string& created_utc) {
    file = hdf5::File::create(temporary);
    file->write_root_attribute("format", kRunFileFormat);
    file->write_root_attribute("schema_version", std::to_string(kSchemaVersion));
    file->write_root_attribute("lockstep_version", version());
    file->write_root_attribute("created_utc", created_utc);
    file->create_group("/plan");
    file->write_text("/plan/text", plan_text);
    for_each_slot([this]<class Row>(Slot<Row>& slot) { slot.table = create_table<Row>(*file); });
    file->flush();
    file->start_swmr_write();
  }

  template <class Row>
  void append(std::span<const Row> rows) {
    LOCKSTEP_EXPECT(file.has_value(), "the run file is closed");
    Slot<Row>& slot = std::get<Slot<Row>>(slots);
    const std::size_t row_bytes = layout<Row>().bytes;
    const std::size_t rows_at_once = std::max<std::size_t>(1, kMostEncodedBytes / row_bytes);
    try {
      while (!rows.empty()) {
        const std::size_t count = std::min(rows.size(), rows_at_once);
        encoded.resize(count * row_bytes);
        for (std::size_t i = 0; i < count; ++i)
          encode(rows[i], std::span(encoded).subspan(i * row_bytes, row_bytes));
        slot.dirty = true;
        slot.table->append(encoded);
        rows = rows.subspan(count);
      }
    } catch (const hdf5::Error& error) {
      fail_to_write(path, error);
    }
  }

  void flush() {
    for_each_slot([](auto& slot) {
      if (slot.dirty)
        slot.table->flush();
      slot.dirty = false;
    });
  }
};

RunFileWriter::RunFileWriter(const std::string& path, const std::string& plan_text,
                             const std::string& created_utc)
    : state_(std::make_unique<State>()) {
  state_->path = path;
  // Under its own name the file appears only when readers can open it, whatever happens to this process.
  const std::string temporary = path + ".new" + std::to_string(::getpid());
  reserve_name(path, temporary);
  try {
    state_->make(temporary, plan_text, created_utc);
    publish_name(temporary, path);
  } catch (const hdf5::Error& error) {
    ::unlink(temporary.c_str());
    fail_to_write(path, error);
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

// Handles close without a word; the file's own comes last.
RunFileWriter::~RunFileWriter() = default;
RunFileWriter::RunFileWriter(RunFileWriter&&) noexcept = default;
RunFileWriter& RunFileWriter::operator=(RunFileWriter&&) noexcept = default;

void RunFileWriter::append(std::span<const LegRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const LegEndRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const RankRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const GraphRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const StepRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const CommRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const OpRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const ClockRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const StallRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const FailureRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const IncidentRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const CheckpointRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const ProbeRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const DeviceRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const HealthRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const DrillRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const EventRow> rows) {
  state_->append(rows);
}
void RunFileWriter::append(std::span<const ProvenanceRow> rows) {
  state_->append(rows);
}

void RunFileWriter::flush() {
  LOCKSTEP_EXPECT(state_->file.has_value(), "the run file is closed");
  try {
    state_->flush();
  } catch (const hdf5::Error& error) {
    fail_to_write(state_->path, error);
  }
}

void RunFileWriter::close() {
  if (!state_->file)
    return;
  try {
    state_->flush();
    state_->for_each_slot([](auto& slot) { slot.table->close(); });
    state_->file->close();
    state_->file.reset();
  } catch (const hdf5::Error& error) {
    fail_to_write(state_->path, error);
  }
}

}  // namespace lockstep::record
