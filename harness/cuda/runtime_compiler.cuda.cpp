#include "harness/cuda/runtime_compiler.hpp"

#include <cstdlib>
#include <memory>

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include "harness/cuda/device.hpp"

namespace lockstep::cuda {
namespace {

// As the documentation of NVRTC declares them: its header is not part of every installation that has the
// library.
using Program = struct ProgramTag*;
using Result = int;
constexpr Result kSuccess = 0;

struct Functions {
  Result (*create)(Program*, const char* source, const char* name, int headers,
                   const char* const* header_texts, const char* const* header_names) = nullptr;
  Result (*destroy)(Program*) = nullptr;
  Result (*compile)(Program, int options, const char* const*) = nullptr;
  Result (*log_size)(Program, std::size_t*) = nullptr;
  Result (*log)(Program, char*) = nullptr;
  Result (*code_size)(Program, std::size_t*) = nullptr;
  Result (*code)(Program, char*) = nullptr;
  const char* (*error)(Result) = nullptr;
  std::string trouble;  ///< empty when all are there
};

template <class Function>
void find(void* library, const char* name, Function& function, std::string& trouble) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr && trouble.empty())
    trouble = std::string("it has no ") + name;
}

Functions load() {
  Functions f;
  const std::string name = "libnvrtc.so." + std::to_string(CUDART_VERSION / 1000);
  std::vector<std::string> places = {name, std::string(LOCKSTEP_CUDA_LIBRARY_FOLDER) + "/" + name};
  if (const char* home = std::getenv("CUDA_HOME"); home != nullptr && *home == '/')
    places.push_back(std::string(home) + "/lib64/" + name);
  places.push_back("/usr/local/cuda/lib64/" + name);
  void* library = nullptr;
  for (const std::string& place : places) {
    library = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library != nullptr)
      break;
    if (f.trouble.empty())
      f.trouble = ::dlerror();
  }
  if (library == nullptr)
    return f;
  f.trouble.clear();
  find(library, "nvrtcCreateProgram", f.create, f.trouble);
  find(library, "nvrtcDestroyProgram", f.destroy, f.trouble);
  find(library, "nvrtcCompileProgram", f.compile, f.trouble);
  find(library, "nvrtcGetProgramLogSize", f.log_size, f.trouble);
  find(library, "nvrtcGetProgramLog", f.log, f.trouble);
  find(library, "nvrtcGetCUBINSize", f.code_size, f.trouble);
  find(library, "nvrtcGetCUBIN", f.code, f.trouble);
  find(library, "nvrtcGetErrorString", f.error, f.trouble);
  return f;
}

const Functions& functions() {
  static const Functions loaded = load();
  return loaded;
}

void check(Result result, const char* call, const std::string& log) {
  if (result != kSuccess)
    throw CudaError(call, result, functions().error(result), log.empty() ? "no more is known" : log);
}

/// What the compiler said, on one line.
std::string log_of(Program program) {
  std::size_t size = 0;
  if (functions().log_size(program, &size) != kSuccess || size == 0)
    return {};
  std::string log(size, '\0');
  if (functions().log(program, log.data()) != kSuccess)
    return {};
  log.resize(size - 1);
  for (char& character : log) {
    if (character == '\n')
      character = ' ';
  }
  return log;
}

struct DestroyProgram {
  void operator()(Program program) const noexcept { static_cast<void>(functions().destroy(&program)); }
};

}  // namespace

bool has_runtime_compiler() {
  return functions().trouble.empty();
}

std::vector<char> compile_kernel(const std::string& source, const std::string& name, int major, int minor) {
  const Functions& f = functions();
  if (!f.trouble.empty())
    throw CudaError("loading NVRTC", -1, "not loaded", f.trouble);
  Program made = nullptr;
  check(f.create(&made, source.c_str(), name.c_str(), 0, nullptr, nullptr), "nvrtcCreateProgram", {});
  const std::unique_ptr<ProgramTag, DestroyProgram> program(made);
  const std::string architecture = "--gpu-architecture=sm_" + std::to_string(major) + std::to_string(minor);
  const char* options[] = {architecture.c_str(), "--std=c++17"};
  const Result result = f.compile(program.get(), 2, options);
  check(result, "nvrtcCompileProgram", result == kSuccess ? std::string() : log_of(program.get()));
  std::size_t size = 0;
  check(f.code_size(program.get(), &size), "nvrtcGetCUBINSize", {});
  std::vector<char> code(size);
  check(f.code(program.get(), code.data()), "nvrtcGetCUBIN", {});
  return code;
}

}  // namespace lockstep::cuda
