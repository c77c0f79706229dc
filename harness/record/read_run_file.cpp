#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/hdf5/error.hpp"
#include "harness/hdf5/file.hpp"
#include "harness/hdf5/table.hpp"
#include "harness/record/run_file.hpp"
#include "harness/record/schema.hpp"

namespace lockstep::record {
namespace {

constexpr std::size_t kMostPlanBytes = 64U << 20U;
constexpr std::size_t kReadAtOnceBytes = 4U << 20U;

[[noreturn]] void refuse(const std::string& path, const std::string& why, const std::string& suggestion) {
  throw InputError(
      {.what = "cannot read " + path + " as a run file", .why = why, .suggestion = suggestion, .file = {}});
}

constexpr const char* kCopyAgain = "copy it again from where it was made";
constexpr const char* kGiveRunFile = "give the run.h5 that certify or lockstep-rank wrote, or its folder";

/// Size of the file; refuses what is no readable ordinary file, with the system's reason.
std::uint64_t readable_bytes(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!fd.valid() || ::fstat(fd.get(), &info) != 0)
    refuse(path, std::strerror(errno), "check the path");
  if (S_ISDIR(info.st_mode))
    refuse(path, "it is a folder", "give the run.h5 inside it");
  if (!S_ISREG(info.st_mode))
    refuse(path, "it is no ordinary file", "check the path");
  if (info.st_size == 0)
    refuse(path, "it is empty", kCopyAgain);
  return static_cast<std::uint64_t>(info.st_size);
}

hdf5::File open_whatever_happened(const std::string& path) {
  try {
    return hdf5::File::open(path, hdf5::Access::read_only);
  } catch (const hdf5::Error& first) {
    // A writer is at work, or was killed: then the file says so, and only a follower may open it.
    try {
      return hdf5::File::open(path, hdf5::Access::swmr_read);
    } catch (const hdf5::Error&) {
      if (!hdf5::has_hdf5_signature(path))
        refuse(path, "it is no HDF5 file", kGiveRunFile);
      if (first.stack().find("truncated") != std::string::npos ||
          first.stack().find("eof") != std::string::npos)
        refuse(path, "it is truncated", kCopyAgain);
      refuse(path, "it is damaged, or no run file: " + first.stack(), kCopyAgain);
    }
  }
}

int schema_version_of(const std::string& path, const std::string& text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 1)
    refuse(path, fmt::format("its schema_version is \"{}\"", text), kCopyAgain);
  return number;
}

void check_format(const std::string& path, const hdf5::File& file) {
  for (const char* name : {"format", "schema_version", "lockstep_version", "created_utc"}) {
    if (!file.has_root_attribute(name))
      refuse(path, fmt::format("it is an HDF5 file without Lockstep's attribute \"{}\"", name), kGiveRunFile);
  }
  const std::string format = file.read_root_attribute("format");
  if (format != kRunFileFormat)
    refuse(path, fmt::format("its format is \"{}\", not \"{}\"", format, kRunFileFormat), kGiveRunFile);
  const int stored = schema_version_of(path, file.read_root_attribute("schema_version"));
  if (stored > kSchemaVersion) {
    refuse(path,
           fmt::format("its schema version {} is newer than {}, the newest that this version knows", stored,
                       kSchemaVersion),
           fmt::format("read it with Lockstep {} or newer", file.read_root_attribute("lockstep_version")));
  }
  if (stored < kSchemaVersion) {
    refuse(path,
           fmt::format("its schema version {} is older than {}, and lacks what this version judges by",
                       stored, kSchemaVersion),
           fmt::format("read it with Lockstep {}", file.read_root_attribute("lockstep_version")));
  }
}

template <class Row>
void check_columns(const std::string& path, const hdf5::File& file, const std::string& dataset) {
  const std::vector<hdf5::Member> stored = hdf5::Table::columns(file, dataset);
  for (const hdf5::Member& wanted : layout<Row>().members) {
    const auto found = std::find_if(stored.begin(), stored.end(),
                                    [&](const hdf5::Member& member) { return member.name == wanted.name; });
    if (found == stored.end())
      refuse(path, fmt::format("{} has no column \"{}\"", dataset, wanted.name), kCopyAgain);
    if (hdf5::type_name(*found) != hdf5::type_name(wanted)) {
      refuse(path,
             fmt::format("column \"{}\" of {} is {}, not {}", wanted.name, dataset, hdf5::type_name(*found),
                         hdf5::type_name(wanted)),
             kCopyAgain);
    }
  }
}

/// A killed writer may leave rows inside the extent that were never stored. They read as bytes of 0xff, which
/// no row of ours can hold, and they are always the last ones.
bool is_unwritten(std::span<const std::byte> row) {
  return std::all_of(row.begin(), row.end(), [](std::byte byte) { return byte == std::byte{0xff}; });
}

template <class Row>
std::vector<Row> read_table(const std::string& path, const hdf5::File& file) {
  const std::string dataset = std::string("/") + table<Row>().name;
  if (!file.has(dataset))
    refuse(path, "it has no table " + dataset, kCopyAgain);
  check_columns<Row>(path, file, dataset);
  const hdf5::Table stored = hdf5::Table::open(file, dataset, layout<Row>());
  const std::size_t row_bytes = layout<Row>().bytes;
  // Tables are not compressed, so a table larger than its file is a lie that would only eat memory.
  if (stored.rows() > readable_bytes(path) / row_bytes + table<Row>().chunk_rows)
    refuse(path, fmt::format("{} claims {} rows, more than the file can hold", dataset, stored.rows()),
           kCopyAgain);
  stored.expect_within(readable_bytes(path));
  std::vector<Row> rows;
  rows.reserve(stored.rows());
  const std::uint64_t rows_at_once = std::max<std::uint64_t>(1, kReadAtOnceBytes / row_bytes);
  std::vector<std::byte> bytes;
  for (std::uint64_t first = 0; first < stored.rows(); first += rows_at_once) {
    const std::uint64_t count = std::min(rows_at_once, stored.rows() - first);
    bytes.resize(count * row_bytes);
    stored.read(first, bytes);
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto row = std::span<const std::byte>(bytes).subspan(i * row_bytes, row_bytes);
      if (is_unwritten(row))
        return rows;
      rows.push_back(decode<Row>(row));
    }
  }
  return rows;
}

}  // namespace

bool was_left_open(const std::string& path) {
  try {
    static_cast<void>(hdf5::File::open(path, hdf5::Access::read_only));
    return false;
  } catch (const hdf5::Error&) {
  }
  try {
    static_cast<void>(hdf5::File::open(path, hdf5::Access::swmr_read));
    return true;
  } catch (const hdf5::Error&) {
    return false;
  }
}

Evidence read_run_file(const std::string& path) {
  readable_bytes(path);
  const hdf5::File file = open_whatever_happened(path);
  try {
    check_format(path, file);
    Evidence evidence;
    evidence.schema_version = file.read_root_attribute("schema_version");
    evidence.lockstep_version = file.read_root_attribute("lockstep_version");
    evidence.created_utc = file.read_root_attribute("created_utc");
    if (!file.has("/plan/text"))
      refuse(path, "it has no /plan/text", kCopyAgain);
    evidence.plan_text = file.read_text("/plan/text", kMostPlanBytes, readable_bytes(path));
    for_each_table(
        [&]<class Row>(std::vector<Row> Evidence::*rows) { evidence.*rows = read_table<Row>(path, file); });
    return evidence;
  } catch (const hdf5::Error& error) {
    refuse(path, "it is damaged: " + error.stack(), kCopyAgain);
  }
}

}  // namespace lockstep::record
