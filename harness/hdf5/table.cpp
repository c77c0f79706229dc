#include "harness/hdf5/table.hpp"

#include "harness/core/error.hpp"
#include "harness/hdf5/check.hpp"

namespace lockstep::hdf5 {
namespace {

using detail::check;
using detail::check_id;

enum class Form : std::uint8_t { memory, stored };

Id number_type(Scalar type, Form form) {
  const bool stored = form == Form::stored;
  switch (type) {
    case Scalar::int32:
      return stored ? H5T_STD_I32LE : H5T_NATIVE_INT32;
    case Scalar::uint32:
      return stored ? H5T_STD_U32LE : H5T_NATIVE_UINT32;
    case Scalar::int64:
      return stored ? H5T_STD_I64LE : H5T_NATIVE_INT64;
    case Scalar::uint64:
      return stored ? H5T_STD_U64LE : H5T_NATIVE_UINT64;
    case Scalar::float64:
      return stored ? H5T_IEEE_F64LE : H5T_NATIVE_DOUBLE;
    case Scalar::text:
    case Scalar::other:
      break;
  }
  LOCKSTEP_EXPECT(false, "no number");
  return -1;
}

DatatypeHandle row_type(const RowLayout& layout, Form form) {
  DatatypeHandle row(check_id(H5Tcreate(H5T_COMPOUND, layout.bytes), "H5Tcreate"));
  for (const Member& member : layout.members) {
    const char* name = member.name.c_str();
    if (member.type == Scalar::text) {
      const DatatypeHandle text = detail::text_type(member.bytes);
      check(H5Tinsert(row.get(), name, member.offset, text.get()), "H5Tinsert");
    } else {
      check(H5Tinsert(row.get(), name, member.offset, number_type(member.type, form)), "H5Tinsert");
    }
  }
  return row;
}

Scalar scalar_of(Id type, std::size_t bytes) {
  switch (H5Tget_class(type)) {
    case H5T_STRING:
      return H5Tis_variable_str(type) == 0 ? Scalar::text : Scalar::other;
    case H5T_FLOAT:
      return bytes == 8 ? Scalar::float64 : Scalar::other;
    case H5T_INTEGER: {
      const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
      if (bytes == 4)
        return is_signed ? Scalar::int32 : Scalar::uint32;
      if (bytes == 8)
        return is_signed ? Scalar::int64 : Scalar::uint64;
      return Scalar::other;
    }
    default:
      return Scalar::other;
  }
}

/// Extent of a one-dimensional dataset; throws for any other shape.
std::uint64_t row_count(Id dataset) {
  const DataspaceHandle space(check_id(H5Dget_space(dataset), "H5Dget_space"));
  if (H5Sget_simple_extent_ndims(space.get()) != 1)
    throw Error("reading a table", "it is not one-dimensional", 0);
  hsize_t rows = 0;
  if (H5Sget_simple_extent_dims(space.get(), &rows, nullptr) < 0)
    detail::fail("H5Sget_simple_extent_dims");
  return rows;
}

}  // namespace

std::string type_name(const Member& member) {
  switch (member.type) {
    case Scalar::int32:
      return "int32";
    case Scalar::uint32:
      return "uint32";
    case Scalar::int64:
      return "int64";
    case Scalar::uint64:
      return "uint64";
    case Scalar::float64:
      return "float64";
    case Scalar::text:
      return "string[" + std::to_string(member.bytes) + "]";
    case Scalar::other:
      break;
  }
  return "other";
}

Table Table::create(const File& file, const std::string& path, const RowLayout& layout,
                    std::uint64_t chunk_rows, std::byte fill) {
  DatatypeHandle memory = row_type(layout, Form::memory);
  const DatatypeHandle stored = row_type(layout, Form::stored);
  const hsize_t none = 0;
  const hsize_t unlimited = H5S_UNLIMITED;
  const DataspaceHandle space(check_id(H5Screate_simple(1, &none, &unlimited), "H5Screate_simple"));
  const PropertyListHandle properties(check_id(H5Pcreate(H5P_DATASET_CREATE), "H5Pcreate"));
  const hsize_t chunk = chunk_rows;
  check(H5Pset_chunk(properties.get(), 1, &chunk), "H5Pset_chunk");
  const std::vector<std::byte> unwritten(layout.bytes, fill);
  check(H5Pset_fill_value(properties.get(), memory.get(), unwritten.data()), "H5Pset_fill_value");
  // Attributes lie in a heap of their own, written once: the object's header is written at every flush and
  // must stay small enough for one page, see File::create().
  check(H5Pset_attr_phase_change(properties.get(), 0, 0), "H5Pset_attr_phase_change");
  DatasetHandle dataset(check_id(H5Dcreate2(file.id(), path.c_str(), stored.get(), space.get(), H5P_DEFAULT,
                                            properties.get(), H5P_DEFAULT),
                                 "H5Dcreate2"));
  H5O_info_t object;
  check(H5Oget_info2(dataset.get(), &object, H5O_INFO_HDR), "H5Oget_info2");
  LOCKSTEP_EXPECT(object.hdr.space.total <= detail::kPageBytes, "a kill could split this table's header");
  return {std::move(dataset), std::move(memory), layout.bytes, 0};
}

Table Table::open(const File& file, const std::string& path, const RowLayout& layout) {
  DatasetHandle dataset(check_id(H5Dopen2(file.id(), path.c_str(), H5P_DEFAULT), "H5Dopen2"));
  const std::uint64_t rows = row_count(dataset.get());
  return {std::move(dataset), row_type(layout, Form::memory), layout.bytes, rows};
}

std::vector<Member> Table::columns(const File& file, const std::string& path) {
  const DatasetHandle dataset(check_id(H5Dopen2(file.id(), path.c_str(), H5P_DEFAULT), "H5Dopen2"));
  const DatatypeHandle row(check_id(H5Dget_type(dataset.get()), "H5Dget_type"));
  const DataspaceHandle space(check_id(H5Dget_space(dataset.get()), "H5Dget_space"));
  if (H5Tget_class(row.get()) != H5T_COMPOUND || H5Sget_simple_extent_ndims(space.get()) != 1)
    return {};
  const int count = H5Tget_nmembers(row.get());
  if (count < 0)
    detail::fail("H5Tget_nmembers");
  std::vector<Member> members;
  for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
    char* name = H5Tget_member_name(row.get(), i);
    if (name == nullptr)
      detail::fail("H5Tget_member_name");
    Member member{
        .name = name, .type = Scalar::other, .bytes = 0, .offset = H5Tget_member_offset(row.get(), i)};
    H5free_memory(name);
    const DatatypeHandle type(check_id(H5Tget_member_type(row.get(), i), "H5Tget_member_type"));
    member.bytes = H5Tget_size(type.get());
    member.type = scalar_of(type.get(), member.bytes);
    members.push_back(std::move(member));
  }
  return members;
}

void Table::append(std::span<const std::byte> rows) {
  LOCKSTEP_EXPECT(rows.size() % row_bytes_ == 0, "a part of a row cannot be appended");
  if (rows.empty())
    return;
  const hsize_t first = rows_;
  const hsize_t count = rows.size() / row_bytes_;
  extend(first + count);
  const DataspaceHandle stored(check_id(H5Dget_space(dataset_.get()), "H5Dget_space"));
  check(H5Sselect_hyperslab(stored.get(), H5S_SELECT_SET, &first, nullptr, &count, nullptr),
        "H5Sselect_hyperslab");
  const DataspaceHandle memory(check_id(H5Screate_simple(1, &count, nullptr), "H5Screate_simple"));
  check(H5Dwrite(dataset_.get(), row_type_.get(), memory.get(), stored.get(), H5P_DEFAULT, rows.data()),
        "H5Dwrite");
}

void Table::extend(std::uint64_t rows) {
  const hsize_t extent = rows;
  check(H5Dset_extent(dataset_.get(), &extent), "H5Dset_extent");
  rows_ = rows;
}

void Table::read(std::uint64_t first, std::span<std::byte> into) const {
  LOCKSTEP_EXPECT(into.size() % row_bytes_ == 0, "a part of a row cannot be read");
  if (into.empty())
    return;
  const hsize_t begin = first;
  const hsize_t count = into.size() / row_bytes_;
  LOCKSTEP_EXPECT(count <= rows_ && begin <= rows_ - count, "rows beyond the table's end");
  const DataspaceHandle stored(check_id(H5Dget_space(dataset_.get()), "H5Dget_space"));
  check(H5Sselect_hyperslab(stored.get(), H5S_SELECT_SET, &begin, nullptr, &count, nullptr),
        "H5Sselect_hyperslab");
  const DataspaceHandle memory(check_id(H5Screate_simple(1, &count, nullptr), "H5Screate_simple"));
  check(H5Dread(dataset_.get(), row_type_.get(), memory.get(), stored.get(), H5P_DEFAULT, into.data()),
        "H5Dread");
}

void Table::expect_within(std::uint64_t file_bytes) const {
  const PropertyListHandle properties(check_id(H5Dget_create_plist(dataset_.get()), "H5Dget_create_plist"));
  hsize_t chunk_rows = 0;
  if (H5Pget_layout(properties.get()) != H5D_CHUNKED || H5Pget_chunk(properties.get(), 1, &chunk_rows) < 0)
    throw Error("reading a table", "it is not stored in chunks", 0);
  for (hsize_t first = 0; first < rows_; first += chunk_rows) {
    unsigned filters = 0;
    haddr_t address = HADDR_UNDEF;
    hsize_t bytes = 0;
    check(H5Dget_chunk_info_by_coord(dataset_.get(), &first, &filters, &address, &bytes),
          "H5Dget_chunk_info_by_coord");
    if (address != HADDR_UNDEF && (address > file_bytes || bytes > file_bytes - address))
      throw Error("reading a table", "the file is truncated: rows lie behind its end", 0);
  }
}

void Table::flush() {
  check(H5Dflush(dataset_.get()), "H5Dflush");
}

}  // namespace lockstep::hdf5
