// For a property that shows by going on: a test case that does not get here is ended by the watchdog (main.cpp), or
// fails by a deadlock.
#pragma once
#include <doctest/doctest.h>

inline void reached(const char* property) { CHECK(property != nullptr); }
