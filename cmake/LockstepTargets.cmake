# One library target per room, one executable per test file.

add_library(lockstep_flags INTERFACE)
target_compile_features(lockstep_flags INTERFACE cxx_std_20)
target_compile_options(lockstep_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor
                                                -Woverloaded-virtual -Wold-style-cast -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # A false positive of GCC 12 at -O3: const char* + std::string (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651).
  target_compile_options(lockstep_flags INTERFACE -Wno-restrict)
endif()
target_include_directories(lockstep_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
# A test is an executable, and there are many: LLVM's linker takes half as long as the usual one.
find_program(LOCKSTEP_LLD ld.lld)
if(LOCKSTEP_LLD)
  target_link_options(lockstep_flags INTERFACE -fuse-ld=lld)
endif()
if(LOCKSTEP_DEBUG_CHECKS)
  target_compile_definitions(lockstep_flags INTERFACE LOCKSTEP_DEBUG_CHECKS=1)
endif()
if(LOCKSTEP_SANITIZE)
  target_compile_options(lockstep_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                                  -fno-omit-frame-pointer)
  target_link_options(lockstep_flags INTERFACE -fsanitize=address,undefined)
endif()

# lockstep_precompiled(TARGET LINK libraries... HEADERS <a> ...): what a target with the same flags may reuse.
function(lockstep_precompiled name)
  cmake_parse_arguments(ARG "" "" "LINK;HEADERS" ${ARGN})
  file(WRITE ${PROJECT_BINARY_DIR}/generated/${name}.cpp "")
  add_library(${name} OBJECT ${PROJECT_BINARY_DIR}/generated/${name}.cpp)
  target_link_libraries(${name} PRIVATE lockstep_flags ${ARG_LINK})
  target_precompile_headers(${name} PRIVATE ${ARG_HEADERS})
endfunction()
set(LOCKSTEP_COMMON_HEADERS <algorithm> <array> <cstdint> <functional> <map> <memory> <optional> <set> <span>
                            <string> <string_view> <utility> <vector> <fmt/format.h>)
if(LOCKSTEP_PRECOMPILED_HEADERS)
  lockstep_precompiled(lockstep_room_headers LINK fmt::fmt HEADERS ${LOCKSTEP_COMMON_HEADERS})
endif()
function(lockstep_reuse_headers name from)
  if(LOCKSTEP_PRECOMPILED_HEADERS)
    target_precompile_headers(${name} REUSE_FROM ${from})
  endif()
endfunction()

# lockstep_room(NAME SOURCES a.cpp ... LINK deps...) makes lockstep_<name>, known as lockstep::<name>.
function(lockstep_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  if(ARG_SOURCES)
    add_library(lockstep_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(lockstep_${name} PUBLIC lockstep_flags ${ARG_LINK})
    lockstep_reuse_headers(lockstep_${name} lockstep_room_headers)
  else()
    add_library(lockstep_${name} INTERFACE)
    target_link_libraries(lockstep_${name} INTERFACE lockstep_flags ${ARG_LINK})
  endif()
  add_library(lockstep::${name} ALIAS lockstep_${name})
endfunction()
