#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "harness/cuda/handles.hpp"

/// NCCL as a table of functions. The library is loaded when it is first asked for, so that one program serves
/// machines with and without it, and so that tests can put another one in its place.
namespace lockstep::cuda {

/// What every function of the table returns: NCCL's ncclResult_t.
enum NcclCode : int {
  kNcclSuccess = 0,
  kNcclUnhandledCudaError = 1,
  kNcclSystemError = 2,
  kNcclInvalidArgument = 4,
  kNcclInvalidUsage = 5,
  kNcclRemoteError = 6,
  kNcclInProgress = 7,
};

/// The two 8-bit floats need NCCL 2.24.
enum class NcclType { u8, f16, f32, f64, bf16, e4m3, e5m2 };
/// Bytes of one element.
[[nodiscard]] constexpr std::size_t width_of(NcclType type) {
  switch (type) {
    case NcclType::u8:
    case NcclType::e4m3:
    case NcclType::e5m2:
      return 1;
    case NcclType::f16:
    case NcclType::bf16:
      return 2;
    case NcclType::f32:
      return 4;
    case NcclType::f64:
      return 8;
  }
  return 1;
}

/// What the ranks of a new communicator find each other by.
struct NcclId {
  std::array<char, 128> bytes{};
};

/// How a communicator is made. It is never blocking.
struct NcclSettings {
  int most_ctas = 0;  ///< thread blocks that a collective may take from the GEMMs beside it; 0: NCCL's choice
};

/// NCCL's functions under their own names without `nccl`. Reductions are sums. Codes are NcclCode; on a
/// communicator that is not blocking kNcclInProgress is no error.
struct NcclApi {
  int (*get_version)(int* version);
  int (*get_unique_id)(NcclId* id);
  /// Both write the handle when there is one, which may be from another thread after they have returned.
  int (*comm_init_rank)(ncclComm** comm, int ranks, const NcclId* id, int rank, const NcclSettings* settings);
  int (*comm_split)(ncclComm* parent, int color, int key, ncclComm** comm, const NcclSettings* settings);
  int (*comm_get_async_error)(ncclComm* comm, int* state);
  int (*comm_finalize)(ncclComm* comm);
  int (*comm_destroy)(ncclComm* comm);
  int (*comm_abort)(ncclComm* comm);
  const char* (*get_error_string)(int code);
  const char* (*get_last_error)(ncclComm* comm);
  int (*group_start)();
  int (*group_end)();
  int (*all_reduce)(const void* from, void* to, std::size_t count, NcclType type, ncclComm* comm,
                    CUstream_st* stream);
  int (*reduce_scatter)(const void* from, void* to, std::size_t block, NcclType type, ncclComm* comm,
                        CUstream_st* stream);
  int (*all_gather)(const void* from, void* to, std::size_t block, NcclType type, ncclComm* comm,
                    CUstream_st* stream);
  int (*broadcast)(const void* from, void* to, std::size_t count, NcclType type, int root, ncclComm* comm,
                   CUstream_st* stream);
  int (*send)(const void* from, std::size_t count, NcclType type, int to_rank, ncclComm* comm,
              CUstream_st* stream);
  int (*recv)(void* to, std::size_t count, NcclType type, int from_rank, ncclComm* comm, CUstream_st* stream);
};

/// The NCCL of this machine.
struct NcclLibrary {
  const NcclApi* api = nullptr;  ///< null: there is none
  std::string reason;            ///< why there is none, in one line
  std::string path;              ///< the file that was loaded
};

/// Looks for it once: libnccl.so.2 where the dynamic linker looks, then the file that the build found. Never
/// throws for not finding it. In a build without NCCL there is none.
[[nodiscard]] const NcclLibrary& nccl_library();

}  // namespace lockstep::cuda
