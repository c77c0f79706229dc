#pragma once

#include <stdexcept>
#include <string>

#include <dlfcn.h>

#include "tests/cuda/fake_nvml.hpp"

namespace lockstep::tests {

/// Keeps the fake library loaded, as it was when it was new, and gives its answers to the test.
class LoadedFakeNvml {
 public:
  explicit LoadedFakeNvml(const std::string& path) : path_(path), handle_(::dlopen(path.c_str(), RTLD_NOW)) {
    if (handle_ == nullptr)
      throw std::runtime_error(::dlerror());
    state_ = static_cast<FakeNvml*>(::dlsym(handle_, "fake_nvml_state"));
    *state_ = FakeNvml{};
    state_->card[1].serial = "1650987654321";
    state_->card[1].uuid = "GPU-1111";
    state_->card[1].bus_id = "00000000:9D:00.0";
  }
  LoadedFakeNvml(const LoadedFakeNvml&) = delete;
  LoadedFakeNvml& operator=(const LoadedFakeNvml&) = delete;
  ~LoadedFakeNvml() { ::dlclose(handle_); }

  [[nodiscard]] const std::string& path() const { return path_; }
  FakeNvml* operator->() { return state_; }
  FakeCard& card(unsigned index) { return state_->card[index]; }

 private:
  std::string path_;
  void* handle_;
  FakeNvml* state_ = nullptr;
};

}  // namespace lockstep::tests
