// named: a name for a routine or an object, which snapshots, dumps, deadlock reports and debuggers show.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/detail/object_name.hpp>
#include <ringo/detail/started.hpp>

namespace ringo {

/// named("session 7", f), named("session 7", task): for everything that starts routines.
///
///   go(named("session " + std::to_string(id), serve), std::move(stream));
///
/// Throws: std::bad_alloc; what copying f throws.
template <class F>
requires(!detail::is_named_task<F>)
detail::named_call<std::decay_t<F>> named(std::string name, F&& f) {
  return detail::named_call<std::decay_t<F>>(std::move(name), std::forward<F>(f));
}

/// named("jobs"): the first argument of the constructor of a channel, a mutex or another object that routines wait for.
/// (For a context: named(name, context), in context.hpp.) The name is in a table of the process: objects and routines
/// without one pay nothing. Several may have the same name.
///
///   channel<job> jobs(named("jobs"), 8);
///   mutex books(named("books"));
inline detail::object_name named(std::string name) { return detail::object_name(std::move(name)); }

}  // namespace ringo
