// Whether all routines, frames, timers and operations that were started since then have gone. For loops that yield.
#pragma once
#include <ringo/ringo.hpp>

inline bool nothing_is_left_since(const ringo::testing::counts& before) {
  const auto after = ringo::testing::live();
  return after.frames == before.frames && after.routines == before.routines && after.timers == before.timers &&
         after.operations == before.operations;
}
