#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/campaign/survey_data.hpp"
#include "harness/watch/probe_client.hpp"

/// What the controller and its probes write to each other, a JSON document a line. The files are made by the
/// controller before any probe starts and only grow: on a network file system a file that is opened anew
/// shows what was appended, while a new file may stay unseen for the time that folders are cached.
namespace lockstep::campaign {

struct PathPair {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  bool operator==(const PathPair&) const = default;
};

/// What all probes have to know from the start.
struct SurveyBegin {
  std::uint64_t token = 0;
  std::vector<std::string> hosts;  ///< names, by index
  std::string launcher;
  std::string rank_program;
  double lifetime_s = 0.0;  ///< a probe ends after this time whatever happens
};

/// A step of the survey. The probe of `from` does it and answers with the order's number.
struct SurveyOrder {
  enum class Kind { begin, peers, paths, streams, end };
  Kind kind = Kind::end;
  std::uint32_t number = 0;
  SurveyBegin begin;               ///< of begin
  std::vector<watch::Peer> peers;  ///< of peers: by index; without addresses where there is no probe
  std::vector<PathPair> pairs;     ///< of paths and streams
  std::uint32_t exchanges = 0;     ///< of paths
  std::uint32_t datagrams = 0;     ///< of paths
  std::uint32_t streams = 0;       ///< of streams
  double seconds = 0.0;            ///< of streams
};

struct ProbeAnswer {
  std::uint32_t number = 0;  ///< of the order; that of begin for facts
  std::optional<HostFacts> facts;
  std::optional<PathReport> path;
  std::optional<StreamReport> stream;
};

[[nodiscard]] std::string to_line(const SurveyOrder& order);
[[nodiscard]] std::string to_line(const ProbeAnswer& answer);
/// Throw RunError when the line is none of ours, as when two versions of the program work on one folder.
[[nodiscard]] SurveyOrder order_of(const std::string& line);
[[nodiscard]] ProbeAnswer answer_of(const std::string& line);

/// Where the files are, below a folder that all hosts see.
struct SurveyFiles {
  std::string folder;
  [[nodiscard]] std::string orders() const { return folder + "/orders.jsonl"; }
  [[nodiscard]] std::string answers(std::uint32_t host) const;
  [[nodiscard]] std::string log(std::uint32_t host) const;
};

/// Adds a line to a file that is there. Throws RunError.
void append_line(const std::string& path, const std::string& line);

/// Follows a file that others append lines to.
class LineReader {
 public:
  explicit LineReader(std::string path) : path_(std::move(path)) {}
  /// Whole lines that came since the last call; none when the file cannot be read.
  [[nodiscard]] std::vector<std::string> poll();

 private:
  std::string path_;
  std::int64_t offset_ = 0;
  std::string partial_;
};

}  // namespace lockstep::campaign
