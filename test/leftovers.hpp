// Whether what a program has stopped has gone: for loops that let the others run until it has.
#pragma once
#include <ringo/ringo.hpp>

inline bool nothing_is_left_since(const ringo::testing::counts& before) {
  const auto after = ringo::testing::live();
  return after.frames == before.frames && after.routines == before.routines && after.timers == before.timers &&
         after.operations == before.operations;
}
