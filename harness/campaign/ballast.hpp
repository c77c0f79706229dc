#pragma once

#include <cstddef>
#include <string>

namespace lockstep::campaign {

/// Disk space held back for the day the disk is full: dropped then, so that the run file can still be closed
/// and the verdict be written. An HDF5 file that cannot write its last metadata is lost as a whole.
class Ballast {
 public:
  /// Reserves every block. Throws RunError when the disk has no room for it.
  Ballast(std::string path, std::size_t bytes);
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;
  ~Ballast() { drop(); }
  /// Gives the space back.
  void drop() noexcept;

 private:
  std::string path_;
};

}  // namespace lockstep::campaign
