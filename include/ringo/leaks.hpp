// leaks: routines that wait for what can never come.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <string>

#include <ringo/snapshot.hpp>

namespace ringo {

/// What runtime::find_leaks() and runtime_ref::find_leaks() return.
///
///   if (const leaks l = runtime::current().find_leaks(); !l.found.routines.empty()) std::cerr << to_text(l);
///
/// A routine is leaked if it waits, and nothing that can still run has a pointer to what it waits for, nor to the
/// routine or its context: so nothing can wake it before the runtime ends. All of them are found only where memory is
/// left tidy (docs/observability.md, "Leaks"); in doubt a routine is no leak. A leak that was started in a scope which
/// still lives is in `until_cancelled`, for the scope can cancel it.
struct leaks {
  /// Why there was no search: malloc is not glibc's (so under sanitizers), a worker did not stop for it within
  /// five seconds, or another search is under way. Empty if there was one.
  std::string not_searched;
  std::size_t searched = 0;  ///< How many routines there were.
  /// The leaked routines, with what they wait for. An object's id is 0, since an address here would be a reference.
  snapshot found;
  /// Routines that nothing but the cancellation of their context can end: it has no deadline, and nothing that can
  /// still run has a pointer to what they wait for. In a server that runs on, they are leaks, too; a routine that is
  /// meant to wait until it is cancelled may do so by co_await context::current().wait(), or never(), and is not among
  /// them.
  snapshot until_cancelled;
};

/// For people: routines that wait at the same place for the same kind of object as one group.
std::string to_text(const leaks& l);
/// For machines: an object with `not_searched`, `searched` and `found`, which is as to_json(snapshot) says.
std::string to_json(const leaks& l);

}  // namespace ringo
