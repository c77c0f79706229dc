#include "harness/record/process_state.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

#include "harness/core/error.hpp"

namespace lockstep::record {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMagic = 0x31434f5250534cULL;  // "LSPROC1"
constexpr std::size_t kBytes = 4096;
constexpr int kMostLooks = 1000;

/// As it lies in the file. `sequence` is odd while the rest of its half changes.
struct Page {
  std::atomic<std::uint64_t> magic;  // stored last: a file that has it is whole
  std::array<char, 256> host;
  std::int64_t pid;
  std::int64_t supervisor_pid;
  std::int64_t started_utc_ns;
  std::atomic<std::uint32_t> sequence;
  std::atomic<std::uint32_t> condition;
  std::atomic<std::int64_t> changed_utc_ns;
  std::atomic<std::int32_t> signal;
  std::atomic<std::int32_t> exit_code;
  std::atomic<std::uint32_t> flags;
  std::atomic<std::uint64_t> beats;
};
static_assert(sizeof(Page) <= kBytes);

constexpr std::uint32_t kCore = 1;
constexpr std::uint32_t kMemory = 2;
constexpr std::uint32_t kDisk = 4;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw InputError(
      {.what = "cannot read the state of a process in " + path, .why = why, .suggestion = {}, .file = {}});
}

std::string signal_name(int number) {
  const char* name = ::sigabbrev_np(number);
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", number);
}

}  // namespace

const char* to_string(ProcessCondition condition) {
  switch (condition) {
    case ProcessCondition::running:
      return "running";
    case ProcessCondition::stopped:
      return "stopped";
    case ProcessCondition::exited:
      return "exited";
    case ProcessCondition::killed:
      return "killed";
  }
  return "unknown";  // from a damaged file
}

std::string describe(const ProcessState& state) {
  std::string text = to_string(state.condition);
  if (state.condition == ProcessCondition::stopped || state.condition == ProcessCondition::killed)
    text += " by " + signal_name(state.signal);
  if (state.condition == ProcessCondition::exited)
    text += fmt::format(" with {}", state.exit_code);
  if (state.core_dumped)
    text += ", core dumped";
  if (state.out_of_memory)
    text += ", out of memory";
  if (state.disk_full)
    text += ", disk full";
  return text;
}

std::string process_state_file_name(const std::string& host, std::int64_t pid) {
  return fmt::format("proc-{}-{}.state", host, pid);
}

ProcessStateFile ProcessStateFile::create(const std::string& folder, const ProcessState& state) {
  std::error_code error;
  fs::create_directories(folder, error);  // if that fails, so does the next
  ProcessStateFile file(
      MappedFile::create(folder + "/" + process_state_file_name(state.host, state.pid), kBytes));
  auto& page = *reinterpret_cast<Page*>(file.file_.bytes().data());
  std::memcpy(page.host.data(), state.host.data(), std::min(state.host.size(), page.host.size() - 1));
  page.pid = state.pid;
  page.supervisor_pid = state.supervisor_pid;
  page.started_utc_ns = state.started_utc_ns;
  file.update(state);
  page.magic.store(kMagic, std::memory_order_release);
  return file;
}

void ProcessStateFile::update(const ProcessState& state) noexcept {
  auto& page = *reinterpret_cast<Page*>(file_.bytes().data());
  const std::uint32_t sequence = page.sequence.load(std::memory_order_relaxed);
  page.sequence.store(sequence + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  page.condition.store(static_cast<std::uint32_t>(state.condition), std::memory_order_relaxed);
  page.changed_utc_ns.store(state.changed_utc_ns, std::memory_order_relaxed);
  page.signal.store(state.signal, std::memory_order_relaxed);
  page.exit_code.store(state.exit_code, std::memory_order_relaxed);
  page.flags.store((state.core_dumped ? kCore : 0U) | (state.out_of_memory ? kMemory : 0U) |
                       (state.disk_full ? kDisk : 0U),
                   std::memory_order_relaxed);
  page.sequence.store(sequence + 2, std::memory_order_release);
}

void ProcessStateFile::beat() noexcept {
  reinterpret_cast<Page*>(file_.bytes().data())->beats.fetch_add(1, std::memory_order_relaxed);
}

ProcessState read_process_state(const std::string& path) {
  MappedFile file;
  try {
    file = MappedFile::open_readonly(path);
  } catch (const RunError& error) {
    refuse(path, error.problem().why);
  }
  const std::span<const std::byte> bytes = std::as_const(file).bytes();
  if (bytes.size() != kBytes)
    refuse(path, "it has another size");
  const auto& page = *reinterpret_cast<const Page*>(bytes.data());
  if (page.magic.load(std::memory_order_acquire) != kMagic)
    refuse(path, "it is none, or is still being made");
  ProcessState state;
  state.host = std::string(page.host.data(), ::strnlen(page.host.data(), page.host.size()));
  state.pid = page.pid;
  state.supervisor_pid = page.supervisor_pid;
  state.started_utc_ns = page.started_utc_ns;
  state.beats = page.beats.load(std::memory_order_relaxed);
  for (int look = 0; look < kMostLooks; ++look) {
    const std::uint32_t before = page.sequence.load(std::memory_order_acquire);
    state.condition = static_cast<ProcessCondition>(page.condition.load(std::memory_order_relaxed));
    state.changed_utc_ns = page.changed_utc_ns.load(std::memory_order_relaxed);
    state.signal = page.signal.load(std::memory_order_relaxed);
    state.exit_code = page.exit_code.load(std::memory_order_relaxed);
    const std::uint32_t flags = page.flags.load(std::memory_order_relaxed);
    state.core_dumped = (flags & kCore) != 0;
    state.out_of_memory = (flags & kMemory) != 0;
    state.disk_full = (flags & kDisk) != 0;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && page.sequence.load(std::memory_order_relaxed) == before)
      return state;
  }
  // Its supervisor died while it wrote. What is there is the best that is known.
  return state;
}

std::vector<ProcessState> read_process_states(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".state")
      paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<ProcessState> states;
  for (const std::string& path : paths) {
    try {
      states.push_back(read_process_state(path));
    } catch (const InputError&) {  // still being made
    }
  }
  return states;
}

}  // namespace lockstep::record
