// INFO, CAPTURE, CHECK_MESSAGE and SUBCASE fail in a routine. doctest keeps their texts in a stack of the thread, and a
// routine may go on on another thread, or leave its text to other routines: that crashes now and then, only. Instead
// compute the text in the routine and check it outside, or give it to FAIL_CHECK.
//
// These are doctest's constructors by their linker names (CMakeLists.txt wraps them).
#pragma once
#include <doctest/doctest.h>

#include <ringo/detail/current_worker.hpp>
#include <ringo/detail/worker.hpp>

#define RINGO_CONTEXT_SCOPE "_ZN7doctest6detail16ContextScopeBaseC2Ev"
#define RINGO_SUBCASE "_ZN7doctest6detail7SubcaseC1ERKNS_6StringEPKci"

void real_context_scope(void* self) __asm__("__real_" RINGO_CONTEXT_SCOPE);
void wrapped_context_scope(void* self) __asm__("__wrap_" RINGO_CONTEXT_SCOPE);
void real_subcase(void* self, const doctest::String& name, const char* file, int line) __asm__("__real_" RINGO_SUBCASE);
void wrapped_subcase(void* self, const doctest::String& name, const char* file,
                     int line) __asm__("__wrap_" RINGO_SUBCASE);

inline void refuse_in_a_routine(const char* macros) {
  const ringo::detail::worker* const w = ringo::detail::current_worker();
  if (w != nullptr && w->current != nullptr)
    FAIL_CHECK(doctest::String(macros) << " in a routine (see refused_in_routines.hpp)");
}

void wrapped_context_scope(void* self) {
  refuse_in_a_routine("INFO, CAPTURE or CHECK_MESSAGE");
  real_context_scope(self);
}
void wrapped_subcase(void* self, const doctest::String& name, const char* file, int line) {
  refuse_in_a_routine("SUBCASE");
  real_subcase(self, name, file, line);
}
