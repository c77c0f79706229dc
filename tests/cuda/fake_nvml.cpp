// A libnvidia-ml.so.1 for machines without a driver. With FAKE_NVML_OLD it is one that lacks what drivers
// learnt later; with FAKE_NVML_NONE a library that is no NVML at all.
#include "tests/cuda/fake_nvml.hpp"

#include <cstdio>
#include <cstring>
#include <ctime>

#include <strings.h>

extern "C" {

lockstep::tests::FakeNvml fake_nvml_state;
}

#ifndef FAKE_NVML_NONE
namespace {

using lockstep::tests::FakeCard;

constexpr int kSuccess = 0;
constexpr int kInvalidArgument = 2;
constexpr int kNotFound = 6;
constexpr int kTimeout = 10;

lockstep::tests::FakeNvml& state() {
  return fake_nvml_state;
}

FakeCard& card_of(void* device) {
  return *static_cast<FakeCard*>(device);
}

int text(const char* from, char* to, unsigned bytes) {
  std::snprintf(to, bytes, "%s", from);
  return kSuccess;
}

template <class Value, class From>
int give(Value* to, From from) {
  if (state().reading_code != kSuccess)
    return state().reading_code;
  *to = static_cast<Value>(from);
  return kSuccess;
}

}  // namespace

struct PciInfo {
  char legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};

struct EventData {
  void* device;
  unsigned long long type;
  unsigned long long data;
  unsigned gpu_instance, compute_instance;
};

extern "C" {

int nvmlInit_v2() {
  if (state().init_code == kSuccess)
    ++state().initialised;
  return state().init_code;
}
int nvmlShutdown() {
  --state().initialised;
  return kSuccess;
}
const char* nvmlErrorString(int code) {
  return code == 3 ? "Not Supported" : code == 4 ? "Insufficient Permissions" : "Some Error";
}
int nvmlSystemGetDriverVersion(char* to, unsigned bytes) {
  return text("580.65.06", to, bytes);
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = state().cards;
  return kSuccess;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (index >= state().cards)
    return kInvalidArgument;
  *device = &state().card[index];
  return kSuccess;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus_id, void** device) {
  for (unsigned i = 0; i < state().cards; ++i) {
    // The driver takes any spelling; the tests ask in the one with a short domain.
    char asked[32];
    std::snprintf(asked, sizeof asked, "0000%s", bus_id);
    if (::strcasecmp(asked, state().card[i].bus_id) == 0) {
      *device = &state().card[i];
      return kSuccess;
    }
  }
  return kNotFound;
}
int nvmlDeviceGetHandleByUUID(const char* uuid, void** device) {
  for (unsigned i = 0; i < state().cards; ++i) {
    if (std::strcmp(uuid, state().card[i].uuid) == 0) {
      *device = &state().card[i];
      return kSuccess;
    }
  }
  return kNotFound;
}
int nvmlDeviceGetName(void* device, char* to, unsigned bytes) {
  return text(card_of(device).name, to, bytes);
}
int nvmlDeviceGetSerial(void* device, char* to, unsigned bytes) {
  return state().serial_code == kSuccess ? text(card_of(device).serial, to, bytes) : state().serial_code;
}
int nvmlDeviceGetUUID(void* device, char* to, unsigned bytes) {
  return text(card_of(device).uuid, to, bytes);
}
int nvmlDeviceGetVbiosVersion(void* /*device*/, char* to, unsigned bytes) {
  return text("96.00.99.00.01", to, bytes);
}
int nvmlDeviceGetPciInfo_v3(void* device, PciInfo* info) {
  return text(card_of(device).bus_id, info->bus_id, sizeof info->bus_id);
}
int nvmlDeviceGetClockInfo(void* device, unsigned kind, unsigned* mhz) {
  return give(mhz, card_of(device).clock_mhz[kind]);
}
int nvmlDeviceGetTemperature(void* device, unsigned /*sensor*/, unsigned* degrees) {
  ++state().readings;
  const timespec wait{state().wait_ms / 1000, static_cast<long>(state().wait_ms % 1000) * 1'000'000};
  ::nanosleep(&wait, nullptr);
  return give(degrees, card_of(device).temperature);
}
int nvmlDeviceGetPowerUsage(void* device, unsigned* milliwatts) {
  return give(milliwatts, card_of(device).power_mw);
}
int nvmlDeviceGetTotalEccErrors(void* device, unsigned kind, unsigned counter, unsigned long long* errors) {
  if (counter != 0)
    return kInvalidArgument;
  return give(errors, card_of(device).ecc[kind]);
}
#ifdef FAKE_NVML_OLD
int nvmlDeviceGetCurrentClocksThrottleReasons(void* device, unsigned long long* reasons) {
  return give(reasons, card_of(device).throttle);
}
#else
int nvmlDeviceGetCurrentClocksEventReasons(void* device, unsigned long long* reasons) {
  return give(reasons, card_of(device).throttle);
}
int nvmlDeviceGetEnforcedPowerLimit(void* /*device*/, unsigned* milliwatts) {
  *milliwatts = 700'000;
  return kSuccess;
}
struct ViolationTime {
  unsigned long long reference_us;
  unsigned long long violation_ns;
};
int nvmlDeviceGetViolationStatus(void* device, unsigned policy, ViolationTime* time) {
  if (policy != 1)
    return kInvalidArgument;
  return give(&time->violation_ns, card_of(device).thermal_ns);
}
int nvmlDeviceGetRemappedRows(void* device, unsigned* corrected, unsigned* uncorrected, unsigned* pending,
                              unsigned* failed) {
  if (state().reading_code != kSuccess)
    return state().reading_code;
  const FakeCard& card = card_of(device);
  *corrected = card.remapped_corrected;
  *uncorrected = card.remapped_uncorrected;
  *pending = card.remap_pending;
  *failed = card.remap_failed;
  return kSuccess;
}
int nvmlDeviceGetNvLinkState(void* device, unsigned link, unsigned* active) {
  *active = link < card_of(device).active_links ? 1 : 0;
  return link < 6 ? kSuccess : kInvalidArgument;
}
int nvmlDeviceGetNvLinkErrorCounter(void* device, unsigned link, unsigned counter,
                                    unsigned long long* errors) {
  ++state().link_questions;
  if (link >= card_of(device).active_links || counter > 3)
    return kInvalidArgument;
  return give(errors, card_of(device).link_errors);
}
int nvmlEventSetCreate(void** set) {
  ++state().event_sets;
  *set = new void*(nullptr);
  return kSuccess;
}
int nvmlEventSetFree(void* set) {
  --state().event_sets;
  delete static_cast<void**>(set);
  return kSuccess;
}
int nvmlDeviceRegisterEvents(void* device, unsigned long long types, void* set) {
  if (types != 8)
    return kInvalidArgument;
  *static_cast<void**>(set) = device;
  return state().register_code;
}
int nvmlEventSetWait_v2(void* set, EventData* event, unsigned timeout_ms) {
  FakeCard& card = card_of(*static_cast<void**>(set));
  if (timeout_ms != 0)
    return kInvalidArgument;  // nobody may wait here
  if (card.xid_count == 0)
    return kTimeout;
  event->device = &card;
  event->type = 8;
  event->data = card.xids[--card.xid_count];
  return kSuccess;
}
#endif
}
#endif  // FAKE_NVML_NONE
