#pragma once

#include <hdf5.h>

#include "harness/hdf5/error.hpp"
#include "harness/hdf5/handle.hpp"

/// What every source file of this room uses to call the library. Internal: nothing outside includes it.
namespace lockstep::hdf5::detail {

/// A kill can split a write where two pages of memory meet, so nothing that is checksummed and written again
/// may lie across such a place: metadata are kept in pages of this size, see File::create().
constexpr hsize_t kPageBytes = 4096;

/// Before the first call: the library's own printing and its clean-up at exit are switched off. That clean-up
/// would try to write again what could not be written, after main() has returned.
void initialise() noexcept;

/// Throws Error with the library's error stack, which it clears.
[[noreturn]] void fail(const char* call);

inline void check(herr_t status, const char* call) {
  if (status < 0)
    fail(call);
}

inline Id check_id(hid_t id, const char* call) {
  if (id < 0)
    fail(call);
  return id;
}

inline bool check_answer(htri_t answer, const char* call) {
  if (answer < 0)
    fail(call);
  return answer > 0;
}

}  // namespace lockstep::hdf5::detail
