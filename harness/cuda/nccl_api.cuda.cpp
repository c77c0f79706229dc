#include "harness/cuda/nccl_api.hpp"

#include <cstring>
#include <memory>

#include <dlfcn.h>
#include <nccl.h>

namespace lockstep::cuda {
namespace {

static_assert(kNcclSuccess == static_cast<int>(ncclSuccess));
static_assert(kNcclUnhandledCudaError == static_cast<int>(ncclUnhandledCudaError));
static_assert(kNcclSystemError == static_cast<int>(ncclSystemError));
static_assert(kNcclInvalidArgument == static_cast<int>(ncclInvalidArgument));
static_assert(kNcclInvalidUsage == static_cast<int>(ncclInvalidUsage));
static_assert(kNcclRemoteError == static_cast<int>(ncclRemoteError));
static_assert(kNcclInProgress == static_cast<int>(ncclInProgress));
static_assert(sizeof(NcclId) == sizeof(ncclUniqueId));

/// The functions as they lie in the library, with the types that its header gives them.
struct Loaded {
  decltype(&::ncclGetVersion) get_version = nullptr;
  decltype(&::ncclGetUniqueId) get_unique_id = nullptr;
  decltype(&::ncclCommInitRankConfig) comm_init_rank = nullptr;
  decltype(&::ncclCommSplit) comm_split = nullptr;
  decltype(&::ncclCommGetAsyncError) comm_get_async_error = nullptr;
  decltype(&::ncclCommFinalize) comm_finalize = nullptr;
  decltype(&::ncclCommDestroy) comm_destroy = nullptr;
  decltype(&::ncclCommAbort) comm_abort = nullptr;
  decltype(&::ncclGetErrorString) get_error_string = nullptr;
  decltype(&::ncclGetLastError) get_last_error = nullptr;
  decltype(&::ncclGroupStart) group_start = nullptr;
  decltype(&::ncclGroupEnd) group_end = nullptr;
  decltype(&::ncclAllReduce) all_reduce = nullptr;
  decltype(&::ncclReduceScatter) reduce_scatter = nullptr;
  decltype(&::ncclAllGather) all_gather = nullptr;
  decltype(&::ncclBroadcast) broadcast = nullptr;
  decltype(&::ncclSend) send = nullptr;
  decltype(&::ncclRecv) recv = nullptr;
};

Loaded& loaded() {
  static Loaded functions;
  return functions;
}

/// Takes functions out of a library one by one, and remembers the first that is not there.
class Symbols {
 public:
  explicit Symbols(void* library) : library_(library) {}
  template <class Function>
  void take(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(library_, name));
    if (function == nullptr && missing_.empty())
      missing_ = name;
  }
  [[nodiscard]] const std::string& missing() const { return missing_; }

 private:
  void* library_;
  std::string missing_;
};

std::string take_all(void* library, Loaded& to) {
  Symbols symbols(library);
  symbols.take(to.get_version, "ncclGetVersion");
  symbols.take(to.get_unique_id, "ncclGetUniqueId");
  symbols.take(to.comm_init_rank, "ncclCommInitRankConfig");
  symbols.take(to.comm_split, "ncclCommSplit");
  symbols.take(to.comm_get_async_error, "ncclCommGetAsyncError");
  symbols.take(to.comm_finalize, "ncclCommFinalize");
  symbols.take(to.comm_destroy, "ncclCommDestroy");
  symbols.take(to.comm_abort, "ncclCommAbort");
  symbols.take(to.get_error_string, "ncclGetErrorString");
  symbols.take(to.get_last_error, "ncclGetLastError");
  symbols.take(to.group_start, "ncclGroupStart");
  symbols.take(to.group_end, "ncclGroupEnd");
  symbols.take(to.all_reduce, "ncclAllReduce");
  symbols.take(to.reduce_scatter, "ncclReduceScatter");
  symbols.take(to.all_gather, "ncclAllGather");
  symbols.take(to.broadcast, "ncclBroadcast");
  symbols.take(to.send, "ncclSend");
  symbols.take(to.recv, "ncclRecv");
  return symbols.missing();
}

ncclDataType_t native(NcclType type) {
  switch (type) {
    case NcclType::u8:
      return ncclUint8;
    case NcclType::f16:
      return ncclFloat16;
    case NcclType::f32:
      return ncclFloat32;
    case NcclType::f64:
      return ncclFloat64;
    case NcclType::bf16:
      return ncclBfloat16;
    case NcclType::e4m3:
      return ncclFloat8e4m3;
    case NcclType::e5m2:
      return ncclFloat8e5m2;
  }
  return ncclUint8;
}

ncclConfig_t native(const NcclSettings& settings) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  if (settings.most_ctas > 0) {
    config.minCTAs = 1;  // else NCCL's own least may lie above the most
    config.maxCTAs = settings.most_ctas;
  }
  return config;
}

int comm_init_rank(ncclComm** comm, int ranks, const NcclId* id, int rank, const NcclSettings* settings) {
  ncclUniqueId native_id{};
  std::memcpy(&native_id, id->bytes.data(), sizeof native_id);
  ncclConfig_t config = native(*settings);
  return loaded().comm_init_rank(comm, ranks, native_id, rank, &config);
}

int comm_split(ncclComm* parent, int color, int key, ncclComm** comm, const NcclSettings* settings) {
  ncclConfig_t config = native(*settings);
  return loaded().comm_split(parent, color, key, comm, &config);
}

int comm_get_async_error(ncclComm* comm, int* state) {
  ncclResult_t found = ncclSuccess;
  const int code = loaded().comm_get_async_error(comm, &found);
  *state = found;
  return code;
}

int get_unique_id(NcclId* id) {
  ncclUniqueId native_id{};
  const int code = loaded().get_unique_id(&native_id);
  std::memcpy(id->bytes.data(), &native_id, sizeof native_id);
  return code;
}

// Through loaded() and with plain types, as nobody outside of this file knows NCCL's.
const NcclApi& table() {
  static const NcclApi functions{
      .get_version = [](int* version) -> int { return loaded().get_version(version); },
      .get_unique_id = get_unique_id,
      .comm_init_rank = comm_init_rank,
      .comm_split = comm_split,
      .comm_get_async_error = comm_get_async_error,
      .comm_finalize = [](ncclComm* comm) -> int { return loaded().comm_finalize(comm); },
      .comm_destroy = [](ncclComm* comm) -> int { return loaded().comm_destroy(comm); },
      .comm_abort = [](ncclComm* comm) -> int { return loaded().comm_abort(comm); },
      .get_error_string = [](int code) { return loaded().get_error_string(static_cast<ncclResult_t>(code)); },
      .get_last_error = [](ncclComm* comm) { return loaded().get_last_error(comm); },
      .group_start = []() -> int { return loaded().group_start(); },
      .group_end = []() -> int { return loaded().group_end(); },
      .all_reduce = [](const void* from, void* to, std::size_t count, NcclType type, ncclComm* comm,
                       CUstream_st* stream) -> int {
        return loaded().all_reduce(from, to, count, native(type), ncclSum, comm, stream);
      },
      .reduce_scatter = [](const void* from, void* to, std::size_t block, NcclType type, ncclComm* comm,
                           CUstream_st* stream) -> int {
        return loaded().reduce_scatter(from, to, block, native(type), ncclSum, comm, stream);
      },
      .all_gather = [](const void* from, void* to, std::size_t block, NcclType type, ncclComm* comm,
                       CUstream_st* stream) -> int {
        return loaded().all_gather(from, to, block, native(type), comm, stream);
      },
      .broadcast = [](const void* from, void* to, std::size_t count, NcclType type, int root, ncclComm* comm,
                      CUstream_st* stream) -> int {
        return loaded().broadcast(from, to, count, native(type), root, comm, stream);
      },
      .send = [](const void* from, std::size_t count, NcclType type, int to_rank, ncclComm* comm,
                 CUstream_st* stream) -> int {
        return loaded().send(from, count, native(type), to_rank, comm, stream);
      },
      .recv = [](void* to, std::size_t count, NcclType type, int from_rank, ncclComm* comm,
                 CUstream_st* stream) -> int {
        return loaded().recv(to, count, native(type), from_rank, comm, stream);
      },
  };
  return functions;
}

std::string file_of(void* function) {
  Dl_info info{};
  return ::dladdr(function, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "";
}

NcclLibrary load() {
  NcclLibrary found;
  std::string why;
  // The library stays open for good: its threads may still run when the process ends.
  for (const char* name : {"libnccl.so.2", LOCKSTEP_NCCL_FILE}) {
    void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* text = ::dlerror();
      why = text != nullptr ? text : "unknown reason";
      continue;
    }
    const std::string missing = take_all(library, loaded());
    if (missing.empty()) {
      found.api = &table();
      found.path = file_of(reinterpret_cast<void*>(loaded().get_version));
      return found;
    }
    why = std::string(name) + " has no " + missing + "; NCCL 2.18 or newer is needed";
  }
  found.reason = "NCCL cannot be loaded: " + why;
  return found;
}

}  // namespace

const NcclLibrary& nccl_library() {
  static const NcclLibrary library = load();
  return library;
}

}  // namespace lockstep::cuda
