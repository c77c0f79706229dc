#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

/// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~UniqueFd() { reset(); }
  void reset() noexcept;
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Opens /dev/null in the place of standard streams that are closed, so that no other descriptor takes their
/// number.
void open_standard_streams();

/// Closes every descriptor from 3 on but these; what is not valid among them is ignored.
void close_all_but(std::vector<int> kept);

/// A shared mapping of a whole file.
class MappedFile {
 public:
  /// Makes (or empties) the file, reserves all its blocks, and maps it read-write with every page present.
  /// Reserving first means that a full disk is an error here and not a SIGBUS at a later store.
  /// Throws RunError.
  static MappedFile create(const std::string& path, std::size_t bytes);
  /// Maps an existing file read-only. Throws RunError; an empty file gives an empty mapping.
  static MappedFile open_readonly(const std::string& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  [[nodiscard]] std::span<std::byte> bytes() { return {data_, bytes_}; }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, bytes_}; }

 private:
  MappedFile(std::byte* data, std::size_t bytes) : data_(data), bytes_(bytes) {}
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// The whole file as text. Throws InputError when it cannot be read.
[[nodiscard]] std::string read_text_file(const std::string& path);

/// Writes the whole text to `path` or leaves what was there: written beside it, synced, renamed. Throws
/// RunError.
void write_text_file(const std::string& path, std::string_view text);

/// Short host name as gethostname gives it, cut at the first dot.
[[nodiscard]] std::string short_host_name();

/// Identifies one boot of one kernel: processes with equal values share CLOCK_MONOTONIC. Empty if unreadable.
[[nodiscard]] std::string boot_id();

/// Number of CPUs that this process may run on (its affinity mask).
[[nodiscard]] int usable_cpus();

}  // namespace lockstep
