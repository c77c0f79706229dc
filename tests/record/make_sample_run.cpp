#include <cstring>
#include <exception>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "harness/record/schema.hpp"
#include "tests/record/fixtures.hpp"

/// `make_sample_run PATH` writes a run file with rows in every table and closes it; with `--killed` it ends
/// as if killed, after a flush. `make_sample_run --markdown` prints the tables of results/README.md.
namespace {

using namespace lockstep::record;

void print_markdown() {
  for_each_table([]<class Row>(std::vector<Row> Evidence::* /*rows*/) {
    const TableSpec<Row>& spec = table<Row>();
    fmt::print("### /{}\n\n{}\n\n| column | type | unit | meaning |\n| --- | --- | --- | --- |\n", spec.name,
               spec.about);
    for (std::size_t i = 0; i < spec.columns.size(); ++i) {
      fmt::print("| `{}` | {} | {} | {} |\n", spec.columns[i].name,
                 lockstep::hdf5::type_name(layout<Row>().members[i]), spec.columns[i].unit,
                 spec.columns[i].about);
    }
    fmt::print("\n");
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--markdown") {
    print_markdown();
    return 0;
  }
  const bool is_killed = argc == 3 && std::string_view(argv[2]) == "--killed";
  if (argc != 2 && !is_killed) {
    fmt::print(stderr, "usage: make_sample_run PATH [--killed] | --markdown\n");
    return 2;
  }
  try {
    const Evidence evidence = sample_evidence();
    RunFileWriter writer(argv[1], evidence.plan_text, "2026-01-31T12:34:56Z");
    append_all_tables(writer, evidence);
    writer.flush();
    if (is_killed)
      std::_Exit(0);
    writer.close();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
