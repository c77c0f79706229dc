#pragma once

#include <memory>
#include <string>
#include <utility>

/// The functions of NVML that are used, as its reference manual describes them (NVIDIA, NVML API Reference
/// Guide), declared here because the driver's package alone has the header. Internal to this room.
namespace lockstep::cuda::detail {

using NvmlReturn = int;
using NvmlDevice = void*;
using NvmlEventSet = void*;

inline constexpr NvmlReturn kNvmlSuccess = 0;
inline constexpr NvmlReturn kNvmlNotSupported = 3;
inline constexpr NvmlReturn kNvmlTimeout = 10;
inline constexpr NvmlReturn kNvmlFunctionNotFound = 13;

inline constexpr unsigned kNvmlClockSm = 1;
inline constexpr unsigned kNvmlClockMemory = 2;
inline constexpr unsigned kNvmlTemperatureGpu = 0;
inline constexpr unsigned kNvmlCorrected = 0;
inline constexpr unsigned kNvmlUncorrected = 1;
inline constexpr unsigned kNvmlVolatile = 0;
inline constexpr unsigned kNvmlPolicyThermal = 1;
inline constexpr unsigned kNvmlMostLinks = 18;
inline constexpr unsigned kNvmlLinkCounters = 4;  ///< replay, recovery, CRC of flits, CRC of data
inline constexpr unsigned long long kNvmlEventXid = 8;

struct NvmlPciInfo {
  char bus_id_legacy[16];
  unsigned domain;
  unsigned bus;
  unsigned device;
  unsigned device_id;
  unsigned subsystem_id;
  char bus_id[32];
};

struct NvmlViolationTime {
  unsigned long long reference_us;
  unsigned long long violation_ns;
};

struct NvmlEventData {
  NvmlDevice device;
  unsigned long long type;
  unsigned long long data;  ///< number of an Xid event
  unsigned gpu_instance;
  unsigned compute_instance;
};

/// Those that a driver lacks are null.
struct NvmlFunctions {
  NvmlReturn (*init)() = nullptr;
  NvmlReturn (*shutdown)() = nullptr;
  const char* (*error_string)(NvmlReturn) = nullptr;
  NvmlReturn (*driver_version)(char*, unsigned) = nullptr;
  NvmlReturn (*count)(unsigned*) = nullptr;
  NvmlReturn (*by_index)(unsigned, NvmlDevice*) = nullptr;
  NvmlReturn (*by_pci_bus)(const char*, NvmlDevice*) = nullptr;
  NvmlReturn (*by_uuid)(const char*, NvmlDevice*) = nullptr;
  NvmlReturn (*name)(NvmlDevice, char*, unsigned) = nullptr;
  NvmlReturn (*serial)(NvmlDevice, char*, unsigned) = nullptr;
  NvmlReturn (*uuid)(NvmlDevice, char*, unsigned) = nullptr;
  NvmlReturn (*vbios)(NvmlDevice, char*, unsigned) = nullptr;
  NvmlReturn (*pci_info)(NvmlDevice, NvmlPciInfo*) = nullptr;
  NvmlReturn (*power_limit)(NvmlDevice, unsigned*) = nullptr;  ///< mW
  NvmlReturn (*clock)(NvmlDevice, unsigned, unsigned*) = nullptr;
  NvmlReturn (*temperature)(NvmlDevice, unsigned, unsigned*) = nullptr;
  NvmlReturn (*power)(NvmlDevice, unsigned*) = nullptr;  ///< mW
  NvmlReturn (*throttle)(NvmlDevice, unsigned long long*) = nullptr;
  NvmlReturn (*violation)(NvmlDevice, unsigned, NvmlViolationTime*) = nullptr;
  NvmlReturn (*ecc_errors)(NvmlDevice, unsigned, unsigned, unsigned long long*) = nullptr;
  NvmlReturn (*remapped_rows)(NvmlDevice, unsigned*, unsigned*, unsigned*, unsigned*) = nullptr;
  NvmlReturn (*link_state)(NvmlDevice, unsigned, unsigned*) = nullptr;
  NvmlReturn (*link_errors)(NvmlDevice, unsigned, unsigned, unsigned long long*) = nullptr;
  NvmlReturn (*event_set_create)(NvmlEventSet*) = nullptr;
  NvmlReturn (*event_set_free)(NvmlEventSet) = nullptr;
  NvmlReturn (*register_events)(NvmlDevice, unsigned long long, NvmlEventSet) = nullptr;
  NvmlReturn (*event_set_wait)(NvmlEventSet, NvmlEventData*, unsigned) = nullptr;
};

/// Owns the loaded and initialised library.
class NvmlLibrary {
 public:
  /// Null with a reason when it cannot be loaded, lacks what nothing goes without, or does not initialise.
  [[nodiscard]] static std::shared_ptr<const NvmlLibrary> load(const std::string& path, std::string& reason);
  NvmlLibrary(const NvmlLibrary&) = delete;
  NvmlLibrary& operator=(const NvmlLibrary&) = delete;
  ~NvmlLibrary();

  [[nodiscard]] const NvmlFunctions& call() const { return functions_; }
  [[nodiscard]] std::string error_text(NvmlReturn code) const;

 private:
  NvmlLibrary() = default;
  void* handle_ = nullptr;
  bool initialised_ = false;
  NvmlFunctions functions_;
};

/// Owns an event set that Xid events of one card arrive in.
struct NvmlEvents {
  NvmlEvents(std::shared_ptr<const NvmlLibrary> of, NvmlEventSet owned)
      : library(std::move(of)), set(owned) {}
  NvmlEvents(const NvmlEvents&) = delete;
  NvmlEvents& operator=(const NvmlEvents&) = delete;
  ~NvmlEvents();

  std::shared_ptr<const NvmlLibrary> library;
  NvmlEventSet set;
};

}  // namespace lockstep::cuda::detail
