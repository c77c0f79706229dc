#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "harness/record/evidence.hpp"
#include "harness/watch/health_source.hpp"

namespace lockstep::watch {

/// Sums the readings of one device up into rows. Pure: the time is an argument (ns, monotonic).
///
/// A row covers more time as the run grows older, 1/512 of its age at least, so that their number grows with
/// the logarithm of time and a month fits the room of a journal. When a throttle begins or ends, and when an
/// error shows, a row ends there whatever its length, as long as such rows are few; then nothing is lost
/// either, but the time is coarser.
class HealthLedger {
 public:
  static constexpr std::uint32_t kRows = 8192;    ///< room that it needs
  static constexpr std::uint32_t kEvents = 2048;  ///< rows of them that may end early
  static constexpr std::int64_t kShareOfAge = 512;

  /// Rows that are finished by this reading. `cost_ns`: what it took. leg, rank and device are left to the
  /// caller.
  [[nodiscard]] std::vector<record::HealthRow> add(const HealthReading& reading, std::int64_t now_ns,
                                                   std::int64_t cost_ns);
  /// What is left over at the end.
  [[nodiscard]] std::optional<record::HealthRow> close();

 private:
  struct Mean {
    double sum = 0.0;
    std::uint32_t count = 0;
    void add(const std::optional<double>& value);
    [[nodiscard]] double value() const { return count == 0 ? -1.0 : sum / count; }
  };
  /// What must not be mixed within one row.
  struct Signature {
    std::int64_t throttle = 0;  ///< real ones
    bool heat_counted = false;  ///< the counter of time throttled for heat rises
    bool errors = false;        ///< new uncorrected errors, or an Xid
    std::optional<bool> remap_pending{};
    std::optional<bool> remap_failed{};
    bool operator==(const Signature&) const = default;
  };
  [[nodiscard]] Signature signature_of(const HealthReading& reading) const;
  void fold(const HealthReading& reading, std::int64_t now_ns, std::int64_t cost_ns);
  [[nodiscard]] record::HealthRow finish();
  [[nodiscard]] bool take_event();

  record::HealthRow row_;  ///< being filled
  Mean clock_;
  Mean memory_;
  Mean power_;
  std::optional<Signature> signature_;
  HealthReading last_;
  std::optional<std::int64_t> first_ns_;
  std::uint32_t events_ = 0;
};

}  // namespace lockstep::watch
