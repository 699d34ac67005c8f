# RINGO_SYNOPSIS names a header that declares the public API without bodies. What uses ringo through ringo.hpp alone must compile with
# it in the library's place: then the tests of the concepts, the programs and the samples use nothing that is not promised. simulated/
# and stress/ use more of ringo::testing than that, the test of blocking() the options of its pool, and what has to do with the outside world
# is declared there in its outlines only; additions.cpp is of what ringo has besides, and
# destroyed_while_awaited.cpp compares counts.
configure_file(synopsis.hpp.in synopsis/ringo/ringo.hpp @ONLY)
file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/test/*.cpp ${PROJECT_SOURCE_DIR}/test/programs/*.cpp
     ${PROJECT_SOURCE_DIR}/samples/*.cpp)
list(FILTER sources EXCLUDE REGEX "/test/(main|additions|destroyed_while_awaited)\\.cpp$")
foreach(source IN LISTS sources)
  file(STRINGS ${source} internals REGEX "^#include [<\"](ringo/[^r]|driver/|runtime/|time/)|blocking_threads|tcp_|udp_|unix_|\"network.hpp\"|buffered_|libpq|hiredis")
  if(NOT internals)
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE name)
    # A function without a body whose type is local to a file is an error; -fpermissive lets that pass.
    add_test(NAME synopsis.${name} COMMAND g++ -std=c++20 -fsyntax-only -fpermissive -w -I ${CMAKE_CURRENT_BINARY_DIR}/synopsis
                                           -I ${PROJECT_SOURCE_DIR}/test ${source})
    set_tests_properties(synopsis.${name} PROPERTIES TIMEOUT 120)
  endif()
endforeach()
