#include "harness/record/schema_columns.hpp"

/// What the tables about devices and their health hold. A change here is a change of results/README.md and of
/// kSchemaVersion.

namespace lockstep::record {
namespace {

constexpr const char* kDevice = "index among the devices that this rank watches";

}  // namespace

template <>
const TableSpec<DeviceRow>& table() {
  using Row = DeviceRow;
  static const TableSpec<Row> spec{
      "devices",
      "Cards and processors as they were before the first step: one row a device and rank that watches it.",
      64,
      {
          number("leg", &Row::leg, "", kLeg),
          number(
              "rank", &Row::rank, "",
              "that watches it: of a card the rank that computes on it, of processors the first of the host"),
          number("device", &Row::device, "", kDevice),
          text("kind", &Row::kind, 8, "`gpu` or `cpu`"),
          text("name", &Row::name, 96, "as the driver or the kernel calls it"),
          text("serial", &Row::serial, 48,
               "number on the board; empty when it is not told, as are the next four"),
          text("uuid", &Row::uuid, 48, "as NVML gives it"),
          text("pci_bus", &Row::pci_bus, 24, "such as `0000:1b:00.0`"),
          text("driver", &Row::driver, 48, "version of the driver; for processors of the kernel"),
          text("firmware", &Row::firmware, 48, "VBIOS of a card, microcode of processors"),
          number("power_limit_w", &Row::power_limit_w, "W", "that is enforced; -1: not told"),
          text("missing", &Row::missing, 256, "columns of `health` that it does not tell, with the reason"),
      }};
  return spec;
}

template <>
const TableSpec<HealthRow>& table() {
  using Row = HealthRow;
  static const TableSpec<Row> spec{
      "health",
      "What devices showed beside the run: a row tells of the time since the row before. -1 in any column: "
      "not "
      "told.",
      256,
      {
          number("leg", &Row::leg, "", kLeg),
          number("rank", &Row::rank, "", "that read it"),
          number("device", &Row::device, "", "as in `devices`"),
          number("begin_ns", &Row::begin_ns, "ns", kBegin),
          number("end_ns", &Row::end_ns, "ns", "of the last reading, on the clock of the rank's host"),
          number("readings", &Row::readings, "1", "that the row sums up"),
          number("throttled", &Row::throttled, "1",
                 "of them, that showed a throttle: for heat, by a power brake or in hardware"),
          number(
              "throttle", &Row::throttle, "",
              "bits that any reading showed: 1 idle, 2 application clocks, 4 power cap, 8 hardware slowdown, "
              "16 sync boost, 32 heat (software), 64 heat (hardware), 128 power brake, 256 display clocks"),
          number("thermal_ns", &Row::thermal_ns, "ns", "time throttled for heat, a counter"),
          number("ecc_corrected", &Row::ecc_corrected, "1",
                 "memory errors since the driver was loaded, a counter"),
          number("ecc_uncorrected", &Row::ecc_uncorrected, "1",
                 "memory errors since the driver was loaded, a counter"),
          number("remapped_rows", &Row::remapped_rows, "1", "of the card's memory, in its life"),
          number("link_errors", &Row::link_errors, "1", "of all active NVLinks, a counter"),
          number("remap_pending", &Row::remap_pending, "", "1: a row waits for a reset to be remapped"),
          number("remap_failed", &Row::remap_failed, "", "1: a row could not be remapped"),
          number("xid", &Row::xid, "", "last Xid event in this time; 0: none"),
          number("clock_mhz", &Row::clock_mhz, "MHz", "of the multiprocessors or the cores, mean"),
          number("memory_mhz", &Row::memory_mhz, "MHz", "mean"),
          number("temperature_c", &Row::temperature_c, "degC", "highest"),
          number("power_w", &Row::power_w, "W", "mean"),
          number("cost_ns", &Row::cost_ns, "ns", "that the readings took"),
      }};
  return spec;
}

}  // namespace lockstep::record
