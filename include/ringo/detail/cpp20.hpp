// Each public header includes this before anything else, so that a target or a standard that ringo cannot be compiled
// for ends with one message. #error does not end the compilation; a header that does not exist does.
#pragma once
#if !defined(__linux__) || !defined(__SIZEOF_POINTER__) || __SIZEOF_POINTER__ != 8
#error "ringo needs Linux and a 64-bit target: x86-64 or arm64"
#include <ringo needs Linux and a 64-bit target: x86-64 or arm64>
#elif __cplusplus < 202002L
#error "ringo needs C++20: compile with -std=c++20 or newer"
#include <ringo needs C++20: compile with -std=c++20 or newer>
#endif
