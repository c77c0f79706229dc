#include <cstdio>
#include <exception>

#include "harness/record/journal.hpp"

/// `list_journals FILE...`: a line `LEG RANK COMPLETED FILE` for each journal, where COMPLETED is the rank's
/// own count of the steps that it ended. The one witness of a killed rank that merging has no hand in.
int main(int argc, char** argv) {
  int failures = 0;
  for (int i = 1; i < argc; ++i) {
    try {
      const auto journal = lockstep::record::JournalReader::open(argv[i]);
      std::printf("%u %u %u %s\n", journal.meta().leg.leg, journal.meta().rank.rank,
                  journal.completed_steps(), argv[i]);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s: %s\n", argv[i], error.what());
      ++failures;
    }
  }
  return failures == 0 ? 0 : 1;
}
