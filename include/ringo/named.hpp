// named: a name for a routine, which snapshots, dumps and deadlock reports show.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/detail/started.hpp>

namespace ringo {

/// named("session 7", f), named("session 7", task): for everything that starts routines. The name lives in the
/// routine's record; routines without one have no room for it.
///
///   go(named("session " + std::to_string(id), serve), std::move(stream));
///
/// Throws: std::bad_alloc; what copying f throws.
template <class F>
requires(!detail::is_named_task<F>)
detail::named_call<std::decay_t<F>> named(std::string name, F&& f) {
  return detail::named_call<std::decay_t<F>>(std::move(name), std::forward<F>(f));
}

}  // namespace ringo
