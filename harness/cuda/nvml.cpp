#include "harness/cuda/nvml.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "harness/cuda/nvml_library.hpp"

namespace lockstep::cuda {

using namespace detail;

namespace {

constexpr std::uint32_t kReadingsBetweenLinks = 10;  // a card has many links, and a counter loses nothing
constexpr double kPerThousand = 1e-3;

template <class Function, class... Arguments>
std::string ask_text(Function function, Arguments... arguments) {
  std::array<char, 128> text{};
  if (function == nullptr ||
      function(arguments..., text.data(), static_cast<unsigned>(text.size())) != kNvmlSuccess)
    return {};
  return {text.data(), ::strnlen(text.data(), text.size())};
}

bool parse_hex(std::string_view text, unsigned& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return !text.empty() && error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

std::string normal_pci_bus(const std::string& text) {
  const std::size_t dot = text.rfind('.');
  const std::size_t second = text.rfind(':');
  if (dot == std::string::npos || second == std::string::npos || dot < second || second == 0)
    return {};
  const std::size_t first = text.rfind(':', second - 1);
  const std::string_view all = text;
  unsigned domain = 0;
  unsigned bus = 0;
  unsigned device = 0;
  unsigned function = 0;
  const bool has_domain = first != std::string::npos;
  if (has_domain && !parse_hex(all.substr(0, first), domain))
    return {};
  const std::size_t bus_at = has_domain ? first + 1 : 0;
  if (!parse_hex(all.substr(bus_at, second - bus_at), bus) ||
      !parse_hex(all.substr(second + 1, dot - second - 1), device) ||
      !parse_hex(all.substr(dot + 1), function))
    return {};
  std::array<char, 48> normal{};
  std::snprintf(normal.data(), normal.size(), "%04x:%02x:%02x.%x", domain, bus, device, function);
  return normal.data();
}

template <class Value, class Function, class... Arguments>
std::optional<Value> NvmlCard::ask(const char* what, Function function, Arguments... arguments) {
  Value value{};
  const NvmlReturn code =
      function == nullptr ? kNvmlFunctionNotFound : function(handle_, arguments..., &value);
  if (code == kNvmlSuccess)
    return value;
  note_missing(what, code);
  return std::nullopt;
}

void NvmlCard::note_missing(const char* what, int code) {
  if (first_)
    missing_.emplace(what, library_->error_text(code));
}

NvmlCard::NvmlCard(std::shared_ptr<const NvmlLibrary> library, void* handle)
    : library_(std::move(library)), handle_(handle) {
  describe();
  static_cast<void>(read());
  first_ = false;
  readings_ = 0;
}

NvmlCard::NvmlCard(NvmlCard&&) noexcept = default;
NvmlCard& NvmlCard::operator=(NvmlCard&&) noexcept = default;
NvmlCard::~NvmlCard() = default;

void NvmlCard::describe() {
  const NvmlFunctions& call = library_->call();
  identity_.name = ask_text(call.name, handle_);
  identity_.serial = ask_text(call.serial, handle_);
  identity_.uuid = ask_text(call.uuid, handle_);
  identity_.vbios = ask_text(call.vbios, handle_);
  identity_.driver = ask_text(call.driver_version);
  NvmlPciInfo pci{};
  if (call.pci_info != nullptr && call.pci_info(handle_, &pci) == kNvmlSuccess)
    identity_.pci_bus = normal_pci_bus({pci.bus_id, ::strnlen(pci.bus_id, sizeof pci.bus_id)});
  unsigned limit_mw = 0;
  if (call.power_limit != nullptr && call.power_limit(handle_, &limit_mw) == kNvmlSuccess)
    identity_.power_limit_w = limit_mw * kPerThousand;

  for (unsigned link = 0; call.link_state != nullptr && link < kNvmlMostLinks; ++link) {
    unsigned active = 0;
    if (call.link_state(handle_, link, &active) == kNvmlSuccess && active == 1)
      links_.push_back(link);
  }

  if (call.event_set_create == nullptr || call.register_events == nullptr || call.event_set_wait == nullptr) {
    note_missing("xid", kNvmlFunctionNotFound);
    return;
  }
  NvmlEventSet set = nullptr;
  NvmlReturn code = call.event_set_create(&set);
  if (code == kNvmlSuccess) {
    auto events = std::make_unique<NvmlEvents>(library_, set);
    code = call.register_events(handle_, kNvmlEventXid, set);
    if (code == kNvmlSuccess)
      events_ = std::move(events);
  }
  if (code != kNvmlSuccess)
    note_missing("xid", code);
}

CardReading NvmlCard::read() {
  const NvmlFunctions& call = library_->call();
  CardReading reading;
  if (const auto mhz = ask<unsigned>("sm_mhz", call.clock, kNvmlClockSm))
    reading.sm_mhz = *mhz;
  if (const auto mhz = ask<unsigned>("memory_mhz", call.clock, kNvmlClockMemory))
    reading.memory_mhz = *mhz;
  if (const auto degrees = ask<unsigned>("temperature_c", call.temperature, kNvmlTemperatureGpu))
    reading.temperature_c = *degrees;
  if (const auto milliwatts = ask<unsigned>("power_w", call.power))
    reading.power_w = *milliwatts * kPerThousand;
  reading.throttle = ask<unsigned long long>("throttle", call.throttle);
  if (const auto time = ask<NvmlViolationTime>("thermal_ns", call.violation, kNvmlPolicyThermal))
    reading.thermal_ns = time->violation_ns;
  reading.ecc_corrected =
      ask<unsigned long long>("ecc_corrected", call.ecc_errors, kNvmlCorrected, kNvmlVolatile);
  reading.ecc_uncorrected =
      ask<unsigned long long>("ecc_uncorrected", call.ecc_errors, kNvmlUncorrected, kNvmlVolatile);
  read_remapped_rows(reading);
  read_link_errors(reading);
  read_events(reading);
  return reading;
}

void NvmlCard::read_remapped_rows(CardReading& reading) {
  const auto function = library_->call().remapped_rows;
  unsigned corrected = 0;
  unsigned uncorrected = 0;
  unsigned pending = 0;
  unsigned failed = 0;
  const NvmlReturn code = function == nullptr
                              ? kNvmlFunctionNotFound
                              : function(handle_, &corrected, &uncorrected, &pending, &failed);
  if (code != kNvmlSuccess)
    return note_missing("remapped_rows", code);
  reading.remapped_rows = std::uint64_t{corrected} + uncorrected;
  reading.remap_pending = pending != 0;
  reading.remap_failed = failed != 0;
}

void NvmlCard::read_link_errors(CardReading& reading) {
  const auto function = library_->call().link_errors;
  if (function == nullptr || links_.empty())
    return note_missing("link_errors", function == nullptr ? kNvmlFunctionNotFound : kNvmlNotSupported);
  if (readings_++ % kReadingsBetweenLinks == 0) {
    link_errors_.reset();
    NvmlReturn last = kNvmlNotSupported;
    for (const unsigned link : links_) {
      for (unsigned counter = 0; counter < kNvmlLinkCounters; ++counter) {
        unsigned long long errors = 0;
        last = function(handle_, link, counter, &errors);
        if (last == kNvmlSuccess)
          link_errors_ = link_errors_.value_or(0) + errors;
      }
    }
    if (!link_errors_)
      note_missing("link_errors", last);
  }
  reading.link_errors = link_errors_;
}

void NvmlCard::read_events(CardReading& reading) {
  if (!events_)
    return;
  reading.xid = 0;
  constexpr int kMostAtOnce = 64;  // a card that dies can send them without end
  for (int i = 0; i < kMostAtOnce; ++i) {
    NvmlEventData event{};
    const NvmlReturn code = library_->call().event_set_wait(events_->set, &event, 0);
    if (code == kNvmlTimeout)
      return;
    if (code != kNvmlSuccess) {
      note_missing("xid", code);
      if (*reading.xid == 0)
        reading.xid.reset();
      return;
    }
    if (event.type == kNvmlEventXid)
      reading.xid = event.data;
  }
}

std::optional<Nvml> Nvml::open(std::string& reason, const std::string& path) {
  std::shared_ptr<const NvmlLibrary> library = NvmlLibrary::load(path, reason);
  if (!library)
    return std::nullopt;
  return Nvml(std::move(library));
}

std::vector<NvmlCard> Nvml::cards() const {
  std::vector<NvmlCard> cards;
  unsigned count = 0;
  if (library_->call().count(&count) != kNvmlSuccess)
    return cards;
  for (unsigned index = 0; index < count; ++index) {
    NvmlDevice handle = nullptr;
    if (library_->call().by_index(index, &handle) == kNvmlSuccess)
      cards.push_back(NvmlCard(library_, handle));
  }
  return cards;
}

std::optional<NvmlCard> Nvml::find(const std::string& pci_bus_or_uuid) const {
  const NvmlFunctions& call = library_->call();
  NvmlDevice handle = nullptr;
  const std::string bus = normal_pci_bus(pci_bus_or_uuid);
  const auto function = bus.empty() ? call.by_uuid : call.by_pci_bus;
  const std::string& key = bus.empty() ? pci_bus_or_uuid : bus;
  if (key.empty() || function == nullptr || function(key.c_str(), &handle) != kNvmlSuccess)
    return std::nullopt;
  return NvmlCard(library_, handle);
}

}  // namespace lockstep::cuda
