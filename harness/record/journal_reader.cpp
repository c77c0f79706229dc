#include <algorithm>
#include <cstring>
#include <exception>

#include "harness/core/error.hpp"
#include "harness/core/hash.hpp"
#include "harness/record/journal.hpp"
#include "harness/record/journal_layout.hpp"

namespace lockstep::record {
namespace {

/// Rows that were added after the slots were full.
std::uint32_t dropped(const std::atomic<std::uint32_t>& rows, std::uint32_t slots) {
  const std::uint32_t asked = rows.load(std::memory_order_acquire);
  return asked - std::min(asked, slots);
}

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw InputError({.what = "cannot read " + path + " as a journal",
                    .why = why,
                    .suggestion = "copy it again from the host of its rank",
                    .file = {}});
}

MappedFile map(const std::string& path) {
  try {
    return MappedFile::open_readonly(path);
  } catch (const RunError& error) {
    refuse(path, error.problem().why);
  }
}

/// Everything that later addressing relies on. The checksum finds accidents; the rest holds for any bytes at
/// all.
void check_shape(const std::string& path, const JournalHeader& header, std::uint64_t file_bytes) {
  const JournalShape& shape = header.shape;
  if (header.magic.load(std::memory_order_acquire) != kJournalMagic)
    refuse(path, "it is no journal, or its rank died while making it");
  if (shape.layout_version != kJournalLayoutVersion)
    refuse(path, "its layout version is " + std::to_string(shape.layout_version) + ", not " +
                     std::to_string(kJournalLayoutVersion));
  if (!(shape.sizes == journal_sizes()))
    refuse(path, "it was written by a build with other record sizes");
  if (header.shape_checksum != shape_checksum(shape))
    refuse(path, "its header is damaged");
  const std::optional<JournalOffsets> offsets =
      shape.meta_bytes <= file_bytes ? journal_offsets(shape.counts, shape.meta_bytes) : std::nullopt;
  if (!offsets || !(*offsets == shape.offsets) || shape.counts.kept_steps == 0)
    refuse(path, "its header is damaged");
  if (offsets->end != file_bytes)
    refuse(path,
           "it holds " + std::to_string(file_bytes) + " bytes instead of " + std::to_string(offsets->end));
}

RankMeta parse_meta(const std::string& path, std::string_view text) {
  RankMeta meta;
  try {
    meta = read_meta(text);
  } catch (const std::exception&) {
    refuse(path, "its description of the rank is damaged");
  }
  for (const GraphRow& op : meta.graph) {
    const auto part = meta.parts.find(op.group);
    if (!op.group.empty() && (part == meta.parts.end() || std::find(part->second.begin(), part->second.end(),
                                                                    meta.rank.rank) == part->second.end()))
      refuse(path, "its description of the rank lacks group " + op.group);
  }
  return meta;
}

/// The writer may be storing while this looks. The mapping is read-only, which a load does not mind.
std::int64_t look(const std::int64_t& field) {
  return std::atomic_ref<std::int64_t>(const_cast<std::int64_t&>(field)).load(std::memory_order_acquire);
}

template <std::size_t size>
std::string text_of(const std::array<char, size>& field) {
  return {field.data(), ::strnlen(field.data(), size)};
}

}  // namespace

JournalReader JournalReader::open(const std::string& path) {
  MappedFile file = map(path);
  const std::span<const std::byte> bytes = std::as_const(file).bytes();
  if (bytes.size() < sizeof(JournalHeader))
    refuse(path, "it is too short to be a journal");
  const auto& header = *reinterpret_cast<const JournalHeader*>(bytes.data());
  check_shape(path, header, bytes.size());
  const auto meta = bytes.subspan(header.shape.offsets.meta, header.shape.meta_bytes);
  if (checksum64(meta) != header.shape.meta_checksum)
    refuse(path, "its description of the rank is damaged");
  RankMeta parsed = parse_meta(path, {reinterpret_cast<const char*>(meta.data()), meta.size()});
  return {path, std::move(file), std::move(parsed)};
}

const JournalHeader& JournalReader::header() const {
  return *reinterpret_cast<const JournalHeader*>(file_.bytes().data());
}

bool JournalReader::is_complete() const {
  return header().complete.load(std::memory_order_acquire) == 1;
}

std::uint32_t JournalReader::planned_steps() const {
  return header().shape.counts.steps;
}

std::uint32_t JournalReader::completed_steps() const {
  const auto& where = journal_area<WhereAbouts>(file_.bytes(), header().shape.offsets.where, 1).front();
  const auto steps =
      journal_area<step::StepStamp>(file_.bytes(), header().shape.offsets.steps, header().shape.counts.steps);
  // The counter lags by one when the rank dies between a step's last stamp and the counter: the stamps
  // decide.
  std::uint32_t completed = std::min(where.completed_steps.load(std::memory_order_acquire), planned_steps());
  if (completed > 0 && look(steps[completed - 1].end_ns) == 0)
    completed = 0;
  while (completed < steps.size() && look(steps[completed].begin_ns) != 0 &&
         look(steps[completed].end_ns) != 0)
    ++completed;
  return completed;
}

RankPhase JournalReader::phase() const {
  return journal_area<WhereAbouts>(file_.bytes(), header().shape.offsets.where, 1)
      .front()
      .phase.load(std::memory_order_acquire);
}

std::int64_t JournalReader::since_ns() const {
  return journal_area<WhereAbouts>(file_.bytes(), header().shape.offsets.where, 1)
      .front()
      .since_ns.load(std::memory_order_acquire);
}

std::int64_t JournalReader::allowed_ns() const {
  return journal_area<WhereAbouts>(file_.bytes(), header().shape.offsets.where, 1)
      .front()
      .allowed_ns.load(std::memory_order_acquire);
}

std::optional<step::StepStamp> JournalReader::step(std::uint32_t index) const {
  const JournalShape& shape = header().shape;
  if (index >= shape.counts.steps)
    return std::nullopt;
  const auto& slot =
      journal_area<step::StepStamp>(file_.bytes(), shape.offsets.steps, shape.counts.steps)[index];
  const std::int64_t begin_ns = look(slot.begin_ns);
  if (begin_ns == 0)
    return std::nullopt;
  step::StepStamp stamp;
  stamp.begin_ns = begin_ns;
  stamp.end_ns = look(slot.end_ns);  // before the rest: whatever it vouches for is read after it
  stamp.step = slot.step;
  stamp.flags = slot.flags;
  stamp.compute_ns = slot.compute_ns;
  stamp.exposed_ns = slot.exposed_ns;
  stamp.checksum = slot.checksum;
  if (stamp.step != index)
    return std::nullopt;
  return stamp;
}

std::vector<step::CommStamp> JournalReader::comms(std::uint32_t step) const {
  std::vector<step::CommStamp> begun;
  const JournalShape& shape = header().shape;
  if (step >= shape.counts.steps)
    return begun;
  const auto slots = journal_area<step::CommStamp>(
      file_.bytes(),
      shape.offsets.comms + std::uint64_t{step} * shape.counts.comms_per_step * sizeof(step::CommStamp),
      shape.counts.comms_per_step);
  for (const step::CommStamp& slot : slots) {
    step::CommStamp stamp;
    stamp.begin_ns = look(slot.begin_ns);
    stamp.end_ns = look(slot.end_ns);
    stamp.step = slot.step;
    stamp.op = slot.op;
    stamp.exposed_ns = slot.exposed_ns;
    if (stamp.begin_ns != 0 && stamp.step == step)
      begun.push_back(stamp);
  }
  return begun;
}

std::vector<step::OpStamp> JournalReader::ops() const {
  const JournalShape& shape = header().shape;
  const JournalCounts& counts = shape.counts;
  const auto slots = journal_area<step::OpStamp>(file_.bytes(), shape.offsets.ops,
                                                 std::uint64_t{counts.kept_steps} * counts.ops_per_step);
  std::vector<step::OpStamp> kept;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const step::OpStamp& slot = slots[i];
    step::OpStamp stamp;
    stamp.begin_ns = look(slot.begin_ns);
    stamp.end_ns = look(slot.end_ns);
    stamp.step = slot.step;
    stamp.op = slot.op;
    // A slot that is being taken over by a later step shows a mixture for a moment: it counts as empty.
    const bool is_settled = look(slot.begin_ns) == stamp.begin_ns && look(slot.end_ns) == stamp.end_ns;
    const bool is_in_place = stamp.op == i % counts.ops_per_step && stamp.step < counts.steps &&
                             stamp.step % counts.kept_steps == i / counts.ops_per_step;
    if (stamp.begin_ns != 0 && is_settled && is_in_place)
      kept.push_back(stamp);
  }
  std::sort(kept.begin(), kept.end(), [](const step::OpStamp& a, const step::OpStamp& b) {
    return a.step != b.step ? a.step < b.step : a.op < b.op;
  });
  return kept;
}

std::vector<ClockRow> JournalReader::clock() const {
  std::vector<ClockRow> rows;
  for (const ClockSlot& slot : journal_area<ClockSlot>(file_.bytes(), header().shape.offsets.clock,
                                                       header().shape.counts.clock_slots)) {
    if (slot.ready.load(std::memory_order_acquire) == 1)
      rows.push_back({slot.leg, slot.rank, slot.local_ns, slot.offset_ns, slot.bound_ns});
  }
  return rows;
}

std::vector<FailureRow> JournalReader::failures() const {
  std::vector<FailureRow> rows;
  for (const FailureSlot& slot : journal_area<FailureSlot>(file_.bytes(), header().shape.offsets.failures,
                                                           header().shape.counts.failure_slots)) {
    if (slot.ready.load(std::memory_order_acquire) != 1)
      continue;
    rows.push_back({.leg = slot.leg,
                    .rank = slot.rank,
                    .step = slot.step,
                    .op = slot.op,
                    .kind = text_of(slot.kind),
                    .offset = slot.offset,
                    .expected = slot.expected,
                    .observed = slot.observed,
                    .utc_ns = slot.utc_ns,
                    .message = text_of(slot.message)});
  }
  return rows;
}

std::vector<DrillRow> JournalReader::drills() const {
  std::vector<DrillRow> rows;
  for (const DrillSlot& slot : journal_area<DrillSlot>(file_.bytes(), header().shape.offsets.drills,
                                                       header().shape.counts.drill_slots)) {
    if (slot.ready.load(std::memory_order_acquire) == 1)
      rows.push_back({.leg = slot.leg,
                      .drill = slot.drill,
                      .kind = text_of(slot.kind),
                      .target = text_of(slot.target),
                      .step = slot.step,
                      .begin_utc_ns = slot.begin_utc_ns,
                      .end_utc_ns = slot.end_utc_ns.load(std::memory_order_acquire),
                      .how = text_of(slot.how)});
  }
  return rows;
}

std::vector<CheckpointRow> JournalReader::checkpoints() const {
  std::vector<CheckpointRow> rows;
  for (const CheckpointSlot& slot : journal_area<CheckpointSlot>(
           file_.bytes(), header().shape.offsets.checkpoints, header().shape.counts.checkpoint_slots)) {
    if (slot.ready.load(std::memory_order_acquire) == 1)
      rows.push_back({.leg = slot.leg,
                      .rank = slot.rank,
                      .action = text_of(slot.action),
                      .step = slot.step,
                      .bytes = slot.bytes,
                      .begin_ns = slot.begin_ns,
                      .end_ns = slot.end_ns,
                      .checksum = slot.checksum,
                      .verified = slot.verified});
  }
  return rows;
}

std::vector<ProbeRow> JournalReader::probes() const {
  std::vector<ProbeRow> rows;
  for (const ProbeSlot& slot : journal_area<ProbeSlot>(file_.bytes(), header().shape.offsets.probes,
                                                       header().shape.counts.probe_slots)) {
    if (slot.ready.load(std::memory_order_acquire) == 1)
      rows.push_back({.leg = slot.leg,
                      .rank = slot.rank,
                      .peer = slot.peer,
                      .begin_ns = slot.begin_ns,
                      .end_ns = slot.end_ns,
                      .sent = slot.sent,
                      .lost = slot.lost,
                      .rtt_min_ns = slot.rtt_min_ns,
                      .rtt_mean_ns = slot.rtt_mean_ns,
                      .rtt_max_ns = slot.rtt_max_ns,
                      .received = slot.received,
                      .out_min_ns = slot.out_min_ns,
                      .out_max_ns = slot.out_max_ns,
                      .back_min_ns = slot.back_min_ns,
                      .back_max_ns = slot.back_max_ns});
  }
  return rows;
}

std::vector<HealthRow> JournalReader::health() const {
  std::vector<HealthRow> rows;
  for (const HealthSlot& slot : journal_area<HealthSlot>(file_.bytes(), header().shape.offsets.health,
                                                         header().shape.counts.health_slots)) {
    if (slot.ready.load(std::memory_order_acquire) == 1)
      rows.push_back(slot.row);
  }
  return rows;
}

std::uint32_t JournalReader::dropped_others() const {
  const JournalCounts& counts = header().shape.counts;
  return dropped(header().drills, counts.drill_slots) +
         dropped(header().checkpoints, counts.checkpoint_slots) +
         dropped(header().health, counts.health_slots);
}

std::uint32_t JournalReader::dropped_probes() const {
  return dropped(header().probes, header().shape.counts.probe_slots);
}

std::uint32_t JournalReader::dropped_clock_rows() const {
  const std::uint32_t asked = header().clock_rows.load(std::memory_order_acquire);
  return asked - std::min(asked, header().shape.counts.clock_slots);
}

std::uint32_t JournalReader::dropped_failures() const {
  const std::uint32_t asked = header().failures.load(std::memory_order_acquire);
  return asked - std::min(asked, header().shape.counts.failure_slots);
}

}  // namespace lockstep::record
