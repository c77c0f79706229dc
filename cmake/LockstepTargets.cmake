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
if(LOCKSTEP_DEBUG_CHECKS)
  target_compile_definitions(lockstep_flags INTERFACE LOCKSTEP_DEBUG_CHECKS=1)
endif()
if(LOCKSTEP_SANITIZE)
  target_compile_options(lockstep_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                                  -fno-omit-frame-pointer)
  target_link_options(lockstep_flags INTERFACE -fsanitize=address,undefined)
endif()

# lockstep_room(NAME SOURCES a.cpp ... LINK deps...) makes lockstep_<name>, known as lockstep::<name>.
function(lockstep_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  if(ARG_SOURCES)
    add_library(lockstep_${name} STATIC ${ARG_SOURCES})
    target_link_libraries(lockstep_${name} PUBLIC lockstep_flags ${ARG_LINK})
  else()
    add_library(lockstep_${name} INTERFACE)
    target_link_libraries(lockstep_${name} INTERFACE lockstep_flags ${ARG_LINK})
  endif()
  add_library(lockstep::${name} ALIAS lockstep_${name})
endfunction()
