#include "tests/cuda/fake_nccl.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <tuple>
#include <utility>

#include "harness/core/error.hpp"
#include "harness/cuda/device.hpp"

namespace lockstep::cuda::testing {

/// One rank's part in an operation.
struct FakeEntry {
  std::string kind;
  const void* from = nullptr;
  void* to = nullptr;
  std::size_t count = 0;
  NcclType type = NcclType::f32;
  int root = 0;
  struct Message {
    const void* from = nullptr;
    void* to = nullptr;
    std::size_t count = 0;
    int peer = 0;
  };
  std::vector<Message> sends;
  std::vector<Message> receives;
};

struct FakeOp {
  std::map<int, FakeEntry> entries;  // by rank in the group
  bool done = false;
};

struct FakeGroup {
  int size = 0;
  std::vector<std::shared_ptr<FakeOp>> ops;
  int at_first_op = 0;  // ranks that have come to it
};

}  // namespace lockstep::cuda::testing

// The handles are this program's own: nothing here sees NCCL's or CUDA's headers.
struct CUstream_st {
  struct Item {
    std::shared_ptr<lockstep::cuda::testing::FakeOp> op;  // null: a copy
    std::function<void()> copy;
    int looks = 0;
  };
  std::vector<Item> items;
};

struct ncclComm {
  std::shared_ptr<lockstep::cuda::testing::FakeGroup> group;
  int rank = 0;
  int world_rank = 0;
  int looks_left = 0;
  int state = 0;
  std::size_t next_op = 0;
  std::size_t splits = 0;
  bool finalizing = false;
  std::optional<std::pair<lockstep::cuda::testing::FakeEntry, CUstream_st*>> entering;
};

namespace lockstep::cuda::testing {
namespace {

FakeNccl::State* current = nullptr;

}  // namespace

struct FakeNccl::State {
  FakeBehaviour* behaviour = nullptr;
  std::mutex mutex;
  std::condition_variable wake;
  bool over = false;
  int blocked = 0;
  std::uint64_t ids = 0;
  std::map<std::string, std::shared_ptr<FakeGroup>> groups;  // by id, or by parent and color
  std::vector<std::unique_ptr<ncclComm>> comms;
  std::map<int, int> failed;  // by world rank
  std::map<int, std::vector<std::string>> entered;
  struct Late {
    ncclComm* parent = nullptr;
    ncclComm** to = nullptr;
    ncclComm* comm = nullptr;
  };
  std::vector<Late> late;
  FakeNccl::Counts counts;
  // The NCCL group that is open; tests call from one thread.
  bool in_group = false;
  ncclComm* group_comm = nullptr;
  CUstream_st* group_stream = nullptr;
  FakeEntry group_entry;
};

namespace {

template <class Real>
void sum(const FakeOp& op, std::size_t first, void* to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    Real total = 0;
    for (const auto& [rank, entry] : op.entries)
      total += static_cast<const Real*>(entry.from)[first + i];
    static_cast<Real*>(to)[i] = total;
  }
}

void sum(const FakeOp& op, NcclType type, std::size_t first, void* to, std::size_t count) {
  if (type == NcclType::f64)
    sum<double>(op, first, to, count);
  else
    sum<float>(op, first, to, count);
}

void exchange(FakeOp& op) {
  for (auto& [rank, entry] : op.entries) {
    std::map<int, std::size_t> taken;
    for (const FakeEntry::Message& receive : entry.receives) {
      const FakeEntry& peer = op.entries.at(receive.peer);
      std::size_t skip = taken[receive.peer]++;
      for (const FakeEntry::Message& send : peer.sends) {
        if (send.peer == rank && skip-- == 0)
          std::memcpy(receive.to, send.from, receive.count * width_of(entry.type));
      }
    }
  }
}

/// Ranks that enter different things wait for each other for ever.
bool are_equal(const FakeOp& op) {
  const FakeEntry& first = op.entries.begin()->second;
  return std::all_of(op.entries.begin(), op.entries.end(), [&](const auto& entry) {
    return entry.second.kind == first.kind && entry.second.count == first.count &&
           entry.second.type == first.type;
  });
}

void execute(FakeOp& op, int size) {
  const NcclType type = op.entries.begin()->second.type;
  const std::size_t width = width_of(type);
  for (auto& [rank, entry] : op.entries) {
    if (entry.kind == "all_reduce")
      sum(op, type, 0, entry.to, entry.count);
    else if (entry.kind == "reduce_scatter")
      sum(op, type, static_cast<std::size_t>(rank) * entry.count, entry.to, entry.count);
    else if (entry.kind == "broadcast")
      std::memmove(entry.to, op.entries.at(entry.root).from, entry.count * width);
    else if (entry.kind == "all_gather") {
      for (int peer = 0; peer < size; ++peer)
        std::memcpy(static_cast<std::byte*>(entry.to) + static_cast<std::size_t>(peer) * entry.count * width,
                    op.entries.at(peer).from, entry.count * width);
    }
  }
  if (op.entries.begin()->second.kind == "exchange")
    exchange(op);
  op.done = true;
}

/// The operation is on its stream from now on.
void put_on_stream(ncclComm* comm) {
  auto [entry, stream] = std::move(*comm->entering);
  comm->entering.reset();
  FakeGroup& group = *comm->group;
  if (group.ops.size() == comm->next_op)
    group.ops.push_back(std::make_shared<FakeOp>());
  const std::shared_ptr<FakeOp> op = group.ops[comm->next_op++];
  op->entries[comm->rank] = std::move(entry);
  stream->items.push_back({op, {}, 0});
  if (op->entries.size() < static_cast<std::size_t>(group.size))
    return;
  if (are_equal(*op))
    execute(*op, group.size);
  else
    ++current->counts.unequal;
}

int refuse_if_busy(ncclComm* comm) {
  if (comm->looks_left == 0)
    return kNcclSuccess;
  ++current->counts.refused;
  return kNcclInvalidArgument;
}

int enter(ncclComm* comm, FakeEntry entry, CUstream_st* stream) {
  if (const int code = refuse_if_busy(comm))
    return code;
  if (current->behaviour->call_code != kNcclSuccess)
    return current->behaviour->call_code;
  current->entered[comm->world_rank].push_back(std::to_string(comm->group->size) + ":" + entry.kind);
  comm->entering.emplace(std::move(entry), stream);
  comm->looks_left = current->behaviour->looks;
  if (current->behaviour->connects && comm->next_op == 0) {
    ++comm->group->at_first_op;
    comm->looks_left = std::max(1, comm->looks_left);
  }
  if (comm->looks_left > 0)
    return kNcclInProgress;
  put_on_stream(comm);
  return kNcclSuccess;
}

ncclComm* make(std::shared_ptr<FakeGroup> group, int rank, int world_rank) {
  auto comm = std::make_unique<ncclComm>();
  comm->group = std::move(group);
  comm->rank = rank;
  comm->world_rank = world_rank;
  comm->looks_left = current->behaviour->meets ? current->behaviour->looks : 1 << 30;
  ++current->counts.made;
  return current->comms.emplace_back(std::move(comm)).get();
}

int comm_init_rank(ncclComm** comm, int ranks, const NcclId* id, int rank, const NcclSettings* settings) {
  if (current->behaviour->init_code != kNcclSuccess)
    return current->behaviour->init_code;
  current->counts.most_ctas = settings->most_ctas;
  auto& group = current->groups[std::string(id->bytes.data(), id->bytes.size())];
  if (!group)
    group = std::make_shared<FakeGroup>(FakeGroup{ranks, {}, 0});
  *comm = make(group, rank, rank);
  return (*comm)->looks_left > 0 ? kNcclInProgress : kNcclSuccess;
}

/// Ranks of one color are numbered by key, which tests give as the rank in the new group.
int comm_split(ncclComm* parent, int color, int key, ncclComm** comm, const NcclSettings* settings) {
  if (const int code = refuse_if_busy(parent))
    return code;
  if (current->behaviour->init_code != kNcclSuccess)
    return current->behaviour->init_code;
  current->counts.most_ctas = settings->most_ctas;
  const std::string name = std::to_string(reinterpret_cast<std::uintptr_t>(parent->group.get())) + "/" +
                           std::to_string(parent->splits++) + "/" + std::to_string(color);
  auto& group = current->groups[name];
  if (!group)
    group = std::make_shared<FakeGroup>();
  group->size = std::max(group->size, key + 1);
  ncclComm* made = make(group, key, parent->world_rank);
  if (current->behaviour->late_handle || !current->behaviour->meets) {
    parent->looks_left = std::max(1, made->looks_left);
    made->looks_left = 0;
    current->late.push_back({parent, comm, made});
    return kNcclInProgress;
  }
  *comm = made;
  return made->looks_left > 0 ? kNcclInProgress : kNcclSuccess;
}

int comm_get_async_error(ncclComm* comm, int* state) {
  const auto failed = current->failed.find(comm->world_rank);
  if (failed != current->failed.end()) {
    *state = failed->second;
    return kNcclSuccess;
  }
  if (comm->finalizing && !current->behaviour->finalize_ends) {
    *state = kNcclInProgress;
    return kNcclSuccess;
  }
  const bool connecting = current->behaviour->connects && comm->entering && comm->next_op == 0 &&
                          comm->group->at_first_op < comm->group->size;
  if (comm->looks_left > 0 && current->behaviour->meets && !connecting)
    --comm->looks_left;
  if (comm->looks_left == 0 && comm->entering)
    put_on_stream(comm);
  for (FakeNccl::State::Late& late : current->late) {
    if (late.parent == comm && comm->looks_left == 0 && late.to != nullptr)
      *std::exchange(late.to, nullptr) = late.comm;
  }
  *state = comm->looks_left > 0 ? kNcclInProgress : kNcclSuccess;
  return kNcclSuccess;
}

const NcclApi& table() {
  static const NcclApi functions{
      .get_version =
          [](int* version) {
            *version = 22809;
            return static_cast<int>(kNcclSuccess);
          },
      .get_unique_id =
          [](NcclId* id) {
            const std::uint64_t number = ++current->ids;
            std::memcpy(id->bytes.data(), &number, sizeof number);
            return static_cast<int>(kNcclSuccess);
          },
      .comm_init_rank = comm_init_rank,
      .comm_split = comm_split,
      .comm_get_async_error = comm_get_async_error,
      .comm_finalize =
          [](ncclComm* comm) {
            ++current->counts.finalized;
            comm->finalizing = true;
            return static_cast<int>(kNcclInProgress);
          },
      .comm_destroy =
          [](ncclComm* /*comm*/) {
            const std::lock_guard lock(current->mutex);
            ++current->counts.destroyed;
            return static_cast<int>(kNcclSuccess);
          },
      .comm_abort =
          [](ncclComm* /*comm*/) {
            FakeNccl::State& state = *current;
            std::unique_lock lock(state.mutex);
            ++state.counts.aborted;
            if (state.behaviour->abort_returns)
              return static_cast<int>(kNcclSuccess);
            ++state.blocked;
            state.wake.wait(lock, [&] { return state.over; });
            --state.blocked;
            state.wake.notify_all();
            return static_cast<int>(kNcclSuccess);
          },
      .get_error_string =
          [](int code) {
            switch (code) {
              case kNcclSystemError:
                return "unhandled system error";
              case kNcclRemoteError:
                return "remote process exited or there was a network error";
              case kNcclInvalidUsage:
                return "invalid usage";
              case kNcclInvalidArgument:
                return "invalid argument";
              default:
                return "some error";
            }
          },
      .get_last_error = [](ncclComm* /*comm*/) { return "socket closed\n"; },
      .group_start =
          [] {
            current->in_group = true;
            current->group_comm = nullptr;
            current->group_entry = {};
            current->group_entry.kind = "exchange";
            return static_cast<int>(kNcclSuccess);
          },
      .group_end =
          [] {
            current->in_group = false;
            if (current->group_comm == nullptr)
              return static_cast<int>(kNcclSuccess);
            return enter(current->group_comm, std::move(current->group_entry), current->group_stream);
          },
      .all_reduce =
          [](const void* from, void* to, std::size_t count, NcclType type, ncclComm* comm,
             CUstream_st* stream) {
            return enter(comm, {"all_reduce", from, to, count, type, 0, {}, {}}, stream);
          },
      .reduce_scatter =
          [](const void* from, void* to, std::size_t block, NcclType type, ncclComm* comm,
             CUstream_st* stream) {
            return enter(comm, {"reduce_scatter", from, to, block, type, 0, {}, {}}, stream);
          },
      .all_gather =
          [](const void* from, void* to, std::size_t block, NcclType type, ncclComm* comm,
             CUstream_st* stream) {
            return enter(comm, {"all_gather", from, to, block, type, 0, {}, {}}, stream);
          },
      .broadcast =
          [](const void* from, void* to, std::size_t count, NcclType type, int root, ncclComm* comm,
             CUstream_st* stream) {
            return enter(comm, {"broadcast", from, to, count, type, root, {}, {}}, stream);
          },
      .send =
          [](const void* from, std::size_t count, NcclType type, int to_rank, ncclComm* comm,
             CUstream_st* stream) {
            LOCKSTEP_EXPECT(current->in_group, "sent outside of a group");
            current->group_comm = comm;
            current->group_stream = stream;
            current->group_entry.type = type;
            current->group_entry.count = count;
            current->group_entry.sends.push_back({from, nullptr, count, to_rank});
            return static_cast<int>(kNcclSuccess);
          },
      .recv =
          [](void* to, std::size_t count, NcclType type, int from_rank, ncclComm* comm, CUstream_st* stream) {
            LOCKSTEP_EXPECT(current->in_group, "received outside of a group");
            current->group_comm = comm;
            current->group_stream = stream;
            current->group_entry.type = type;
            current->group_entry.receives.push_back({nullptr, to, count, from_rank});
            return static_cast<int>(kNcclSuccess);
          },
  };
  return functions;
}

}  // namespace

FakeNccl::FakeNccl() : state_(std::make_unique<State>()) {
  LOCKSTEP_EXPECT(current == nullptr, "one fake at a time");
  state_->behaviour = &behaviour;
  current = state_.get();
}

FakeNccl::~FakeNccl() {
  std::unique_lock lock(state_->mutex);
  state_->over = true;
  state_->wake.notify_all();
  state_->wake.wait(lock, [this] { return state_->blocked == 0; });
  current = nullptr;
}

const NcclApi& FakeNccl::api() const {
  return table();
}

void FakeNccl::fail_rank(int world_rank, int code) {
  state_->failed[world_rank] = code;
}

FakeNccl::Counts FakeNccl::counts() {
  const std::lock_guard lock(state_->mutex);
  return state_->counts;
}

std::vector<std::string> FakeNccl::entered(int world_rank) {
  return state_->entered[world_rank];
}

FakeQueue::FakeQueue(std::size_t marks) : stream_(std::make_unique<CUstream_st>()), marks_(marks, 0) {}

FakeQueue::~FakeQueue() = default;

void FakeQueue::copy(void* to, const void* from, std::size_t bytes) {
  stream_->items.push_back({nullptr, [=] { std::memcpy(to, from, bytes); }, copies_behind});
}

void FakeQueue::mark(std::size_t index) {
  marks_.at(index) = stream_->items.size();
}

bool FakeQueue::reached(std::size_t index) {
  if (broken)
    throw CudaError("cudaEventQuery", 700, "cudaErrorIllegalAddress", "an illegal memory access");
  for (std::size_t i = 0; i < marks_.at(index); ++i) {
    CUstream_st::Item& item = stream_->items[i];
    if (item.op && !item.op->done)
      return false;
    if (item.op || !item.copy)
      continue;
    if (item.looks-- > 0)
      return false;
    item.copy();
    item.copy = nullptr;
  }
  return true;
}

}  // namespace lockstep::cuda::testing
