#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "harness/record/journal.hpp"
#include "harness/step/stamps.hpp"

/// Where everything lies in a journal file. Internal to this room and its tests.
namespace lockstep::record {

/// "LSJOURN1" as it lies in the file. Stored last, so that a journal that has it is whole.
constexpr std::uint64_t kJournalMagic = 0x314e52554f4a534cULL;
constexpr std::uint32_t kJournalLayoutVersion = 2;
constexpr std::uint32_t kClockSlots = 64;
constexpr std::uint32_t kFailureSlots = 256;

struct JournalCounts {
  std::uint32_t steps = 0;
  std::uint32_t kept_steps = 0;
  std::uint32_t ops_per_step = 0;
  std::uint32_t comms_per_step = 0;
  std::uint32_t clock_slots = 0;
  std::uint32_t failure_slots = 0;
  std::uint32_t drill_slots = 0;
  std::uint32_t checkpoint_slots = 0;
  std::uint32_t probe_slots = 0;
  std::uint32_t health_slots = 0;
  bool operator==(const JournalCounts&) const = default;
};

/// Bytes from the begin of the file; every area begins on a cache line.
struct JournalOffsets {
  std::uint64_t meta = 0;
  std::uint64_t where = 0;
  std::uint64_t steps = 0;
  std::uint64_t comms = 0;
  std::uint64_t ops = 0;
  std::uint64_t clock = 0;
  std::uint64_t failures = 0;
  std::uint64_t drills = 0;
  std::uint64_t checkpoints = 0;
  std::uint64_t probes = 0;
  std::uint64_t health = 0;
  std::uint64_t end = 0;  ///< size of the file
  bool operator==(const JournalOffsets&) const = default;
};

/// Sizes of what is stored, so that a file of another build is told apart.
struct JournalSizes {
  std::uint32_t header = 0;
  std::uint32_t where = 0;
  std::uint32_t step_stamp = 0;
  std::uint32_t comm_stamp = 0;
  std::uint32_t op_stamp = 0;
  std::uint32_t clock_slot = 0;
  std::uint32_t failure_slot = 0;
  std::uint32_t drill_slot = 0;
  std::uint32_t checkpoint_slot = 0;
  std::uint32_t probe_slot = 0;
  std::uint32_t health_slot = 0;
  std::uint32_t unused = 0;
  bool operator==(const JournalSizes&) const = default;
};

/// The part of the header that never changes and is covered by a checksum.
struct JournalShape {
  std::uint32_t layout_version = 0;
  std::uint32_t unused = 0;
  JournalSizes sizes;
  JournalCounts counts;
  JournalOffsets offsets;
  std::uint64_t meta_bytes = 0;
  std::uint64_t meta_checksum = 0;
};

struct JournalHeader {
  std::atomic<std::uint64_t> magic;
  JournalShape shape;
  std::uint64_t shape_checksum;
  std::atomic<std::uint32_t> complete;
  std::atomic<std::uint32_t> clock_rows;  ///< asked for, also those that found no slot
  std::atomic<std::uint32_t> failures;    ///< the same
  std::atomic<std::uint32_t> drills;
  std::atomic<std::uint32_t> checkpoints;
  std::atomic<std::uint32_t> probes;
  std::atomic<std::uint32_t> health;
};

struct ClockSlot {
  std::atomic<std::uint32_t> ready;
  std::uint32_t leg;
  std::uint32_t rank;
  std::int64_t local_ns;
  std::int64_t offset_ns;
  std::int64_t bound_ns;
};

struct FailureSlot {
  std::atomic<std::uint32_t> ready;
  std::uint32_t leg;
  std::int32_t rank;
  std::int32_t step;
  std::int32_t op;
  std::uint64_t offset;
  double expected;
  double observed;
  std::int64_t utc_ns;
  std::array<char, 32> kind;      ///< padded with NUL
  std::array<char, 512> message;  ///< padded with NUL
};

struct DrillSlot {
  std::atomic<std::uint32_t> ready;
  std::uint32_t leg;
  std::uint32_t drill;
  std::int32_t step;
  std::int64_t begin_utc_ns;
  std::atomic<std::int64_t> end_utc_ns;  ///< comes later, when it is taken back
  std::array<char, 32> kind;
  std::array<char, 128> target;
  std::array<char, 256> how;
};

struct CheckpointSlot {
  std::atomic<std::uint32_t> ready;
  std::uint32_t leg;
  std::uint32_t rank;
  std::uint32_t step;
  std::uint32_t verified;
  std::uint64_t bytes;
  std::int64_t begin_ns;
  std::int64_t end_ns;
  std::uint64_t checksum;
  std::array<char, 8> action;
};

struct ProbeSlot {
  std::atomic<std::uint32_t> ready;
  std::uint32_t leg;
  std::uint32_t rank;
  std::uint32_t peer;
  std::uint32_t sent;
  std::uint32_t lost;
  std::uint32_t received;
  std::uint32_t unused;
  std::int64_t begin_ns;
  std::int64_t end_ns;
  std::int64_t rtt_min_ns;
  std::int64_t rtt_mean_ns;
  std::int64_t rtt_max_ns;
  std::int64_t out_min_ns;
  std::int64_t out_max_ns;
  std::int64_t back_min_ns;
  std::int64_t back_max_ns;
};

struct HealthSlot {
  std::atomic<std::uint32_t> ready;
  HealthRow row;
};
static_assert(std::is_trivially_copyable_v<HealthRow>, "it is stored as it is");

static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
                  std::atomic<std::int64_t>::is_always_lock_free,
              "atomics in a mapped file must not need a lock of one process");

[[nodiscard]] JournalSizes journal_sizes();
/// nullopt when the file would be larger than any disk.
[[nodiscard]] std::optional<JournalOffsets> journal_offsets(const JournalCounts& counts,
                                                            std::uint64_t meta_bytes);
[[nodiscard]] std::uint64_t shape_checksum(const JournalShape& shape);

/// RankMeta as JSON text, and back. Throws std::exception when the text is none of ours.
[[nodiscard]] std::string write_meta(const RankMeta& meta);
[[nodiscard]] RankMeta read_meta(std::string_view text);

/// `0,2,4,6,9` as `0-6:2,9`: runs of equal distance. Keeps the description of large groups short.
[[nodiscard]] std::string pack_ranks(std::span<const std::uint32_t> ranks);
/// Throws std::invalid_argument.
[[nodiscard]] std::vector<std::uint32_t> unpack_ranks(std::string_view text);

/// An area of the mapping.
template <class T>
[[nodiscard]] std::span<T> journal_area(std::span<std::byte> file, std::uint64_t offset,
                                        std::uint64_t count) {
  return {reinterpret_cast<T*>(file.data() + offset), count};
}
template <class T>
[[nodiscard]] std::span<const T> journal_area(std::span<const std::byte> file, std::uint64_t offset,
                                              std::uint64_t count) {
  return {reinterpret_cast<const T*>(file.data() + offset), count};
}

}  // namespace lockstep::record
