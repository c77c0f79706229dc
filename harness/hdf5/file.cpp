#include "harness/hdf5/file.hpp"

#include <algorithm>
#include <array>
#include <fstream>

#include "harness/hdf5/check.hpp"

namespace lockstep::hdf5 {
namespace {

using detail::check;
using detail::check_answer;
using detail::check_id;

constexpr std::size_t kMostAttributeBytes = 65'536;
// A follower that finds half-written metadata looks again after 1, 2, 4, ... ns: 2^27 ns are 134 ms in all.
// The library's own 100 attempts would never end on a damaged file.
constexpr unsigned kReadAttempts = 27;

PropertyListHandle access_properties() {
  PropertyListHandle list(check_id(H5Pcreate(H5P_FILE_ACCESS), "H5Pcreate"));
  check(H5Pset_libver_bounds(list.get(), H5F_LIBVER_V110, H5F_LIBVER_V110), "H5Pset_libver_bounds");
  check(H5Pset_fclose_degree(list.get(), H5F_CLOSE_SEMI), "H5Pset_fclose_degree");
  // File systems without locks are common on clusters; a lock that cannot exist is no reason to refuse to
  // read.
  check(H5Pset_file_locking(list.get(), true, true), "H5Pset_file_locking");
  check(H5Pset_metadata_read_attempts(list.get(), kReadAttempts), "H5Pset_metadata_read_attempts");
  return list;
}

/// Metadata in pages of its own: what fits a page never lies across two.
[[maybe_unused]] PropertyListHandle creation_properties() {
  PropertyListHandle list(check_id(H5Pcreate(H5P_FILE_CREATE), "H5Pcreate"));
  check(H5Pset_file_space_strategy(list.get(), H5F_FSPACE_STRATEGY_PAGE, false, 1),
        "H5Pset_file_space_strategy");
  check(H5Pset_file_space_page_size(list.get(), detail::kPageBytes), "H5Pset_file_space_page_size");
  return list;
}

DataspaceHandle scalar() {
  return DataspaceHandle(check_id(H5Screate(H5S_SCALAR), "H5Screate"));
}

/// Bytes of a fixed-length text type; refuses every other type.
std::size_t fixed_text_bytes(Id type, std::size_t most_bytes) {
  const bool is_text =
      H5Tget_class(type) == H5T_STRING && !check_answer(H5Tis_variable_str(type), "H5Tis_variable_str");
  const std::size_t bytes = is_text ? H5Tget_size(type) : 0;
  if (bytes == 0 || bytes > most_bytes)
    throw Error("reading a text", is_text ? "it is longer than expected" : "it is no fixed-length text", 0);
  return bytes;
}

void expect_scalar(Id space) {
  if (H5Sget_simple_extent_npoints(space) != 1)
    throw Error("reading a text", "it is not a single value", 0);
}

std::string without_padding(std::string text) {
  text.resize(std::min(text.size(), text.find('\0')));
  return text;
}

}  // namespace

File File::create(const std::string& path) {
  detail::initialise();
  const PropertyListHandle creation = creation_properties();
  const PropertyListHandle access = access_properties();
  return File(FileHandle(
      check_id(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), "H5Fcreate")));
}

File File::open(const std::string& path, Access access) {
  detail::initialise();
  const PropertyListHandle properties = access_properties();
  const unsigned flags = H5F_ACC_RDONLY | (access == Access::swmr_read ? H5F_ACC_SWMR_READ : 0U);
  return File(FileHandle(check_id(H5Fopen(path.c_str(), flags, properties.get()), "H5Fopen")));
}

void File::start_swmr_write() {
  check(H5Fstart_swmr_write(id()), "H5Fstart_swmr_write");
}

void File::flush() {
  check(H5Fflush(id(), H5F_SCOPE_GLOBAL), "H5Fflush");
}

bool File::has(const std::string& path) const {
  // H5Lexists wants every step of the path checked before the next one.
  for (std::size_t slash = path.find('/', 1); slash != std::string::npos; slash = path.find('/', slash + 1)) {
    if (!check_answer(H5Lexists(id(), path.substr(0, slash).c_str(), H5P_DEFAULT), "H5Lexists"))
      return false;
  }
  return check_answer(H5Lexists(id(), path.c_str(), H5P_DEFAULT), "H5Lexists") &&
         check_answer(H5Oexists_by_name(id(), path.c_str(), H5P_DEFAULT), "H5Oexists_by_name");
}

void File::create_group(const std::string& path) {
  GroupHandle group(
      check_id(H5Gcreate2(id(), path.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), "H5Gcreate2"));
  group.close();
}

void File::write_text(const std::string& path, const std::string& text) {
  const DatatypeHandle type = detail::text_type(text.size());
  const DataspaceHandle space = scalar();
  DatasetHandle dataset(
      check_id(H5Dcreate2(id(), path.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
               "H5Dcreate2"));
  check(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.c_str()), "H5Dwrite");
  dataset.close();
}

std::string File::read_text(const std::string& path, std::size_t most_bytes, std::uint64_t file_bytes) const {
  const DatasetHandle dataset(check_id(H5Dopen2(id(), path.c_str(), H5P_DEFAULT), "H5Dopen2"));
  const DatatypeHandle stored(check_id(H5Dget_type(dataset.get()), "H5Dget_type"));
  const DataspaceHandle space(check_id(H5Dget_space(dataset.get()), "H5Dget_space"));
  expect_scalar(space.get());
  std::string text(fixed_text_bytes(stored.get(), most_bytes), '\0');
  const haddr_t address = H5Dget_offset(dataset.get());
  if (address != HADDR_UNDEF && (address > file_bytes || text.size() > file_bytes - address))
    throw Error("reading a text", "the file is truncated: the text lies behind its end", 0);
  H5Eclear2(H5E_DEFAULT);
  const DatatypeHandle type = detail::text_type(text.size());
  check(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.data()), "H5Dread");
  return without_padding(std::move(text));
}

void File::write_root_attribute(const std::string& name, const std::string& text) {
  detail::write_attribute(id(), name, text);
}

bool File::has_root_attribute(const std::string& name) const {
  return detail::has_attribute(id(), name);
}

std::string File::read_root_attribute(const std::string& name) const {
  return detail::read_attribute(id(), name);
}

bool has_hdf5_signature(const std::string& path) {
  constexpr std::array<char, 8> kSignature = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
  std::array<char, 8> first{};
  std::ifstream file(path, std::ios::binary);
  file.read(first.data(), first.size());
  return file.good() && first == kSignature;
}

namespace detail {

DatatypeHandle text_type(std::size_t bytes) {
  DatatypeHandle type(check_id(H5Tcopy(H5T_C_S1), "H5Tcopy"));
  check(H5Tset_size(type.get(), std::max<std::size_t>(1, bytes)),
        "H5Tset_size");  // the format knows no empty text
  check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "H5Tset_strpad");
  check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "H5Tset_cset");
  return type;
}

void write_attribute(Id object, const std::string& name, const std::string& text) {
  const DatatypeHandle type = text_type(text.size());
  const DataspaceHandle space = scalar();
  AttributeHandle attribute(check_id(
      H5Acreate2(object, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT), "H5Acreate2"));
  check(H5Awrite(attribute.get(), type.get(), text.c_str()), "H5Awrite");
  attribute.close();
}

bool has_attribute(Id object, const std::string& name) {
  return check_answer(H5Aexists(object, name.c_str()), "H5Aexists");
}

std::string read_attribute(Id object, const std::string& name) {
  const AttributeHandle attribute(check_id(H5Aopen(object, name.c_str(), H5P_DEFAULT), "H5Aopen"));
  const DatatypeHandle stored(check_id(H5Aget_type(attribute.get()), "H5Aget_type"));
  const DataspaceHandle space(check_id(H5Aget_space(attribute.get()), "H5Aget_space"));
  expect_scalar(space.get());
  std::string text(fixed_text_bytes(stored.get(), kMostAttributeBytes), '\0');
  const DatatypeHandle type = text_type(text.size());
  check(H5Aread(attribute.get(), type.get(), text.data()), "H5Aread");
  return without_padding(std::move(text));
}

}  // namespace detail
}  // namespace lockstep::hdf5
