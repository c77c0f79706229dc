#include "harness/app/rank_places.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/mpi/collect.hpp"
#include "harness/record/journal.hpp"

namespace lockstep::app {
namespace {

namespace fs = std::filesystem;

constexpr int kJournalTag = 7;

/// results/<plan>-<UTC>, or with -2, -3, ... when that is taken.
std::string free_results_folder(const std::string& base, const std::string& plan_name) {
  const std::string stem =
      (fs::absolute(base) / (plan_name + "-" + format_utc(utc_ns(), UtcStyle::compact))).string();
  std::string folder = stem;
  for (int i = 2; fs::exists(folder); ++i)
    folder = stem + "-" + std::to_string(i);
  return folder;
}

}  // namespace

RankPlaces choose_places(const RankOptions& options, const plan::Plan& plan, const record::LegRow& row,
                         const mpi::Communicator& leg, double deadline_s) {
  RankPlaces places;
  if (!options.journals.empty()) {
    places.journals = fs::absolute(options.journals).string();
  } else {
    const std::string chosen =
        leg.rank() == 0 ? free_results_folder(options.results, plan.name) : std::string();
    places.results_folder = mpi::broadcast_string(leg, chosen, 0, deadline_s);
    places.journals = (fs::path(places.results_folder) / "journals" / record::leg_folder_name(row)).string();
  }
  return places;
}

void make_places(const RankPlaces& places) {
  std::error_code error;
  fs::create_directories(places.journals, error);
  if (error || ::access(places.journals.c_str(), W_OK) != 0) {
    throw InputError({.what = "cannot write into " + places.journals,
                      .why = error ? error.message() : "no permission",
                      .suggestion = "choose another folder with --out",
                      .file = {}});
  }
}

void collect_journals(const std::string& folder, const mpi::Communicator& leg, double deadline_s) {
  const auto path_of = [&folder](int rank) {
    return (fs::path(folder) / record::journal_file_name(static_cast<std::uint32_t>(rank))).string();
  };
  std::string wanted(static_cast<std::size_t>(leg.size()), '0');
  if (leg.rank() == 0) {
    for (int rank = 0; rank < leg.size(); ++rank) {
      if (!fs::exists(path_of(rank)))
        wanted[static_cast<std::size_t>(rank)] = '1';
    }
  }
  wanted = mpi::broadcast_string(leg, wanted, 0, deadline_s);
  if (leg.rank() != 0) {
    if (wanted[static_cast<std::size_t>(leg.rank())] == '1') {
      const MappedFile own = MappedFile::open_readonly(path_of(leg.rank()));
      mpi::send_bytes(leg, own.bytes(), 0, kJournalTag, deadline_s);
    }
    return;
  }
  for (int rank = 1; rank < leg.size(); ++rank) {
    if (wanted[static_cast<std::size_t>(rank)] != '1')
      continue;
    const std::vector<std::byte> bytes = mpi::receive_bytes(leg, rank, kJournalTag, deadline_s);
    write_text_file(path_of(rank), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
}

}  // namespace lockstep::app
