#include "harness/record/journal.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/record/journal_layout.hpp"
#include "harness/record/schema.hpp"

namespace lockstep::record {
namespace {

/// Takes the next slot of an area; null when all are taken. The count goes on, so that readers know what is
/// missing.
template <class Slot>
Slot* take_slot(std::atomic<std::uint32_t>& taken, std::span<Slot> slots) noexcept {
  const std::uint32_t index = taken.fetch_add(1, std::memory_order_relaxed);
  return index < slots.size() ? &slots[index] : nullptr;
}

/// No allocation: it must work when memory is short, and beside a thread that died while it allocated.
template <std::size_t size>
void copy_text(std::array<char, size>& to, std::string_view text) noexcept {
  std::size_t bytes = std::min(text.size(), size);
  while (bytes < text.size() && bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0U) == 0x80U)
    --bytes;  // never half a character
  std::memcpy(to.data(), text.data(), bytes);
}

void expect_parts(const RankMeta& meta) {
  for (const GraphRow& op : meta.graph) {
    if (op.group.empty())
      continue;
    const auto part = meta.parts.find(op.group);
    LOCKSTEP_EXPECT(part != meta.parts.end(), "RankMeta::parts lacks a group of the graph");
    LOCKSTEP_EXPECT(std::find(part->second.begin(), part->second.end(), meta.rank.rank) != part->second.end(),
                    "a rank is no member of its own part of a group");
  }
}

}  // namespace

Journal Journal::create(const std::string& path, const RankMeta& meta, std::uint32_t steps,
                        std::uint32_t kept_steps, std::uint32_t ops_per_step, std::uint32_t comms_per_step,
                        const JournalRoom& room) {
  LOCKSTEP_EXPECT(steps > 0 && kept_steps > 0, "a journal needs room for a step");
  expect_parts(meta);
  const std::string text = write_meta(meta);
  JournalShape shape{.layout_version = kJournalLayoutVersion,
                     .sizes = journal_sizes(),
                     .counts = {.steps = steps,
                                .kept_steps = kept_steps,
                                .ops_per_step = ops_per_step,
                                .comms_per_step = comms_per_step,
                                .clock_slots = kClockSlots,
                                .failure_slots = kFailureSlots,
                                .drill_slots = room.drills,
                                .checkpoint_slots = room.checkpoints,
                                .probe_slots = room.probes,
                                .health_slots = room.health},
                     .offsets = {},
                     .meta_bytes = text.size(),
                     .meta_checksum = checksum64(std::as_bytes(std::span(text)))};
  const std::optional<JournalOffsets> offsets = journal_offsets(shape.counts, text.size());
  if (!offsets) {
    throw RunError({.what = "cannot create " + path,
                    .why = "the stamps of " + std::to_string(steps) + " steps are larger than any disk",
                    .suggestion = "plan fewer steps",
                    .file = {}});
  }
  shape.offsets = *offsets;

  MappedFile file = MappedFile::create(path, offsets->end);  // all zero
  const std::span<std::byte> bytes = file.bytes();
  std::memcpy(bytes.data() + offsets->meta, text.data(), text.size());
  new (bytes.data() + offsets->where) WhereAbouts;
  auto& header = *reinterpret_cast<JournalHeader*>(bytes.data());
  header.shape = shape;
  header.shape_checksum = shape_checksum(shape);
  header.magic.store(kJournalMagic, std::memory_order_release);
  return {path, std::move(file)};
}

JournalHeader& Journal::header() {
  return *reinterpret_cast<JournalHeader*>(file_.bytes().data());
}

step::Recording Journal::recording() {
  const JournalShape& shape = header().shape;
  const JournalCounts& counts = shape.counts;
  const std::span<std::byte> bytes = file_.bytes();
  return {.ops = journal_area<step::OpStamp>(bytes, shape.offsets.ops,
                                             std::uint64_t{counts.kept_steps} * counts.ops_per_step),
          .comms = journal_area<step::CommStamp>(bytes, shape.offsets.comms,
                                                 std::uint64_t{counts.steps} * counts.comms_per_step),
          .steps = journal_area<step::StepStamp>(bytes, shape.offsets.steps, counts.steps),
          .ops_per_step = counts.ops_per_step,
          .comms_per_step = counts.comms_per_step,
          .kept_steps = counts.kept_steps};
}

WhereAbouts& Journal::where() {
  return journal_area<WhereAbouts>(file_.bytes(), header().shape.offsets.where, 1).front();
}

void Journal::add_clock(const ClockRow& row) noexcept {
  const auto slots = journal_area<ClockSlot>(file_.bytes(), header().shape.offsets.clock, kClockSlots);
  ClockSlot* slot = take_slot(header().clock_rows, slots);
  if (slot == nullptr)
    return;
  slot->leg = row.leg;
  slot->rank = row.rank;
  slot->local_ns = row.local_ns;
  slot->offset_ns = row.offset_ns;
  slot->bound_ns = row.bound_ns;
  slot->ready.store(1, std::memory_order_release);
}

void Journal::add_failure(const FailureRow& row) noexcept {
  const auto slots = journal_area<FailureSlot>(file_.bytes(), header().shape.offsets.failures, kFailureSlots);
  FailureSlot* slot = take_slot(header().failures, slots);
  if (slot == nullptr)
    return;
  slot->leg = row.leg;
  slot->rank = row.rank;
  slot->step = row.step;
  slot->op = row.op;
  slot->offset = row.offset;
  slot->expected = row.expected;
  slot->observed = row.observed;
  slot->utc_ns = row.utc_ns;
  copy_text(slot->kind, row.kind);
  copy_text(slot->message, row.message);
  slot->ready.store(1, std::memory_order_release);
}

std::optional<std::uint32_t> Journal::add_drill(const DrillRow& row) noexcept {
  const JournalShape& shape = header().shape;
  const auto slots = journal_area<DrillSlot>(file_.bytes(), shape.offsets.drills, shape.counts.drill_slots);
  DrillSlot* slot = take_slot(header().drills, slots);
  if (slot == nullptr)
    return std::nullopt;
  slot->leg = row.leg;
  slot->drill = row.drill;
  slot->step = row.step;
  slot->begin_utc_ns = row.begin_utc_ns;
  slot->end_utc_ns.store(row.end_utc_ns, std::memory_order_relaxed);
  copy_text(slot->kind, row.kind);
  copy_text(slot->target, row.target);
  copy_text(slot->how, row.how);
  slot->ready.store(1, std::memory_order_release);
  return static_cast<std::uint32_t>(slot - slots.data());
}

void Journal::end_drill(std::uint32_t place, std::int64_t utc_ns) noexcept {
  const JournalShape& shape = header().shape;
  const auto slots = journal_area<DrillSlot>(file_.bytes(), shape.offsets.drills, shape.counts.drill_slots);
  LOCKSTEP_EXPECT(place < slots.size(), "no drill was noted there");
  slots[place].end_utc_ns.store(utc_ns, std::memory_order_release);
}

void Journal::add_checkpoint(const CheckpointRow& row) noexcept {
  const JournalShape& shape = header().shape;
  CheckpointSlot* slot = take_slot(
      header().checkpoints,
      journal_area<CheckpointSlot>(file_.bytes(), shape.offsets.checkpoints, shape.counts.checkpoint_slots));
  if (slot == nullptr)
    return;
  slot->leg = row.leg;
  slot->rank = row.rank;
  slot->step = row.step;
  slot->verified = row.verified;
  slot->bytes = row.bytes;
  slot->begin_ns = row.begin_ns;
  slot->end_ns = row.end_ns;
  slot->checksum = row.checksum;
  copy_text(slot->action, row.action);
  slot->ready.store(1, std::memory_order_release);
}

void Journal::add_probe(const ProbeRow& row) noexcept {
  const JournalShape& shape = header().shape;
  ProbeSlot* slot = take_slot(header().probes, journal_area<ProbeSlot>(file_.bytes(), shape.offsets.probes,
                                                                       shape.counts.probe_slots));
  if (slot == nullptr)
    return;
  slot->leg = row.leg;
  slot->rank = row.rank;
  slot->peer = row.peer;
  slot->sent = row.sent;
  slot->lost = row.lost;
  slot->begin_ns = row.begin_ns;
  slot->end_ns = row.end_ns;
  slot->rtt_min_ns = row.rtt_min_ns;
  slot->rtt_mean_ns = row.rtt_mean_ns;
  slot->rtt_max_ns = row.rtt_max_ns;
  slot->received = row.received;
  slot->out_min_ns = row.out_min_ns;
  slot->out_max_ns = row.out_max_ns;
  slot->back_min_ns = row.back_min_ns;
  slot->back_max_ns = row.back_max_ns;
  slot->ready.store(1, std::memory_order_release);
}

void Journal::add_health(const HealthRow& row) noexcept {
  const JournalShape& shape = header().shape;
  HealthSlot* slot = take_slot(header().health, journal_area<HealthSlot>(file_.bytes(), shape.offsets.health,
                                                                         shape.counts.health_slots));
  if (slot == nullptr)
    return;
  slot->row = row;
  slot->ready.store(1, std::memory_order_release);
}

void Journal::complete() noexcept {
  header().complete.store(1, std::memory_order_release);
}

}  // namespace lockstep::record
