#include "harness/app/rank_checkpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>
#include <sys/resource.h>

#include "harness/core/error.hpp"
#include "harness/core/units.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/plan/model.hpp"
#include "harness/record/checkpoint.hpp"
#include "harness/watch/deadlines.hpp"

namespace lockstep::app {
namespace {

namespace fs = std::filesystem;

/// Lets no file of this process grow while it lives: writes fail, as they do on a full disk.
class NoRoom {
 public:
  NoRoom() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ::sigaction(SIGXFSZ, &ignore, &action_);
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit none{0, limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoRoom() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    ::sigaction(SIGXFSZ, &action_, nullptr);
  }
  NoRoom(const NoRoom&) = delete;
  NoRoom& operator=(const NoRoom&) = delete;

 private:
  struct sigaction action_ {};
  rlimit limit_{};
};

bool means_full(int error) {
  return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

}  // namespace

std::string checkpoint_folder(const plan::Plan& plan, const record::LegRow& leg, const std::string& journals,
                              const std::string& results_folder) {
  fs::path base = plan.recovery.checkpoint_folder;
  if (base.empty())
    base = results_folder;
  if (base.empty()) {
    // results/journals/leg-... when the controller chose it; a folder of somebody's own otherwise.
    const fs::path above = fs::path(journals).lexically_normal().parent_path();
    base = above.filename() == "journals" ? above.parent_path() : fs::path(journals);
  }
  return (fs::absolute(base) / record::checkpoint_folder_name(leg)).string();
}

Checkpoints::Checkpoints(const plan::Plan& plan, std::string folder, const Self& self,
                         record::Journal& journal, FastClock& clock)
    : plan_(plan),
      folder_(std::move(folder)),
      self_(self),
      journal_(journal),
      clock_(clock),
      bytes_(static_cast<std::uint64_t>(plan::parameters(plan.workload.model) *
                                        plan.recovery.checkpoint_bytes_per_parameter)) {}

bool Checkpoints::is_due(std::uint32_t trained) const {
  const std::uint32_t every = plan_.recovery.checkpoint_steps;
  return every > 0 && trained % every == 0;
}

double Checkpoints::allowed_s() const {
  return std::max(plan_.deadlines.first_op_s, watch::StepDeadlines::kFactor * seconds_from_ns(longest_ns_));
}

std::string Checkpoints::step_folder(std::uint32_t trained) const {
  return folder_ + "/" + record::checkpoint_step_name(trained);
}

std::optional<CheckpointTrouble> Checkpoints::save(std::uint32_t trained, const mpi::Communicator& leg,
                                                   bool disk_is_full) {
  const std::int64_t begin_ns = clock_.now_ns();
  std::optional<CheckpointTrouble> trouble = write_share(trained, disk_is_full);
  const std::int64_t well =
      mpi::all_reduce(leg, std::int64_t{trouble ? 0 : 1}, mpi::Reduction::min, allowed_s());
  if (well == 0 && !trouble)
    trouble = CheckpointTrouble{{}, "another rank could not save its part of the checkpoint"};
  if (well != 0) {
    if (self_.rank == 0)
      trouble = mark(trained);
    // The one before stays until the next: rank 0 may die before this one is marked.
    if (self_.local_rank == 0)
      record::remove_checkpoints_before(folder_, last_complete_);
    last_complete_ = trained;
  }
  longest_ns_ = std::max(longest_ns_, clock_.now_ns() - begin_ns);
  return trouble;
}

std::optional<CheckpointTrouble> Checkpoints::mark(std::uint32_t trained) const {
  try {
    record::mark_complete(folder_, {.step = trained, .ranks = self_.ranks});
  } catch (const RunError& error) {
    return CheckpointTrouble{"checkpoint", error.what()};
  }
  return std::nullopt;
}

std::optional<CheckpointTrouble> Checkpoints::write_share(std::uint32_t trained, bool disk_is_full) {
  const std::int64_t begin_ns = clock_.now_ns();
  const std::string path = step_folder(trained) + "/" + record::checkpoint_part_name(self_.rank);
  record::CheckpointPart part;
  try {
    fs::create_directories(step_folder(trained));
    std::optional<NoRoom> no_room;
    if (disk_is_full)
      no_room.emplace();
    part = record::write_checkpoint_part(path, trained, self_.rank,
                                         record::checkpoint_share(bytes_, self_.rank, self_.ranks));
  } catch (const std::system_error& error) {
    const bool is_full = means_full(error.code().value());
    return CheckpointTrouble{
        is_full ? "disk_full" : "checkpoint",
        fmt::format("the checkpoint after {} training steps was not saved: {}", trained, error.what())};
  }
  note("save", trained, part.bytes, part.checksum, part.verified, begin_ns);
  if (part.verified)
    return std::nullopt;
  return CheckpointTrouble{"checkpoint", path + " does not hold what was written to it"};
}

void Checkpoints::load(std::uint32_t trained) {
  const std::int64_t begin_ns = clock_.now_ns();
  const auto refuse = [&](const std::string& why) {
    throw RunError({.what = fmt::format("cannot go on behind {} training steps", trained),
                    .why = why,
                    .suggestion = {},
                    .file = {}});
  };
  const auto found = record::complete_checkpoint(folder_, trained);
  if (!found)
    refuse("there is no complete checkpoint in " + step_folder(trained));
  std::uint64_t bytes = 0;
  std::uint64_t checksum = 0;
  for (std::uint32_t rank = self_.rank; rank < found->ranks; rank += self_.ranks) {
    const std::string path = step_folder(trained) + "/" + record::checkpoint_part_name(rank);
    try {
      const record::CheckpointPart part = record::read_checkpoint_part(path);
      const bool is_right = part.verified && part.step == trained && part.rank == rank &&
                            part.bytes == record::checkpoint_share(bytes_, rank, found->ranks);
      bytes += part.bytes;
      checksum ^= part.checksum;
      if (!is_right) {
        note("load", trained, bytes, checksum, false, begin_ns);
        refuse(path + " is damaged, or of another run");
      }
    } catch (const std::system_error& error) {
      refuse(error.what());
    }
  }
  note("load", trained, bytes, checksum, true, begin_ns);
  last_complete_ = trained;
}

void Checkpoints::note(const char* action, std::uint32_t trained, std::uint64_t bytes, std::uint64_t checksum,
                       bool verified, std::int64_t begin_ns) {
  record::CheckpointRow row;
  row.leg = self_.leg;
  row.rank = self_.rank;
  row.action = action;
  row.step = trained;
  row.bytes = bytes;
  row.begin_ns = begin_ns;
  row.end_ns = clock_.now_ns();
  row.checksum = checksum;
  row.verified = verified ? 1 : 0;
  journal_.add_checkpoint(row);
}

}  // namespace lockstep::app
