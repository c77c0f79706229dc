#pragma once

#include <cstddef>
#include <string>

#include "harness/hdf5/handle.hpp"

namespace lockstep::hdf5 {

enum class Access : std::uint8_t {
  read_only,  ///< refused while somebody writes, and after a writer was killed
  swmr_read,  ///< beside a writer in SWMR mode, or after such a writer was killed
};

/// A file of the 1.10 format (superblock 3), which single-writer-multiple-readers (SWMR) access needs. Serial
/// and single-threaded. Every function throws Error unless it says otherwise.
///
/// Sharp edge: all datasets of a file must be closed before the file is; close() refuses otherwise.
class File {
 public:
  /// Makes the file, or empties an existing one. Its metadata are laid out so that killing the writer leaves
  /// no object half-written, as long as the object's metadata fit a page (4 KiB).
  static File create(const std::string& path);
  /// Never changes the file, whatever its state.
  static File open(const std::string& path, Access access);

  /// From here on readers may follow. Nothing can be created any more: no dataset, group or attribute.
  void start_swmr_write();
  void flush();
  void close() { handle_.close(); }
  [[nodiscard]] Id id() const { return handle_.get(); }

  /// True when a link of that absolute path (`/plan/text`) leads somewhere.
  [[nodiscard]] bool has(const std::string& path) const;
  void create_group(const std::string& path);
  /// A scalar of fixed length: UTF-8, padded with NUL. The group above it must exist.
  void write_text(const std::string& path, const std::string& text);
  /// Refuses texts above `most_bytes`, texts that lie behind `file_bytes` (the file's size on disk now), and
  /// anything that is no fixed-length text.
  [[nodiscard]] std::string read_text(const std::string& path, std::size_t most_bytes,
                                      std::uint64_t file_bytes) const;

  void write_root_attribute(const std::string& name, const std::string& text);
  [[nodiscard]] bool has_root_attribute(const std::string& name) const;
  [[nodiscard]] std::string read_root_attribute(const std::string& name) const;

 private:
  explicit File(FileHandle handle) : handle_(std::move(handle)) {}
  FileHandle handle_;
};

/// True when the file begins like an HDF5 file; false also when it cannot be read.
[[nodiscard]] bool has_hdf5_signature(const std::string& path);

namespace detail {
/// Attributes of fixed-length UTF-8 text on an open object.
void write_attribute(Id object, const std::string& name, const std::string& text);
[[nodiscard]] bool has_attribute(Id object, const std::string& name);
[[nodiscard]] std::string read_attribute(Id object, const std::string& name);
/// A fixed-length UTF-8 type, padded with NUL.
[[nodiscard]] DatatypeHandle text_type(std::size_t bytes);
}  // namespace detail

}  // namespace lockstep::hdf5
