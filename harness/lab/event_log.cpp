#include "harness/lab/event_log.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "harness/core/clock.hpp"
#include "harness/core/error.hpp"
#include "harness/core/log.hpp"

namespace lockstep::lab {

EventLog::EventLog(const std::string& path)
    : file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (!file_.valid())
    throw RunError(
        {.what = "cannot create " + path, .why = std::strerror(errno), .suggestion = {}, .file = {}});
}

void EventLog::write(const std::string& event, const Fields& fields) const {
  constexpr std::int64_t kNsPerSecond = 1'000'000'000;
  constexpr std::int64_t kNsPerUs = 1000;
  const std::int64_t now_ns = utc_ns();
  nlohmann::ordered_json line;
  std::string utc = format_utc(now_ns);
  utc.insert(utc.size() - 1, fmt::format(".{:06}", now_ns % kNsPerSecond / kNsPerUs));
  line["utc"] = utc;
  line["monotonic_ns"] = monotonic_ns();
  line["event"] = event;
  for (const auto& [key, value] : fields)
    line[key] = value;
  const std::string text = line.dump() + "\n";
  if (::write(file_.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    log_warning("the lab's event log could not be written");
}

}  // namespace lockstep::lab
