#pragma once

#include <string>
#include <vector>

namespace lockstep::lab {

/// Runs a program on a host with this process's standard streams, environment and folder; passes on signals
/// that come meanwhile. Returns its exit status as a shell gives it (128 + the number of a signal); 255 when
/// the host or the lab went away, as ssh does. Throws InputError for names that do not exist, RunError when
/// the host does not answer.
[[nodiscard]] int run_on_host(const std::string& lab, const std::string& host,
                              const std::vector<std::string>& argv);

struct HostOutput {
  int status = 0;    ///< as run_on_host() returns it
  std::string text;  ///< standard output and error
};

/// The same with nothing to read and its output caught. Daemons that it leaves behind must close theirs.
[[nodiscard]] HostOutput capture_on_host(const std::string& lab, const std::string& host,
                                         const std::vector<std::string>& argv);

}  // namespace lockstep::lab
