#include "harness/hdf5/handle.hpp"

#include <type_traits>

#include "harness/core/error.hpp"
#include "harness/hdf5/check.hpp"

namespace lockstep::hdf5::detail {
namespace {

static_assert(std::is_same_v<hid_t, Id>, "identifiers of this library version are of another width");

struct Closer {
  herr_t (*function)(hid_t);
  const char* name;
};

Closer closer(Kind kind) {
  switch (kind) {
    case Kind::file:
      return {H5Fclose, "H5Fclose"};
    case Kind::group:
      return {H5Gclose, "H5Gclose"};
    case Kind::dataset:
      return {H5Dclose, "H5Dclose"};
    case Kind::dataspace:
      return {H5Sclose, "H5Sclose"};
    case Kind::datatype:
      return {H5Tclose, "H5Tclose"};
    case Kind::attribute:
      return {H5Aclose, "H5Aclose"};
    case Kind::property_list:
      return {H5Pclose, "H5Pclose"};
  }
  LOCKSTEP_EXPECT(false, "unknown kind of HDF5 identifier");
  return {};
}

}  // namespace

void close(Kind kind, Id id) {
  const Closer with = closer(kind);
  check(with.function(id), with.name);
}

void close_quietly(Kind kind, Id id) noexcept {
  if (closer(kind).function(id) < 0)
    H5Eclear2(H5E_DEFAULT);
}

}  // namespace lockstep::hdf5::detail
