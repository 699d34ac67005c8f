// Whether this build checks ringo's own invariants (docs/invariants.md) while it runs.
#pragma once
#include <source_location>

#if !defined(NDEBUG) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RINGO_CHECKED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RINGO_CHECKED true
#endif
#endif
#ifndef RINGO_CHECKED
#define RINGO_CHECKED false
#endif

namespace ringo::detail {

// True in debug and sanitizer builds. Simulations check in every build: there the check is a branch at run time
// (section.hpp). No type's layout depends on this, so a program and a library of different builds fit together.
constexpr bool checked_build = RINGO_CHECKED;

// Prints the rule and where it was checked, and aborts.
[[noreturn, gnu::cold]] void report_broken_invariant(const char* rule, const std::source_location& where) noexcept;

// What a check() says of its object: `rule` is the sentence that `holds` must make true.
inline void invariant(bool holds, const char* rule, std::source_location where = std::source_location::current()) {
  if (!holds) [[unlikely]]
    report_broken_invariant(rule, where);
}

}  // namespace ringo::detail
