#include "tests/record/fixtures.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "harness/record/schema.hpp"

namespace lockstep::record {

RecordTest::RecordTest() {
  std::string name = std::filesystem::temp_directory_path() / "lockstep-record-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr)
    throw std::runtime_error("cannot make " + name);
  folder_ = name;
}

RecordTest::~RecordTest() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

Evidence sample_evidence() {
  Evidence evidence;
  evidence.plan_text = "[run]\nsteps = 3  # größer als 2\n";
  // A different value for every column of every row, so that no two can be taken for each other.
  std::uint32_t next = 1;
  for_each_table([&]<class Row>(std::vector<Row> Evidence::*rows) {
    for (int i = 0; i < 3; ++i) {
      Row row;
      for (const Column<Row>& column : table<Row>().columns) {
        ++next;
        std::visit(
            [&](auto field) {
              using Value = std::remove_cvref_t<decltype(row.*field)>;
              if constexpr (std::is_same_v<Value, std::string>)
                row.*field = ("ü" + std::to_string(next)).substr(0, column.text_bytes);
              else if constexpr (std::is_same_v<Value, std::uint64_t>)
                row.*field =
                    0xf000000000000000ULL + next;  // beyond what a double or a signed number can hold
              else if constexpr (std::is_signed_v<Value>)
                row.*field = -static_cast<Value>(next);
              else
                row.*field = static_cast<Value>(next);
            },
            column.field);
      }
      (evidence.*rows).push_back(std::move(row));
    }
  });
  return evidence;
}

void append_all_tables(RunFileWriter& writer, const Evidence& evidence) {
  for_each_table([&]<class Row>(std::vector<Row> Evidence::*rows) {
    writer.append(std::span<const Row>(evidence.*rows));
  });
}

RankMeta sample_meta(std::uint32_t rank) {
  RankMeta meta;
  meta.leg.leg = 4;
  meta.leg.name = "joint";
  meta.leg.kind = "joint";
  meta.leg.sites = "north,south";
  meta.leg.ranks = kSampleRanks;
  meta.rank.leg = 4;
  meta.rank.rank = rank;
  meta.rank.world_rank = kSampleRanks - 1 - rank;
  meta.rank.site = rank < 2 ? "north" : "south";
  meta.rank.host = "host" + std::to_string(rank);
  meta.rank.peak_gflops = 12.5;
  for (std::uint32_t op = 0; op < kSampleOps; ++op) {
    GraphRow row;
    row.leg = 4;
    row.op = op;
    row.name = op == 0 ? "gemm" : "all_reduce" + std::to_string(op);
    row.kind = op == 0 ? "gemm" : "all_reduce";
    row.group = op == 0 ? "" : op == 1 ? "world" : "pair";
    row.spans_sites = op == 1 ? 1 : 0;
    meta.graph.push_back(std::move(row));
  }
  meta.parts["world"] = {0, 1, 2};
  meta.parts["pair"] = rank < 2 ? std::vector<std::uint32_t>{0, 1} : std::vector<std::uint32_t>{2};
  meta.provenance.push_back({4, static_cast<std::int32_t>(rank), "kernel.release", "6.1"});
  DeviceRow device;
  device.leg = 4;
  device.rank = rank;
  device.kind = "gpu";
  device.name = "H200";
  device.serial = "16500" + std::to_string(rank);
  device.power_limit_w = 700.0;
  meta.devices.push_back(std::move(device));
  return meta;
}

void store_step(Journal& journal, const SampleStep& sample) {
  const step::Recording recording = journal.recording();
  step::StepStamp& stamp = recording.steps[sample.step];
  stamp.step = sample.step;
  stamp.flags = sample.flags;
  std::atomic_ref(stamp.begin_ns).store(sample.begin_ns, std::memory_order_release);
  for (std::uint32_t op = 0; op < recording.ops_per_step; ++op) {
    const std::int64_t length_ns = op == 0 ? 5 : sample.comm_ns[op - 1];
    recording.ops[(sample.step % recording.kept_steps) * recording.ops_per_step + op] = {
        sample.step, op, sample.begin_ns + op, sample.begin_ns + op + length_ns};
  }
  for (std::uint32_t comm = 0; comm < recording.comms_per_step; ++comm) {
    const std::int64_t begin_ns = sample.begin_ns + comm + 1;
    recording.comms[sample.step * recording.comms_per_step + comm] = {
        sample.step, comm + 1, begin_ns, begin_ns + sample.comm_ns[comm], 2 + comm};
  }
  stamp.compute_ns = 5;
  stamp.exposed_ns = 7;
  stamp.checksum = sample.checksum;
  std::atomic_ref(stamp.end_ns).store(sample.begin_ns + sample.length_ns, std::memory_order_release);
  journal.where().completed_steps.store(sample.step + 1);
}

std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void patch_bytes(const std::string& path, std::size_t offset, const std::string& bytes) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(static_cast<std::streamoff>(offset));
  file << bytes;
}

}  // namespace lockstep::record
