#include "harness/report/devices.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "harness/core/text.hpp"
#include "harness/core/units.hpp"
#include "harness/report/table.hpp"
#include "harness/watch/launch_view.hpp"
#include "harness/watch/throttle_bits.hpp"

namespace lockstep::report {
namespace {

using HealthRows = std::span<const record::HealthRow* const>;

/// Mean over readings, of several launches one after the other.
struct Mean {
  double sum = 0.0;
  double readings = 0.0;
  void add(double value, std::uint32_t of) {
    if (value < 0.0)
      return;
    sum += value * of;
    readings += of;
  }
  [[nodiscard]] double value() const { return readings > 0.0 ? sum / readings : -1.0; }
};

struct Sums {
  DeviceSummary summary;
  Mean clock;
  Mean power;
  std::int64_t cost_ns = 0;
  std::int64_t watched_ns = 0;
};

/// What a counter rose by in one launch, added to `total`.
void add_rise(std::int64_t& total, HealthRows rows, std::int64_t record::HealthRow::*counter) {
  std::int64_t before = -1;
  for (const record::HealthRow* row : rows) {
    const std::int64_t now = row->*counter;
    if (now < 0)
      continue;
    if (before >= 0)
      total = std::max<std::int64_t>(0, total) + std::max<std::int64_t>(0, now - before);
    else if (total < 0)
      total = 0;
    before = now;
  }
}

void add_launch(Sums& sums, HealthRows rows) {
  DeviceSummary& summary = sums.summary;
  for (const record::HealthRow* row : rows) {
    summary.readings += row->readings;
    sums.clock.add(row->clock_mhz, row->readings);
    sums.power.add(row->power_w, row->readings);
    summary.hottest_c = std::max(summary.hottest_c, row->temperature_c);
    summary.throttled += row->throttled;
    if (row->throttle > 0)
      summary.throttle |= row->throttle;
    if (row->xid > 0)
      summary.xids.push_back(row->xid);
    sums.cost_ns += row->cost_ns;
  }
  if (!rows.empty())
    sums.watched_ns += rows.back()->end_ns - rows.front()->begin_ns;
  add_rise(summary.new_corrected, rows, &record::HealthRow::ecc_corrected);
  add_rise(summary.new_uncorrected, rows, &record::HealthRow::ecc_uncorrected);
  add_rise(summary.new_link_errors, rows, &record::HealthRow::link_errors);
}

DeviceSummary finished(Sums sums) {
  DeviceSummary& summary = sums.summary;
  summary.clock_mhz = sums.clock.value();
  summary.power_w = sums.power.value();
  std::sort(summary.xids.begin(), summary.xids.end());
  summary.xids.erase(std::unique(summary.xids.begin(), summary.xids.end()), summary.xids.end());
  if (sums.watched_ns > 0)
    summary.cost_share = static_cast<double>(sums.cost_ns) / static_cast<double>(sums.watched_ns);
  return std::move(summary);
}

std::string error_text(const DeviceSummary& device) {
  std::vector<std::string> parts;
  const auto add = [&parts](std::int64_t count, const char* what) {
    if (count > 0)
      parts.push_back(fmt::format("{} {}", count, what));
  };
  add(device.new_uncorrected, "uncorrected");
  add(device.new_corrected, "corrected");
  add(device.new_link_errors, "link");
  for (const std::int64_t xid : device.xids)
    parts.push_back(fmt::format("Xid {}", xid));
  if (!parts.empty())
    return join(parts, ", ");
  return device.new_uncorrected < 0 ? "-" : "0";
}

}  // namespace

std::vector<DeviceSummary> summarize_devices(const record::Evidence& evidence,
                                             const std::function<bool(std::uint32_t)>& wanted) {
  record::Evidence few;
  few.legs = evidence.legs;
  few.ranks = evidence.ranks;
  few.devices = evidence.devices;
  few.health = evidence.health;
  using Key = std::tuple<std::string, std::string, std::string, std::string>;
  std::map<Key, std::size_t> index;
  std::vector<Sums> all;
  for (const watch::LaunchView& view : watch::views_of(few)) {
    if (!wanted(view.leg->leg))
      continue;
    for (const record::DeviceRow* device : view.devices) {
      const std::string& host = view.host_of(device->rank);
      const auto [at, made] =
          index.try_emplace(Key{host, device->kind, device->uuid, device->pci_bus}, all.size());
      if (made) {
        Sums& sums = all.emplace_back();
        sums.summary.device = *device;
        sums.summary.site = view.site_of(device->rank);
        sums.summary.host = host;
      }
      add_launch(all[at->second], view.health_of(*device));
    }
  }
  std::vector<DeviceSummary> devices;
  for (Sums& sums : all)
    devices.push_back(finished(std::move(sums)));
  return devices;
}

std::string device_table(const std::vector<DeviceSummary>& devices, const Style& style) {
  if (devices.empty())
    return {};
  Table table({{"site"},
               {"host"},
               {"device"},
               {"serial"},
               {"readings", Align::right},
               {"clock", Align::right},
               {"hottest", Align::right},
               {"power", Align::right},
               {"throttled"},
               {"new errors"}});
  const auto figure = [](double value, const char* unit) {
    return value < 0.0 ? std::string("-") : fmt::format("{:.0f} {}", value, unit);
  };
  for (const DeviceSummary& device : devices) {
    const bool known = device.throttled > 0 || device.throttle > 0;
    const std::string throttled =
        device.throttled > 0 ? fmt::format("{}: {}", device.throttled,
                                           watch::throttle_words(device.throttle & watch::kRealThrottle))
                             : (known ? "0 (" + watch::throttle_words(device.throttle) + ")" : "0");
    const std::string errors = error_text(device);
    const bool bad = device.new_uncorrected > 0 || !device.xids.empty();
    table.add({{device.site, Emphasis::strong},
               {device.host},
               {device.device.name.empty() ? device.device.kind : device.device.name},
               {device.device.serial.empty() ? "-" : device.device.serial},
               {std::to_string(device.readings)},
               {figure(device.clock_mhz, "MHz")},
               {figure(device.hottest_c, "C")},
               {figure(device.power_w, "W")},
               {throttled, device.throttled > 0 ? Emphasis::warning : Emphasis::plain},
               {errors, bad ? Emphasis::bad : Emphasis::plain}});
  }
  return table.render(style);
}

nlohmann::ordered_json device_json(const DeviceSummary& device) {
  using Json = nlohmann::ordered_json;
  const auto known = [](auto value) { return value < 0 ? Json(nullptr) : Json(value); };
  return {{"site", device.site},
          {"host", device.host},
          {"kind", device.device.kind},
          {"name", device.device.name},
          {"serial", device.device.serial},
          {"uuid", device.device.uuid},
          {"pci_bus", device.device.pci_bus},
          {"driver", device.device.driver},
          {"firmware", device.device.firmware},
          {"power_limit_w", known(device.device.power_limit_w)},
          {"not_told", device.device.missing},
          {"readings", device.readings},
          {"clock_mhz", known(device.clock_mhz)},
          {"power_w", known(device.power_w)},
          {"hottest_c", known(device.hottest_c)},
          {"throttled_readings", device.throttled},
          {"throttle", watch::throttle_words(device.throttle)},
          {"new_corrected_errors", known(device.new_corrected)},
          {"new_uncorrected_errors", known(device.new_uncorrected)},
          {"new_link_errors", known(device.new_link_errors)},
          {"xids", device.xids},
          {"reading_time_share", device.cost_share}};
}

}  // namespace lockstep::report
