#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "harness/cuda/nccl_api.hpp"
#include "harness/cuda/queue.hpp"

/// An NCCL for tests: all ranks live in one process, "device" memory is the host's, and an operation is done
/// when every rank of its communicator has entered it. It is as strict as the real one: a communicator that
/// is still in progress refuses every call, and an operation is on its stream only once that is over.
namespace lockstep::cuda::testing {

struct FakeOp;
struct FakeGroup;

/// What a test wants of it. Reset by FakeNccl's constructor.
struct FakeBehaviour {
  int looks = 0;             ///< calls stay in progress for so many looks
  bool meets = true;         ///< false: no communicator ever becomes ready
  bool late_handle = false;  ///< a split gives its handle only when it is ready
  bool connects = false;     ///< a communicator's first operation is in progress until all ranks are there
  int init_code = kNcclSuccess;
  int call_code = kNcclSuccess;  ///< what operations return
  bool abort_returns = true;     ///< false: not before the FakeNccl goes
  bool finalize_ends = true;
};

/// One at a time.
class FakeNccl {
 public:
  FakeNccl();
  ~FakeNccl();
  FakeNccl(const FakeNccl&) = delete;
  FakeNccl& operator=(const FakeNccl&) = delete;

  [[nodiscard]] const NcclApi& api() const;
  FakeBehaviour behaviour;
  /// Every communicator of this rank of the first one reports `code` from now on.
  void fail_rank(int world_rank, int code);

  struct Counts {
    int made = 0;
    int aborted = 0;
    int finalized = 0;
    int destroyed = 0;
    int refused = 0;    ///< calls on a communicator that was in progress
    int unequal = 0;    ///< operations that ranks entered with unequal arguments: they never end
    int most_ctas = 0;  ///< of the last settings
  };
  [[nodiscard]] Counts counts();
  /// What a rank of the first communicator entered, in order: `group size:operation`.
  [[nodiscard]] std::vector<std::string> entered(int world_rank);

  struct State;
  [[nodiscard]] State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// A stream of the fake.
class FakeQueue final : public Queue {
 public:
  explicit FakeQueue(std::size_t marks);
  ~FakeQueue() override;
  [[nodiscard]] CUstream_st* stream() const override { return stream_.get(); }
  void copy(void* to, const void* from, std::size_t bytes) override;
  void mark(std::size_t index) override;
  [[nodiscard]] bool reached(std::size_t index) override;

  bool broken = false;    ///< reached() throws CudaError
  int copies_behind = 0;  ///< a copy takes so many looks

 private:
  std::unique_ptr<CUstream_st> stream_;
  std::vector<std::size_t> marks_;
};

}  // namespace lockstep::cuda::testing
