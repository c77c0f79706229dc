#!/bin/sh
# What links the hdf5 room must get the serial library: the parallel one would bring MPI into the controller.
set -eu
libraries=$(ldd "$1")
printf '%s\n' "$libraries"
if ! printf '%s\n' "$libraries" | grep -q 'libhdf5'; then
  echo "no HDF5 library among them: this test looks at the wrong program"
  exit 1
fi
if printf '%s\n' "$libraries" | grep -Eiq 'libmpi|openmpi|mpich|open-rte|open-pal'; then
  echo "MPI is linked through HDF5; install libhdf5-dev and configure anew"
  exit 1
fi
