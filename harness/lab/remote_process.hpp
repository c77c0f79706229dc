#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

#include "harness/core/posix.hpp"

namespace lockstep::lab {

struct RemoteCommand {
  std::vector<std::string> argv;
  std::vector<std::string> environment;
  std::string folder;  ///< where it starts; "/" where that does not exist
};

/// Starts a program on a host, under a small process that looks after it: passes on the signals that come
/// over `client`, ends the program when the client goes away (SIGTERM, 2 s later SIGKILL, to its process
/// group), and tells the client how it ended. `init`: pid 1 of the host. `streams`: its standard input,
/// output and error. Returns at once with the pid of the small process, a child of the caller. Throws
/// RunError.
pid_t start_on_host(pid_t init, const RemoteCommand& command, const std::vector<UniqueFd>& streams,
                    const UniqueFd& client);

}  // namespace lockstep::lab
