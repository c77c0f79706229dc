#include "harness/cuda/driver_gpus.hpp"

#include <array>

#include <dlfcn.h>
#include <fmt/format.h>

namespace lockstep::cuda {
namespace {

// The few functions needed, as the CUDA driver API documents them; results are CUresult, 0 for success.
using Init = int(unsigned);
using GetCount = int(int*);
using Get = int(int*, int);
using GetBusId = int(char*, int, int);
using GetName = int(char*, int, int);
struct Uuid {
  std::array<unsigned char, 16> bytes{};
};
using GetUuid = int(Uuid*, int);
using GetErrorName = int(int, const char**);

constexpr int kNoDevice = 100;  // CUDA_ERROR_NO_DEVICE

template <class Function>
Function* find(void* library, const char* name) {
  return reinterpret_cast<Function*>(::dlsym(library, name));
}

std::string text_of(const Uuid& uuid) {
  std::string text;
  for (std::size_t i = 0; i < uuid.bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      text += '-';
    text += fmt::format("{:02x}", uuid.bytes[i]);
  }
  return text;
}

class Driver {
 public:
  explicit Driver(void* library)
      : init(find<Init>(library, "cuInit")),
        count(find<GetCount>(library, "cuDeviceGetCount")),
        get(find<Get>(library, "cuDeviceGet")),
        bus_id(find<GetBusId>(library, "cuDeviceGetPCIBusId")),
        name(find<GetName>(library, "cuDeviceGetName")),
        // The second version tells of an instance of a GPU (MIG) its own; drivers before 11.4 lack it.
        uuid(find<GetUuid>(library, "cuDeviceGetUuid_v2")),
        error_name_(find<GetErrorName>(library, "cuGetErrorName")) {
    if (uuid == nullptr)
      uuid = find<GetUuid>(library, "cuDeviceGetUuid");
  }
  [[nodiscard]] bool is_whole() const {
    return init != nullptr && count != nullptr && get != nullptr && bus_id != nullptr;
  }
  [[nodiscard]] std::string error(const char* call, int code) const {
    const char* text = nullptr;
    if (error_name_ != nullptr)
      static_cast<void>(error_name_(code, &text));
    return fmt::format("{}: {}", call, text != nullptr ? text : std::to_string(code));
  }

  Init* init;
  GetCount* count;
  Get* get;
  GetBusId* bus_id;
  GetName* name;
  GetUuid* uuid;

 private:
  GetErrorName* error_name_;
};

/// Why a GPU cannot be described; empty when it is.
std::string describe(const Driver& driver, DriverGpu& gpu) {
  int device = 0;
  if (const int code = driver.get(&device, gpu.ordinal); code != 0)
    return driver.error("cuDeviceGet", code);
  std::array<char, 64> text{};
  if (const int code = driver.bus_id(text.data(), static_cast<int>(text.size()), device); code != 0)
    return driver.error("cuDeviceGetPCIBusId", code);
  gpu.bus_id = text.data();
  std::array<char, 256> name{};
  if (driver.name != nullptr && driver.name(name.data(), static_cast<int>(name.size()), device) == 0)
    gpu.name = name.data();
  Uuid uuid;
  if (driver.uuid != nullptr && driver.uuid(&uuid, device) == 0)
    gpu.uuid = text_of(uuid);
  return {};
}

}  // namespace

DriverGpus driver_gpus(const std::string& library) {
  DriverGpus found;
  // Never closed: the driver leaves threads behind.
  void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    found.reason = "no NVIDIA driver on this machine";
    return found;
  }
  const Driver driver(handle);
  if (!driver.is_whole()) {
    found.reason = library + " is no NVIDIA driver";
    return found;
  }
  if (const int code = driver.init(0); code != 0) {
    found.reason =
        code == kNoDevice ? "the driver shows no GPU to this process" : driver.error("cuInit", code);
    return found;
  }
  int count = 0;
  if (const int code = driver.count(&count); code != 0) {
    found.reason = driver.error("cuDeviceGetCount", code);
    return found;
  }
  for (int ordinal = 0; ordinal < count && found.reason.empty(); ++ordinal) {
    DriverGpu gpu;
    gpu.ordinal = ordinal;
    found.reason = describe(driver, gpu);
    found.gpus.push_back(std::move(gpu));
  }
  if (!found.reason.empty())
    found.gpus.clear();
  else if (count == 0)
    found.reason = "the driver shows no GPU to this process";
  return found;
}

}  // namespace lockstep::cuda
