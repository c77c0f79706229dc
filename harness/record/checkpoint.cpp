#include "harness/record/checkpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/posix.hpp"

namespace lockstep::record {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMagic = 0x315452415053434cULL;  // "LCSPART1"
constexpr std::size_t kChunkBytes = 1U << 20U;
constexpr const char* kMarker = "complete";

struct Header {
  std::uint64_t magic;
  std::uint64_t bytes;
  std::uint64_t checksum;
  std::uint32_t step;
  std::uint32_t rank;
};

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

void write_all(int fd, std::span<const std::byte> bytes, std::uint64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t wrote = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR)
      continue;
    if (wrote < 0)
      fail("cannot write " + path);
    bytes = bytes.subspan(static_cast<std::size_t>(wrote));
    offset += static_cast<std::uint64_t>(wrote);
  }
}

/// What was there to read; less than asked at the end of the file.
std::size_t read_some(int fd, std::span<std::byte> bytes, std::uint64_t offset, const std::string& path) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got =
        ::pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      fail("cannot read " + path);
    if (got == 0)
      break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

/// Contents of a part, chunk by chunk; the same for the same step and rank.
class Contents {
 public:
  Contents(std::uint32_t step, std::uint32_t rank)
      : seed_(mix64(std::uint64_t{step} << 32U | rank)), words_(kChunkBytes / sizeof(std::uint64_t)) {}
  [[nodiscard]] std::span<const std::byte> chunk(std::uint64_t offset, std::uint64_t bytes) {
    const std::uint64_t first = offset / sizeof(std::uint64_t);
    for (std::size_t i = 0; i < words_.size(); ++i)
      words_[i] = mix64(seed_ + first + i);
    return std::as_bytes(std::span(words_)).first(std::min<std::uint64_t>(kChunkBytes, bytes));
  }

 private:
  std::uint64_t seed_;
  std::vector<std::uint64_t> words_;
};

void write_file(const std::string& path, Header& header) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!fd.valid())
    fail("cannot create " + path);
  Contents contents(header.step, header.rank);
  for (std::uint64_t done = 0; done < header.bytes; done += kChunkBytes) {
    const std::span<const std::byte> chunk = contents.chunk(done, header.bytes - done);
    header.checksum = checksum64(chunk, header.checksum);
    write_all(fd.get(), chunk, sizeof(Header) + done, path);
  }
  write_all(fd.get(), std::as_bytes(std::span(&header, 1)), 0, path);
  if (::fsync(fd.get()) != 0)
    fail("cannot flush " + path);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);  // so that it is read from where it was written to
}

std::optional<std::uint32_t> number(const std::string& text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty())
    return std::nullopt;
  return value;
}

/// Numbers of the step folders that there are.
std::vector<std::uint32_t> steps_in(const std::string& folder) {
  const std::string prefix = "step-";
  std::vector<std::uint32_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (const auto step = name.starts_with(prefix) ? number(name.substr(prefix.size())) : std::nullopt)
      steps.push_back(*step);
  }
  return steps;
}

}  // namespace

std::string checkpoint_folder_name(const LegRow& leg) {
  return fmt::format("checkpoint-{}-r{}", leg.name, leg.round);
}

std::string checkpoint_step_name(std::uint32_t step) {
  return fmt::format("step-{}", step);
}

std::string checkpoint_part_name(std::uint32_t rank) {
  return fmt::format("rank-{:05}.part", rank);
}

void mark_complete(const std::string& folder, const CompleteCheckpoint& checkpoint) {
  write_text_file(folder + "/" + checkpoint_step_name(checkpoint.step) + "/" + kMarker,
                  fmt::format("step={}\nranks={}\n", checkpoint.step, checkpoint.ranks));
}

std::optional<CompleteCheckpoint> complete_checkpoint(const std::string& folder, std::uint32_t step) {
  std::string text;
  try {
    text = read_text_file(folder + "/" + checkpoint_step_name(step) + "/" + kMarker);
  } catch (const InputError&) {
    return std::nullopt;
  }
  CompleteCheckpoint found;
  if (std::sscanf(text.c_str(), "step=%u\nranks=%u\n", &found.step, &found.ranks) != 2 ||
      found.step != step || found.ranks == 0)
    return std::nullopt;
  return found;
}

std::optional<CompleteCheckpoint> latest_checkpoint(const std::string& folder) {
  std::optional<CompleteCheckpoint> latest;
  for (const std::uint32_t step : steps_in(folder)) {
    const auto found = complete_checkpoint(folder, step);
    if (found && (!latest || found->step > latest->step))
      latest = found;
  }
  return latest;
}

void remove_checkpoints_before(const std::string& folder, std::uint32_t step) noexcept {
  try {
    for (const std::uint32_t found : steps_in(folder)) {
      std::error_code error;
      if (found < step)
        fs::remove_all(folder + "/" + checkpoint_step_name(found), error);
    }
  } catch (const std::exception&) {
    // No memory for a name: it stays.
  }
}

CheckpointPart write_checkpoint_part(const std::string& path, std::uint32_t step, std::uint32_t rank,
                                     std::uint64_t bytes) {
  Header header{.magic = kMagic, .bytes = bytes, .checksum = 0, .step = step, .rank = rank};
  try {
    write_file(path, header);
  } catch (const std::system_error&) {
    ::unlink(path.c_str());
    throw;
  }
  CheckpointPart part = read_checkpoint_part(path);
  part.verified = part.verified && part.checksum == header.checksum;
  return part;
}

CheckpointPart read_checkpoint_part(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid())
    fail("cannot open " + path);
  Header header{};
  if (read_some(fd.get(), std::as_writable_bytes(std::span(&header, 1)), 0, path) != sizeof header ||
      header.magic != kMagic)
    throw RunError({.what = path + " is no part of a checkpoint", .why = {}, .suggestion = {}, .file = {}});
  CheckpointPart part{.step = header.step, .rank = header.rank};
  std::vector<std::byte> chunk(kChunkBytes);
  while (true) {
    const std::size_t got = read_some(fd.get(), chunk, sizeof(Header) + part.bytes, path);
    if (got == 0)
      break;
    part.checksum = checksum64(std::span(chunk).first(got), part.checksum);
    part.bytes += got;
  }
  part.verified = part.bytes == header.bytes && part.checksum == header.checksum;
  return part;
}

std::uint64_t checkpoint_share(std::uint64_t bytes, std::uint32_t rank, std::uint32_t ranks) {
  LOCKSTEP_EXPECT(rank < ranks, "there is no such rank");
  return bytes / ranks + (rank < bytes % ranks ? 1 : 0);
}

}  // namespace lockstep::record
