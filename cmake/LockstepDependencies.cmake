# Every foreign library, found once. scripts/packages.txt names the Debian packages that provide them.

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(tomlplusplus REQUIRED IMPORTED_TARGET tomlplusplus)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(hwloc REQUIRED IMPORTED_TARGET hwloc>=2.4)  # where sockets, GPUs and network cards are

# The C++ bindings were removed from the MPI standard and their headers do not survive strict warnings.
set(MPI_CXX_SKIP_MPICXX ON)
find_package(MPI REQUIRED COMPONENTS CXX)

# Debian ships a serial and an Open MPI build of HDF5; the second would link MPI into the controller.
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)
if(HDF5_IS_PARALLEL)
  message(FATAL_ERROR "found a parallel HDF5 (it would link MPI into the controller); install libhdf5-dev")
endif()

# CUDA and NCCL are optional: without them the stub twins are built instead.
find_package(CUDAToolkit 12.8 QUIET)  # kernels as libraries of the runtime came with 12.8
set(LOCKSTEP_HAS_CUDA 0)
set(LOCKSTEP_HAS_CUBLASLT 0)
set(LOCKSTEP_HAS_NCCL 0)
if(CUDAToolkit_FOUND)
  set(LOCKSTEP_HAS_CUDA 1)
  find_path(CUBLASLT_INCLUDE_DIR cublasLt.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  if(CUBLASLT_INCLUDE_DIR)  # the library itself is loaded at run time
    set(LOCKSTEP_HAS_CUBLASLT 1)
  endif()
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ENV NCCL_HOME PATH_SUFFIXES include)
  find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR} ENV NCCL_HOME PATH_SUFFIXES lib)
  if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
    set(LOCKSTEP_HAS_NCCL 1)
    add_library(lockstep_nccl_header INTERFACE)
    target_include_directories(lockstep_nccl_header SYSTEM INTERFACE ${NCCL_INCLUDE_DIR})
  endif()
endif()
message(STATUS "Lockstep: CUDA ${LOCKSTEP_HAS_CUDA}, cuBLASLt ${LOCKSTEP_HAS_CUBLASLT}, NCCL ${LOCKSTEP_HAS_NCCL}")
