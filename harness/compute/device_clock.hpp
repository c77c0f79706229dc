#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace lockstep::compute {

/// Ties a device's clock to the host's. The device stamps an event; the host cannot see when, only that it
/// was after it gave the event to the device and before it saw it done. So each reading is a window, and the
/// relation host = offset + rate * device has to pass through all windows; what remains open is the stated
/// error.
///
/// The rate is fitted over the kept readings (least squares, weighted by the windows' widths, after the
/// readings that a busy host made wide are left out). Pure: no clock is read here.
class DeviceClock {
 public:
  struct Reading {
    double device_s = 0.0;            ///< on the device's clock, from any instant on
    std::int64_t host_before_ns = 0;  ///< when the event was given to the device
    std::int64_t host_after_ns = 0;   ///< when it was seen to be done
  };

  /// Readings come in the order of time. Those that lie backwards are not taken.
  void add(const Reading& reading);
  [[nodiscard]] std::size_t readings() const { return kept_.size(); }

  /// ns on the host's clock at that instant of the device's. Needs a reading.
  [[nodiscard]] std::int64_t host_ns(double device_s) const;
  /// Most that host_ns() is off at that instant, as far as the readings tell: how far the line may be from
  /// the true one at the readings, and that grown by what is unknown of the rate for an instant outside of
  /// them.
  [[nodiscard]] std::int64_t error_ns(double device_s) const;
  /// How much faster the host's clock runs, in parts per million; 0 with fewer than two readings.
  [[nodiscard]] double drift_ppm() const { return (rate_ - 1.0) * 1e6; }

 private:
  void fit();

  static constexpr std::size_t kKept = 64;
  /// Crystals of computers and GPUs agree better than this; until two readings are far enough apart to tell,
  /// it stands for what is unknown of the rate.
  static constexpr double kUnknownRate = 200e-6;

  std::deque<Reading> kept_;
  double origin_device_s_ = 0.0;  // of the fit: the middle of the readings that it rests on
  double origin_host_ns_ = 0.0;   // from base_ns_ on
  std::int64_t base_ns_ = 0;
  double rate_ = 1.0;
  double rate_error_ = kUnknownRate;
  double error_ns_ = 0.0;
  double first_device_s_ = 0.0;
  double last_device_s_ = 0.0;
};

}  // namespace lockstep::compute
