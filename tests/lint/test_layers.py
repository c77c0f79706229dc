#!/usr/bin/env python3
"""The layering check finds what it is there to find."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from layers import findings  # noqa: E402


class Layers(unittest.TestCase):
    def check(self, path, include, expected):
        found = list(findings({path: f"#pragma once\n\n#include {include}\n"}))
        if expected is None:
            self.assertEqual(found, [])
        else:
            self.assertEqual(len(found), 1, found)
            self.assertIn(expected, found[0])
            self.assertIn(f"{path}:3", found[0])

    def test_directions(self):
        self.check("harness/step/a.hpp", '"harness/core/ids.hpp"', None)
        self.check("harness/step/a.hpp", '"harness/step/b.hpp"', None)
        self.check("harness/core/a.hpp", '"harness/step/graph.hpp"', "may not include")
        self.check("harness/mpi/a.hpp", '"harness/hdf5/b.hpp"', "may not include")
        self.check("harness/record/a.hpp", '"harness/fabric/b.hpp"', "controller")
        self.check("harness/app/a.cpp", '"harness/fabric/b.hpp"', None)

    def test_workloads(self):
        self.check("workloads/a.cpp", '"harness/step/graph.hpp"', None)
        self.check("workloads/a.cpp", '"harness/step/executor.hpp"', "workloads may not")
        self.check("harness/app/a.cpp", '"workloads/transformer.hpp"', None)
        self.check("harness/campaign/a.cpp", '"workloads/transformer.hpp"', "only harness/app")

    def test_foreign_headers(self):
        self.check("harness/mpi/a.hpp", "<mpi.h>", None)
        self.check("harness/fabric/a.cpp", "<mpi.h>", "harness/mpi only")
        self.check("harness/record/a.cpp", "<hdf5.h>", "harness/hdf5 only")
        self.check("harness/topology/a.cpp", "<hwloc.h>", "harness/placement only")
        self.check("harness/campaign/a.cpp", "<hwloc/helper.h>", "harness/placement only")
        self.check("harness/placement/a.cpp", "<hwloc.h>", None)
        self.check("harness/compute/a.cpp", "<cublasLt.h>", "harness/cuda only")
        self.check("harness/fabric/a.cpp", "<nccl.h>", "harness/cuda only")

    def test_form(self):
        self.check("harness/core/a.cpp", '"ids.hpp"', "from the root")
        self.assertEqual(len(list(findings({"harness/attic/a.cpp": ""}))), 1)


if __name__ == "__main__":
    unittest.main()
