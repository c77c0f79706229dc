# A test that hangs is ended; no test is judged by its speed, and machines differ by several times under sanitizers.
set(LOCKSTEP_TEST_TIMEOUT 300)
# More ranks than cores, as root, and leak checks off: Open MPI keeps what it allocated.
set(LOCKSTEP_MPI_ENVIRONMENT OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
                             ASAN_OPTIONS=detect_leaks=0 OMPI_MCA_btl_vader_single_copy_mechanism=none)

if(LOCKSTEP_PRECOMPILED_HEADERS)
  lockstep_precompiled(lockstep_test_headers LINK fmt::fmt GTest::gmock
                       HEADERS ${LOCKSTEP_COMMON_HEADERS} <gmock/gmock.h> <gtest/gtest.h>)
endif()

# lockstep_test(NAME SOURCES x.cpp LINK rooms... [TIMEOUT s]): one GoogleTest binary, one ctest entry.
function(lockstep_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT ${LOCKSTEP_TEST_TIMEOUT})
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} fmt::fmt GTest::gmock GTest::gtest_main)
  lockstep_reuse_headers(${name} lockstep_test_headers)
  add_test(NAME ${name} COMMAND ${name})
  # An allocation that cannot be is an error to be handled, also under AddressSanitizer.
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "ASAN_OPTIONS=allocator_may_return_null=1")
endfunction()

# lockstep_foreign_leaks(TEST...): these use libraries that keep what they allocated. Whole stacks tell who that was: a
# library that was unloaded has no name any more, and what called it has. They take LeakSanitizer twice as long.
function(lockstep_foreign_leaks)
  set_property(TEST ${ARGN} APPEND PROPERTY ENVIRONMENT
    "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/foreign_leaks.txt:print_suppressions=0"
    "ASAN_OPTIONS=allocator_may_return_null=1:fast_unwind_on_malloc=0")
endfunction()

# lockstep_mpi_test(NAME SOURCES x.cpp LINK rooms... RANKS 1 2 4 [TIMEOUT s]): one ctest entry per rank count,
# named NAME.np<count>. tests/mpi/mpi_main.cpp fails every rank when one failed or when no test ran.
function(lockstep_mpi_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;RANKS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT ${LOCKSTEP_TEST_TIMEOUT})
  endif()
  add_executable(${name} ${ARG_SOURCES} ${PROJECT_SOURCE_DIR}/tests/mpi/mpi_main.cpp)
  target_link_libraries(${name} PRIVATE ${ARG_LINK} lockstep::mpi fmt::fmt GTest::gmock GTest::gtest)
  lockstep_reuse_headers(${name} lockstep_test_headers)
  foreach(ranks ${ARG_RANKS})
    add_test(NAME ${name}.np${ranks} COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe -np ${ranks}
                                             $<TARGET_FILE:${name}>)
    set_tests_properties(${name}.np${ranks} PROPERTIES TIMEOUT ${ARG_TIMEOUT} PROCESSORS 2
      ENVIRONMENT "${LOCKSTEP_MPI_ENVIRONMENT}")
  endforeach()
endfunction()
