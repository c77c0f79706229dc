#include "harness/campaign/probe_worker.hpp"

#include <csignal>
#include <optional>

#include <sys/prctl.h>

#include "harness/campaign/host_facts.hpp"
#include "harness/campaign/survey_messages.hpp"
#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/posix.hpp"
#include "harness/core/units.hpp"
#include "harness/watch/probe_client.hpp"
#include "harness/watch/probe_server.hpp"

namespace lockstep::campaign {
namespace {

constexpr std::int64_t kLookNs = 20'000'000;
constexpr double kConnectS = 4.0;  // the first SYN is sent again after 1 s and 3 s
constexpr double kDatagramIntervalS = 1e-3;

[[noreturn]] void refuse_folder(const std::string& folder) {
  throw RunError({.what = "host " + short_host_name() + " does not see " + folder,
                  .why = "the survey's folder has to be on a file system that all hosts share",
                  .suggestion = "name such a folder with --out DIR",
                  .file = {}});
}

class ProbeWorker {
 public:
  /// `lines`: orders that were there already when this probe came, after the first.
  ProbeWorker(SurveyFiles files, std::uint32_t index, LineReader orders, std::vector<std::string> lines,
              const SurveyOrder& begin)
      : files_(std::move(files)),
        index_(index),
        orders_(std::move(orders)),
        lines_(std::move(lines)),
        begin_(begin.begin),
        begin_number_(begin.number),
        server_(begin.begin.token, index) {}

  void run() {
    ProbeAnswer introduction;
    introduction.number = begin_number_;
    introduction.facts = gather_host_facts(begin_.launcher, begin_.rank_program);
    introduction.facts->tcp_port = server_.tcp_port();
    introduction.facts->udp_port = server_.udp_port();
    append_line(files_.answers(index_), to_line(introduction));
    const std::int64_t end_ns = monotonic_ns() + static_cast<std::int64_t>(begin_.lifetime_s * kNsPerS);
    while (monotonic_ns() < end_ns) {
      for (const std::string& line : lines_) {
        const SurveyOrder order = order_of(line);
        if (order.kind == SurveyOrder::Kind::end)
          return;
        obey(order);
      }
      lines_ = orders_.poll();
      if (!lines_.empty())
        continue;
      sleep_until_ns(monotonic_ns() + kLookNs);
    }
  }

 private:
  void obey(const SurveyOrder& order) {
    if (order.kind == SurveyOrder::Kind::peers)
      peers_ = order.peers;
    for (const PathPair& pair : order.pairs) {
      if (pair.from != index_ || pair.to >= peers_.size())
        continue;
      ProbeAnswer answer;
      answer.number = order.number;
      if (order.kind == SurveyOrder::Kind::paths)
        answer.path = measure_path(pair, order);
      else
        answer.stream = measure_streams(pair, order);
      append_line(files_.answers(index_), to_line(answer));
    }
  }

  [[nodiscard]] PathReport measure_path(const PathPair& pair, const SurveyOrder& order) const {
    PathReport report;
    report.from = pair.from;
    report.to = pair.to;
    watch::OpenedProbe opened = watch::open_probe(peers_[pair.to], kConnectS);
    report.attempts = std::move(opened.attempts);
    if (!opened.client)
      return report;
    watch::ProbeClient& client = *opened.client;
    report.address = client.address();
    report.trips = client.round_trips({.exchanges = order.exchanges});
    const std::uint64_t train = (static_cast<std::uint64_t>(order.number) << 32) | index_;
    report.train = client.send_train(train, order.datagrams, kDatagramIntervalS);
    report.mtu = client.path_mtu(report.trips->p50_s);
    return report;
  }

  [[nodiscard]] StreamReport measure_streams(const PathPair& pair, const SurveyOrder& order) const {
    StreamReport report{pair.from, pair.to, {}};
    report.rate.streams = order.streams;
    watch::OpenedProbe opened = watch::open_probe(peers_[pair.to], kConnectS);
    if (opened.client)
      report.rate = opened.client->send_streams(order.streams, order.seconds);
    else
      report.rate.error = "no address answers";
    return report;
  }

  SurveyFiles files_;
  std::uint32_t index_;
  LineReader orders_;
  std::vector<std::string> lines_;
  SurveyBegin begin_;
  std::uint32_t begin_number_;
  watch::ProbeServer server_;
  std::vector<watch::Peer> peers_;
};

}  // namespace

void run_probe(const std::string& folder, std::uint32_t index) {
  // Whoever launched us is mpirun or its daemon: without it nobody would end us.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const SurveyFiles files{folder};
  LineReader orders(files.orders());
  std::vector<std::string> lines = orders.poll();
  if (lines.empty())
    refuse_folder(folder);
  const SurveyOrder begin = order_of(lines.front());
  if (begin.kind != SurveyOrder::Kind::begin || index >= begin.begin.hosts.size()) {
    throw RunError({.what = folder + " holds no survey with a host number " + std::to_string(index),
                    .why = {},
                    .suggestion = "probes are started by lockstep doctor and not by hand",
                    .file = {}});
  }
  lines.erase(lines.begin());
  ProbeWorker(files, index, std::move(orders), std::move(lines), begin).run();
}

}  // namespace lockstep::campaign
