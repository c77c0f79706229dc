#!/usr/bin/env python3
"""Holds the source tree to its architecture.

A room includes only itself and rooms above it; mpi.h, hdf5.h, hwloc.h and the CUDA family each stay in one room; the
controller's sources never reach the MPI room. Usage: layers.py ROOT. Exit 1 and one line per finding.
"""
import pathlib
import re
import sys

# Top to bottom. Rooms of one row do not include each other.
ROWS = [
    ["harness/core"],
    ["harness/stats"],
    ["harness/plan"],
    ["harness/mpi", "harness/hdf5", "harness/cuda", "harness/placement"],
    ["harness/topology"],
    ["harness/step"],
    ["harness/compute"],
    ["harness/fabric"],
    ["harness/record"],
    ["harness/watch"],
    ["harness/campaign"],
    ["harness/certify"],
    ["harness/report"],
    ["harness/lab"],
    ["harness/app"],
]
WORKLOADS = "workloads"
WORKLOADS_MAY = {"harness/core", "harness/plan", WORKLOADS}
WORKLOADS_STEP_HEADERS = {"harness/step/graph.hpp"}
FOREIGN = {
    "harness/mpi": re.compile(r"^mpi\.h$"),
    "harness/hdf5": re.compile(r"^(hdf5|H5\w*)\.h$"),
    "harness/placement": re.compile(r"^hwloc(/.*)?\.h$"),
    "harness/cuda": re.compile(r"^(cuda\w*|cublas\w*|nccl\w*|nvml)\.h$"),
}
# Rooms that the controller is made of; none of them may need MPI.
WITHOUT_MPI = {"harness/record", "harness/watch", "harness/campaign", "harness/certify", "harness/report",
               "harness/lab", "harness/plan", "harness/stats", "harness/step"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def room_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "harness" and len(parts) > 2 else parts[0]


def findings(files):
    """`files` maps a path relative to the root to its text."""
    row_of = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
    for path, text in sorted(files.items()):
        room = room_of(path)
        if room != WORKLOADS and room not in row_of:
            yield f"{path}: {room} is no room of the design"
            continue
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start(2)) + 1
            target = match.group(2)
            place = f"{path}:{line}"
            for owner, pattern in FOREIGN.items():
                if pattern.match(target) and room != owner:
                    yield f"{place}: {target} may be included in {owner} only"
            if not target.startswith(("harness/", "workloads/")):
                if match.group(1) == '"':
                    yield f'{place}: "{target}" is not written from the root'
                continue
            other = room_of(target)
            if room == WORKLOADS:
                if other not in WORKLOADS_MAY and target not in WORKLOADS_STEP_HEADERS:
                    yield f"{place}: workloads may not include {target}"
                continue
            if other == WORKLOADS:
                if room != "harness/app":
                    yield f"{place}: only harness/app may include {target}"
                continue
            if other == room:
                continue
            if other not in row_of:
                yield f"{place}: {other} is no room of the design"
            elif row_of[other] >= row_of[room]:
                yield f"{place}: {room} may not include {target} ({other} is not above it)"
            elif room in WITHOUT_MPI and other in ("harness/mpi", "harness/topology", "harness/fabric"):
                yield f"{place}: {room} serves the controller, which does not link MPI"


def main():
    root = pathlib.Path(sys.argv[1])
    files = {}
    for folder in ("harness", "workloads"):
        for path in (root / folder).rglob("*"):
            if path.suffix in (".cpp", ".hpp", ".h", ".cc", ".cu", ".cuh"):
                files[str(path.relative_to(root))] = path.read_text()
    if len(files) < 20:
        print(f"only {len(files)} source files found below {root}")
        return 1
    found = list(findings(files))
    print("\n".join(found) if found else f"{len(files)} files keep to their rooms")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
