#pragma once

#include <string>
#include <vector>

namespace lockstep::cuda {

/// A setting that steers NCCL.
struct NcclSetting {
  std::string name;   ///< such as NCCL_ALGO
  std::string value;  ///< as it was written
  std::string from;   ///< "environment", or the file that it is in
};

/// Settings in `environment` (NAME=VALUE texts) whose name begins with NCCL_, in order of name.
[[nodiscard]] std::vector<NcclSetting> nccl_settings(const std::vector<std::string>& environment);

/// Settings in the text of a configuration file of NCCL: NAME=VALUE lines, `#` begins a comment.
[[nodiscard]] std::vector<NcclSetting> nccl_settings_in_file(const std::string& path,
                                                             const std::string& text);

/// All that steers the NCCL of this process: its environment, and the files that NCCL reads besides
/// ($NCCL_CONF_FILE or ~/.nccl.conf, then /etc/nccl.conf; NVIDIA NCCL user guide, "Environment Variables").
/// What an earlier source sets, a later one does not change, and is not listed.
[[nodiscard]] std::vector<NcclSetting> nccl_settings_of_this_process();

/// The value of `name`; empty when it is not set.
[[nodiscard]] std::string value_of(const std::vector<NcclSetting>& settings, const std::string& name);

/// What can be said of NCCL's choice of algorithm and protocol. Its tuner chooses for each operation and size
/// and has no function that tells: only what the user forces is known, and the rest is to be read from
/// NCCL_DEBUG's output.
[[nodiscard]] std::string nccl_tuning(const std::vector<NcclSetting>& settings);

/// The same of its transports (NVLink, shared memory, InfiniBand, sockets).
[[nodiscard]] std::string nccl_transport(const std::vector<NcclSetting>& settings);

}  // namespace lockstep::cuda
