#pragma once

#include <string>

#include "harness/placement/host_map.hpp"

/// The host as hwloc sees it. No driver of a GPU is loaded or asked: PCI addresses come from the kernel.
namespace lockstep::placement {

/// This host, CPUs included that this process may not use. Throws RunError when the kernel does not tell.
/// `HWLOC_XMLFILE` in the environment names a file that is read instead, as with every user of hwloc.
[[nodiscard]] HostMap read_this_host();

/// A host that was written to XML with `lstopo`. Throws RunError.
[[nodiscard]] HostMap read_xml(const std::string& xml);

/// A host without devices, such as "pack:2 numa:1 core:8 pu:2" (hwloc's synthetic descriptions). Throws
/// RunError.
[[nodiscard]] HostMap read_synthetic(const std::string& description);

/// Of the library that is loaded, such as "2.9".
[[nodiscard]] std::string hwloc_version();

}  // namespace lockstep::placement
