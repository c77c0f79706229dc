#pragma once

/// What the fake NVML of the tests answers: plain data, because it crosses the border of a library that is
/// loaded at run time. A test finds it with dlsym("fake_nvml_state").
namespace lockstep::tests {

struct FakeCard {
  const char* name = "NVIDIA H200";
  const char* serial = "1650123456789";
  const char* uuid = "GPU-0000";
  const char* bus_id = "00000000:1B:00.0";
  unsigned clock_mhz[4] = {0, 1980, 3201, 0};
  unsigned temperature = 55;
  unsigned power_mw = 650'500;
  unsigned long long throttle = 0;
  unsigned long long thermal_ns = 0;
  unsigned long long ecc[2] = {0, 0};
  unsigned remapped_corrected = 0;
  unsigned remapped_uncorrected = 0;
  unsigned remap_pending = 0;
  unsigned remap_failed = 0;
  unsigned active_links = 2;
  unsigned long long link_errors = 0;  ///< of each counter of each link
  unsigned long long xids[8] = {};     ///< waiting to be told
  unsigned xid_count = 0;
};

struct FakeNvml {
  int init_code = 0;
  int reading_code = 0;  ///< of every question about a reading
  int serial_code = 0;
  int register_code = 0;
  unsigned wait_ms = 0;  ///< each question about the temperature takes so long
  unsigned cards = 2;
  FakeCard card[2];
  int initialised = 0;  ///< calls of init less calls of shutdown
  int event_sets = 0;   ///< made and not freed
  int readings = 0;     ///< of the temperature
  int link_questions = 0;
};

}  // namespace lockstep::tests
