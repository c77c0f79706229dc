#include "harness/cuda/nccl_communicator.hpp"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "harness/core/clock.hpp"
#include "harness/core/units.hpp"

namespace lockstep::cuda {
namespace {

constexpr std::int64_t kLookEveryNs = 100'000;  // while setting up: others need the cores

std::int64_t after(double seconds) {
  return monotonic_ns() + static_cast<std::int64_t>(seconds * kNsPerS);
}

/// NCCL's name for the code, and what it remembers of the last thing that went wrong.
std::string told(const NcclApi& api, ncclComm* comm, int code) {
  const char* name = api.get_error_string(code);
  const char* last = api.get_last_error(comm);
  std::string text = name != nullptr ? name : fmt::format("code {}", code);
  if (last != nullptr && *last != '\0')
    text += fmt::format(": {}", last);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' '))
    text.pop_back();
  for (char& c : text) {
    if (c == '\n')
      c = ' ';
  }
  return text;
}

const char* suggestion_for(int code) {
  switch (code) {
    case kNcclInvalidUsage:
      return "give each rank a GPU of its own, or set fabric.share_gpu = true for a rehearsal";
    case kNcclSystemError:
    case kNcclRemoteError:
      return "look at the network with NCCL_DEBUG=INFO, and at NCCL_SOCKET_IFNAME";
    default:
      return "run again with NCCL_DEBUG=INFO";
  }
}

}  // namespace

NcclError::NcclError(std::string what, std::string why, std::string suggestion)
    : RunError(
          {.what = std::move(what), .why = std::move(why), .suggestion = std::move(suggestion), .file = {}}) {
}

NcclId make_nccl_id(const NcclApi& api) {
  NcclId id;
  const int code = api.get_unique_id(&id);
  if (code != kNcclSuccess)
    throw NcclError("ncclGetUniqueId failed", told(api, nullptr, code), suggestion_for(code));
  return id;
}

/// Where NCCL writes a handle. Kept for ever once its making was given up.
struct NcclCommunicator::Cell {
  ncclComm* handle = nullptr;

  static void keep(std::shared_ptr<Cell> cell) {
    static std::mutex mutex;
    static auto* const kept =
        new std::vector<std::shared_ptr<Cell>>;  // never destroyed: NCCL may still write
    const std::lock_guard lock(mutex);
    kept->push_back(std::move(cell));
  }
};

NcclCommunicator::NcclCommunicator(const NcclApi& api, int ranks, int rank)
    : api_(&api), cell_(std::make_shared<Cell>()), size_(ranks), rank_(rank) {
  LOCKSTEP_EXPECT(ranks > 0 && rank >= 0 && rank < ranks, "a rank of the communicator");
}

NcclCommunicator::NcclCommunicator(const NcclApi& api, const NcclId& id, int ranks, int rank,
                                   const NcclSettings& settings, double deadline_s)
    : NcclCommunicator(api, ranks, rank) {
  took("ncclCommInitRankConfig", api_->comm_init_rank(&cell_->handle, ranks, &id, rank, &settings));
  await_ready("ncclCommInitRankConfig", deadline_s);
}

NcclCommunicator NcclCommunicator::split(int color, int key, int ranks, int rank,
                                         const NcclSettings& settings, double deadline_s) {
  LOCKSTEP_EXPECT(color >= 0, "colors are not negative");
  NcclCommunicator made(*api_, ranks, rank);
  const std::int64_t deadline_ns = after(deadline_s);
  made.took("ncclCommSplit", api_->comm_split(handle(), color, key, &made.cell_->handle, &settings));
  try {
    // The parent is busy until the new one has its handle, which the parent's own thread writes.
    await_ready("ncclCommSplit", deadline_s);
    made.await_ready("ncclCommSplit", std::max(1e-3, seconds_from_ns(deadline_ns - monotonic_ns())));
  } catch (const NcclError&) {
    if (made.handle() == nullptr)
      Cell::keep(made.cell_);
    throw;
  }
  return made;
}

NcclCommunicator::NcclCommunicator(NcclCommunicator&& other) noexcept
    : api_(other.api_),
      cell_(std::exchange(other.cell_, nullptr)),
      size_(other.size_),
      rank_(other.rank_),
      code_(other.code_),
      error_(std::move(other.error_)) {}

NcclCommunicator& NcclCommunicator::operator=(NcclCommunicator&& other) noexcept {
  if (this != &other) {
    abort_all({this}, kAbortWaitS);
    api_ = other.api_;
    cell_ = std::exchange(other.cell_, nullptr);
    size_ = other.size_;
    rank_ = other.rank_;
    code_ = other.code_;
    error_ = std::move(other.error_);
  }
  return *this;
}

NcclCommunicator::~NcclCommunicator() {
  abort_all({this}, kAbortWaitS);
}

ncclComm* NcclCommunicator::handle() const noexcept {
  return cell_ ? std::atomic_ref<ncclComm*>(cell_->handle).load(std::memory_order_acquire) : nullptr;
}

NcclCommunicator::State NcclCommunicator::fail(const std::string& call, int code) {
  if (error_.empty()) {
    code_ = code;
    error_ = fmt::format("{} failed: {}", call, told(*api_, handle(), code));
  }
  return State::failed;
}

NcclCommunicator::State NcclCommunicator::took(const char* call, int code) {
  if (!error_.empty())
    return State::failed;
  if (code == kNcclSuccess)
    return State::ready;
  if (code == kNcclInProgress)
    return State::in_progress;
  return fail(call, code);
}

NcclCommunicator::State NcclCommunicator::poll() {
  if (!error_.empty())
    return State::failed;
  ncclComm* comm = handle();
  if (comm == nullptr)
    return State::in_progress;
  int state = kNcclSuccess;
  const int code = api_->comm_get_async_error(comm, &state);
  if (code != kNcclSuccess)
    return fail("ncclCommGetAsyncError", code);
  if (state == kNcclInProgress)
    return State::in_progress;
  return state == kNcclSuccess ? State::ready : fail("an NCCL operation", state);
}

/// For setting up: waits, and throws what went wrong with `call`.
void NcclCommunicator::await_ready(const char* call, double deadline_s) {
  const std::int64_t deadline_ns = after(deadline_s);
  State state = poll();
  while (state == State::in_progress && monotonic_ns() < deadline_ns) {
    sleep_until_ns(monotonic_ns() + kLookEveryNs);
    state = poll();
  }
  if (state == State::ready)
    return;
  if (state == State::in_progress) {
    if (handle() == nullptr)
      Cell::keep(cell_);
    throw NcclError(fmt::format("{} did not come to an end within {:g} s", call, deadline_s),
                    fmt::format("rank {} of {} waits for others that have not come", rank_, size_),
                    "look for a rank that failed earlier, and at NCCL_SOCKET_IFNAME");
  }
  throw NcclError(error_, {}, suggestion_for(code_));
}

template <class Calls>
NcclCommunicator::State NcclCommunicator::grouped(const char* call, Calls&& calls) {
  if (!error_.empty())
    return State::failed;
  int code = api_->group_start();
  if (code != kNcclSuccess)
    return took("ncclGroupStart", code);
  code = calls();
  const int end = api_->group_end();  // also after an error: the group is open
  return took(call, code != kNcclSuccess && code != kNcclInProgress ? code : end);
}

NcclCommunicator::State NcclCommunicator::all_reduce(const void* from, void* to, std::size_t count,
                                                     NcclType type, CUstream_st* stream) {
  return took("ncclAllReduce", api_->all_reduce(from, to, count, type, handle(), stream));
}

NcclCommunicator::State NcclCommunicator::reduce_scatter(const void* from, void* to, std::size_t block,
                                                         NcclType type, CUstream_st* stream) {
  return took("ncclReduceScatter", api_->reduce_scatter(from, to, block, type, handle(), stream));
}

NcclCommunicator::State NcclCommunicator::all_gather(const void* from, void* to, std::size_t block,
                                                     NcclType type, CUstream_st* stream) {
  return took("ncclAllGather", api_->all_gather(from, to, block, type, handle(), stream));
}

NcclCommunicator::State NcclCommunicator::broadcast(const void* from, void* to, std::size_t count,
                                                    NcclType type, int root, CUstream_st* stream) {
  return took("ncclBroadcast", api_->broadcast(from, to, count, type, root, handle(), stream));
}

NcclCommunicator::State NcclCommunicator::all_to_all(const void* from, void* to, std::size_t block,
                                                     NcclType type, CUstream_st* stream) {
  return grouped("ncclSend and ncclRecv", [&] {
    const std::size_t bytes = block * width_of(type);
    int code = kNcclSuccess;
    for (int peer = 0; peer < size_ && (code == kNcclSuccess || code == kNcclInProgress); ++peer) {
      const std::size_t offset = static_cast<std::size_t>(peer) * bytes;
      code = api_->send(static_cast<const std::byte*>(from) + offset, block, type, peer, handle(), stream);
      if (code == kNcclSuccess || code == kNcclInProgress)
        code = api_->recv(static_cast<std::byte*>(to) + offset, block, type, peer, handle(), stream);
    }
    return code;
  });
}

NcclCommunicator::State NcclCommunicator::exchange(const void* from, int to_rank, void* to, int from_rank,
                                                   std::size_t count, NcclType type, CUstream_st* stream) {
  return grouped("ncclSend and ncclRecv", [&] {
    const int code = api_->send(from, count, type, to_rank, handle(), stream);
    if (code != kNcclSuccess && code != kNcclInProgress)
      return code;
    return api_->recv(to, count, type, from_rank, handle(), stream);
  });
}

bool NcclCommunicator::finalize(double deadline_s) noexcept {
  const std::int64_t deadline_ns = after(deadline_s);
  State state = poll();
  if (state == State::ready) {
    state = took("ncclCommFinalize", api_->comm_finalize(handle()));
    if (state != State::failed)
      state = poll();
    while (state == State::in_progress && monotonic_ns() < deadline_ns) {
      sleep_until_ns(monotonic_ns() + kLookEveryNs);
      state = poll();
    }
  }
  if (state != State::ready) {
    abort_all({this}, kAbortWaitS);
    return false;
  }
  ncclComm* comm = handle();
  cell_ = nullptr;
  return BoundedCall([api = api_, comm] { static_cast<void>(api->comm_destroy(comm)); })
      .returned_by(after(kAbortWaitS));
}

std::optional<BoundedCall> NcclCommunicator::begin_abort() noexcept {
  ncclComm* comm = handle();
  cell_ = nullptr;
  if (comm == nullptr)
    return std::nullopt;
  return BoundedCall([api = api_, comm] { static_cast<void>(api->comm_abort(comm)); });
}

std::size_t abort_all(std::vector<NcclCommunicator*> communicators, double wait_s) noexcept {
  const std::int64_t deadline_ns = after(wait_s);
  std::vector<std::optional<BoundedCall>> calls(communicators.size());
  for (std::size_t i = 0; i < communicators.size(); ++i)
    calls[i] = communicators[i]->begin_abort();
  std::size_t left = 0;
  for (const auto& call : calls) {
    if (call && !call->returned_by(deadline_ns))
      ++left;
  }
  return left;
}

}  // namespace lockstep::cuda
