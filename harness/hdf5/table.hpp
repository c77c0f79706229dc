#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "harness/hdf5/file.hpp"
#include "harness/hdf5/handle.hpp"

namespace lockstep::hdf5 {

enum class Scalar : std::uint8_t { int32, uint32, int64, uint64, float64, text, other };

/// One column of a table: where its value lies in a row's bytes.
struct Member {
  std::string name;
  Scalar type = Scalar::other;
  std::size_t bytes = 0;   ///< 4 or 8; the fixed length of a text
  std::size_t offset = 0;  ///< from the row's begin
  [[nodiscard]] bool operator==(const Member&) const = default;
};

/// `uint32`, `float64`, `string[64]`; `other` for what a table of ours never holds.
[[nodiscard]] std::string type_name(const Member& member);

/// A row as bytes, in the byte order of the machine. Texts are UTF-8, padded with NUL.
struct RowLayout {
  std::vector<Member> members;
  std::size_t bytes = 0;
};

/// A dataset of rows, one-dimensional and extensible. Every function throws Error.
class Table {
 public:
  /// Stored little-endian in chunks of `chunk_rows` rows. Rows that are inside the extent and were never
  /// written read as bytes of `fill`.
  static Table create(const File& file, const std::string& path, const RowLayout& layout,
                      std::uint64_t chunk_rows, std::byte fill);
  /// `layout` is the row as the caller wants it; columns are matched by name.
  static Table open(const File& file, const std::string& path, const RowLayout& layout);
  /// The columns of a stored table, in order; empty when the dataset is no one-dimensional table.
  [[nodiscard]] static std::vector<Member> columns(const File& file, const std::string& path);

  [[nodiscard]] std::uint64_t rows() const { return rows_; }
  /// Throws when stored rows lie behind `file_bytes`, the file's size on disk now: a follower's view of a
  /// file that was cut reads such rows as zeros, without a word.
  void expect_within(std::uint64_t file_bytes) const;
  /// `rows` holds whole rows of the layout.
  void append(std::span<const std::byte> rows);
  /// Makes room for `rows` rows in all without storing any: new ones read as the fill.
  void extend(std::uint64_t rows);
  /// Rows [first, first + into.size() / layout.bytes).
  void read(std::uint64_t first, std::span<std::byte> into) const;
  /// Makes what was appended visible to readers.
  void flush();
  void close() { dataset_.close(); }

  void write_attribute(const std::string& name, const std::string& text) {
    detail::write_attribute(dataset_.get(), name, text);
  }
  [[nodiscard]] std::string read_attribute(const std::string& name) const {
    return detail::read_attribute(dataset_.get(), name);
  }

 private:
  Table(DatasetHandle dataset, DatatypeHandle row_type, std::size_t row_bytes, std::uint64_t rows)
      : dataset_(std::move(dataset)), row_type_(std::move(row_type)), row_bytes_(row_bytes), rows_(rows) {}
  DatasetHandle dataset_;
  DatatypeHandle row_type_;
  std::size_t row_bytes_ = 0;
  std::uint64_t rows_ = 0;
};

}  // namespace lockstep::hdf5
