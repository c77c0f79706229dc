#pragma once

#include <cstdint>
#include <utility>

namespace lockstep::hdf5 {

/// An identifier of the library (its hid_t).
using Id = std::int64_t;

enum class Kind : std::uint8_t { file, group, dataset, dataspace, datatype, attribute, property_list };

namespace detail {
void close(Kind kind, Id id);                   ///< throws Error
void close_quietly(Kind kind, Id id) noexcept;  ///< for destructors: an error is forgotten
}  // namespace detail

/// Owns one identifier. Move-only.
template <Kind kind>
class Handle {
 public:
  Handle() = default;
  explicit Handle(Id id) : id_(id) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, kNone)) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this != &other) {
      reset();
      id_ = std::exchange(other.id_, kNone);
    }
    return *this;
  }
  ~Handle() { reset(); }

  [[nodiscard]] Id get() const { return id_; }
  [[nodiscard]] bool valid() const { return id_ >= 0; }
  /// Closes and checks. The handle is empty afterwards, also when this throws.
  void close() {
    if (valid())
      detail::close(kind, std::exchange(id_, kNone));
  }
  /// Closes without a word.
  void reset() noexcept {
    if (valid())
      detail::close_quietly(kind, std::exchange(id_, kNone));
  }

 private:
  static constexpr Id kNone = -1;
  Id id_ = kNone;
};

using FileHandle = Handle<Kind::file>;
using GroupHandle = Handle<Kind::group>;
using DatasetHandle = Handle<Kind::dataset>;
using DataspaceHandle = Handle<Kind::dataspace>;
using DatatypeHandle = Handle<Kind::datatype>;
using AttributeHandle = Handle<Kind::attribute>;
using PropertyListHandle = Handle<Kind::property_list>;

}  // namespace lockstep::hdf5
