// Each public header includes this before anything else, so that an older standard ends with one message.
#pragma once
#if __cplusplus < 202002L
#error "ringo needs C++20: compile with -std=c++20 or newer"
// #error does not end the compilation; a header that does not exist does.
#include <ringo needs C++20: compile with -std=c++20 or newer>
#endif
