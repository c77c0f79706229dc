#include "harness/core/log.hpp"

#include <memory>
#include <mutex>
#include <string>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace lockstep {
namespace {

std::mutex logger_mutex;
std::shared_ptr<spdlog::logger> logger_instance;

std::shared_ptr<spdlog::logger> make_logger(std::string_view name) {
  auto made =
      std::make_shared<spdlog::logger>(std::string(name), std::make_shared<spdlog::sinks::stderr_sink_mt>());
  made->set_pattern("%n: %v");
  return made;
}

std::shared_ptr<spdlog::logger> logger() {
  const std::lock_guard lock(logger_mutex);
  if (!logger_instance)
    logger_instance = make_logger("lockstep");
  return logger_instance;
}

}  // namespace

void set_log_name(std::string_view name) {
  const std::lock_guard lock(logger_mutex);
  logger_instance = make_logger(name);
}

void log_info(std::string_view message) {
  logger()->info("{}", message);
}
void log_warning(std::string_view message) {
  logger()->warn("warning: {}", message);
}
void log_error(std::string_view message) {
  logger()->error("error: {}", message);
}

}  // namespace lockstep
