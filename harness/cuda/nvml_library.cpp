#include "harness/cuda/nvml_library.hpp"

#include <initializer_list>

#include <dlfcn.h>

namespace lockstep::cuda::detail {
namespace {

template <class Function>
void look_up(void* handle, Function& function, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    function = reinterpret_cast<Function>(::dlsym(handle, name));
    if (function != nullptr)
      return;
  }
}

NvmlFunctions look_up_all(void* handle) {
  NvmlFunctions found;
  look_up(handle, found.init, {"nvmlInit_v2"});
  look_up(handle, found.shutdown, {"nvmlShutdown"});
  look_up(handle, found.error_string, {"nvmlErrorString"});
  look_up(handle, found.driver_version, {"nvmlSystemGetDriverVersion"});
  look_up(handle, found.count, {"nvmlDeviceGetCount_v2"});
  look_up(handle, found.by_index, {"nvmlDeviceGetHandleByIndex_v2"});
  look_up(handle, found.by_pci_bus, {"nvmlDeviceGetHandleByPciBusId_v2"});
  look_up(handle, found.by_uuid, {"nvmlDeviceGetHandleByUUID"});
  look_up(handle, found.name, {"nvmlDeviceGetName"});
  look_up(handle, found.serial, {"nvmlDeviceGetSerial"});
  look_up(handle, found.uuid, {"nvmlDeviceGetUUID"});
  look_up(handle, found.vbios, {"nvmlDeviceGetVbiosVersion"});
  look_up(handle, found.pci_info, {"nvmlDeviceGetPciInfo_v3"});
  look_up(handle, found.power_limit, {"nvmlDeviceGetEnforcedPowerLimit"});
  look_up(handle, found.clock, {"nvmlDeviceGetClockInfo"});
  look_up(handle, found.temperature, {"nvmlDeviceGetTemperature"});
  look_up(handle, found.power, {"nvmlDeviceGetPowerUsage"});
  // The second name is that of drivers before 535.
  look_up(handle, found.throttle,
          {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  look_up(handle, found.violation, {"nvmlDeviceGetViolationStatus"});
  look_up(handle, found.ecc_errors, {"nvmlDeviceGetTotalEccErrors"});
  look_up(handle, found.remapped_rows, {"nvmlDeviceGetRemappedRows"});
  look_up(handle, found.link_state, {"nvmlDeviceGetNvLinkState"});
  look_up(handle, found.link_errors, {"nvmlDeviceGetNvLinkErrorCounter"});
  look_up(handle, found.event_set_create, {"nvmlEventSetCreate"});
  look_up(handle, found.event_set_free, {"nvmlEventSetFree"});
  look_up(handle, found.register_events, {"nvmlDeviceRegisterEvents"});
  look_up(handle, found.event_set_wait, {"nvmlEventSetWait_v2"});
  return found;
}

}  // namespace

std::shared_ptr<const NvmlLibrary> NvmlLibrary::load(const std::string& path, std::string& reason) {
  const std::shared_ptr<NvmlLibrary> library(new NvmlLibrary);
  library->handle_ = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library->handle_ == nullptr) {
    const char* error = ::dlerror();
    reason = "cannot load " + path + (error == nullptr ? "" : std::string(" (") + error + ")");
    return nullptr;
  }
  library->functions_ = look_up_all(library->handle_);
  const NvmlFunctions& call = library->functions_;
  if (call.init == nullptr || call.shutdown == nullptr || call.count == nullptr || call.by_index == nullptr) {
    reason = path + " lacks functions that every driver since 2013 has";
    return nullptr;
  }
  if (const NvmlReturn code = call.init(); code != kNvmlSuccess) {
    reason = "nvmlInit failed: " + library->error_text(code);
    return nullptr;
  }
  library->initialised_ = true;
  return library;
}

NvmlLibrary::~NvmlLibrary() {
  if (initialised_)
    static_cast<void>(functions_.shutdown());
  if (handle_ != nullptr)
    ::dlclose(handle_);
}

std::string NvmlLibrary::error_text(NvmlReturn code) const {
  if (code == kNvmlFunctionNotFound)
    return "not in this driver";
  const char* text = functions_.error_string == nullptr ? nullptr : functions_.error_string(code);
  return text == nullptr ? "error " + std::to_string(code) : text;
}

NvmlEvents::~NvmlEvents() {
  if (library->call().event_set_free != nullptr)
    static_cast<void>(library->call().event_set_free(set));
}

}  // namespace lockstep::cuda::detail
