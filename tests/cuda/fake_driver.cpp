// A library with the functions of the CUDA driver that driver_gpus.cpp calls. FAKE_CUDA_* in the environment
// say what it pretends: FAKE_CUDA_GPUS how many (3 by default), FAKE_CUDA_INIT what cuInit answers,
// FAKE_CUDA_BROKEN a GPU that cannot be asked for its address.

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atoi(text) : otherwise;
}

constexpr int kUnknownError = 999;

}  // namespace

extern "C" {

__attribute__((visibility("default"))) int cuInit(unsigned) {
  return setting("FAKE_CUDA_INIT", 0);
}

__attribute__((visibility("default"))) int cuDeviceGetCount(int* count) {
  *count = setting("FAKE_CUDA_GPUS", 3);
  return 0;
}

__attribute__((visibility("default"))) int cuDeviceGet(int* device, int ordinal) {
  *device = 100 + ordinal;  // a handle is not an ordinal
  return 0;
}

__attribute__((visibility("default"))) int cuDeviceGetPCIBusId(char* text, int length, int device) {
  const int ordinal = device - 100;
  if (ordinal == setting("FAKE_CUDA_BROKEN", -1))
    return kUnknownError;
  std::snprintf(text, static_cast<std::size_t>(length), "0000:%02X:00.0", 0x1a + ordinal);
  return 0;
}

__attribute__((visibility("default"))) int cuDeviceGetName(char* text, int length, int device) {
  std::snprintf(text, static_cast<std::size_t>(length), "Fake %d", device - 100);
  return 0;
}

__attribute__((visibility("default"))) int cuGetErrorName(int code, const char** name) {
  if (code != kUnknownError)
    return 1;
  *name = "CUDA_ERROR_UNKNOWN";
  return 0;
}

#ifdef FAKE_CUDA_UUID
__attribute__((visibility("default"))) int cuDeviceGetUuid_v2(unsigned char* bytes, int device) {
  std::memset(bytes, device - 100, 16);
  bytes[15] = 0xfe;
  return 0;
}
#endif

}  // extern "C"
