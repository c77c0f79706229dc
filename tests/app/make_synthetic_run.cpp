// make-synthetic-run DIR [trouble]: writes DIR/{plan.toml, run.h5, certificate.json} of a run that never took
// place.

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "harness/certify/certificate.hpp"
#include "harness/core/hash.hpp"
#include "harness/core/posix.hpp"
#include "harness/record/run_file.hpp"
#include "tests/app/synthetic_run.hpp"

namespace {

using namespace lockstep;

template <class Row>
void append(record::RunFileWriter& writer, const std::vector<Row>& rows) {
  writer.append(std::span<const Row>(rows));
}

void write_run(const std::string& folder, bool trouble) {
  std::filesystem::create_directories(folder);
  const record::Evidence evidence = app::synthetic_evidence({.with_stall_and_failure = trouble});
  const std::string run_file = folder + "/run.h5";
  record::RunFileWriter writer(run_file, evidence.plan_text, evidence.created_utc);
  append(writer, evidence.legs);
  append(writer, evidence.leg_ends);
  append(writer, evidence.ranks);
  append(writer, evidence.graph);
  append(writer, evidence.steps);
  append(writer, evidence.comms);
  append(writer, evidence.clock);
  append(writer, evidence.stalls);
  append(writer, evidence.failures);
  append(writer, evidence.provenance);
  writer.close();
  write_text_file(folder + "/plan.toml", evidence.plan_text);
  const certify::Certificate certificate =
      certify::make_certificate(record::read_run_file(run_file), sha256_file(run_file));
  write_text_file(folder + "/certificate.json", certify::serialize(certificate));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: make-synthetic-run DIR [trouble]\n");
    return 2;
  }
  try {
    write_run(argv[1], argc > 2);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make-synthetic-run: error: %s\n", error.what());
    return 5;
  }
}
