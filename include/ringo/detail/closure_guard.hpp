// g++ 12 destroys a lambda twice that is written inside a co_await expression and has captures to destroy. So what was
// made of such a lambda may not be awaited in the same expression: only by name, in a later one.
#pragma once
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/operation.hpp>

namespace ringo::detail {

// A handle or an operation that was made of a lambda. await_transform and select look for join() and as_case() first.
template <class Awaited>
class made_of_closure : public Awaited {
 public:
  using Awaited::Awaited;
  made_of_closure(Awaited&& a) noexcept : Awaited(std::move(a)) {}

  auto join(std::source_location where = {}) & {
    if constexpr (requires { Awaited::join(where); }) {
      return Awaited::join(where);
    } else {
      std::construct_at(&this->where, where);
      return by_reference<Awaited>(*this);
    }
  }
  decltype(auto) as_case() & {
    if constexpr (requires { Awaited::join({}); }) {
      return Awaited::join({});
    } else {
      return static_cast<Awaited&>(*this);
    }
  }
  template <class A = Awaited>
  auto join(std::source_location = {}) && {
    static_assert(!std::is_same_v<A, Awaited>, RINGO_SAY_NAME_LAMBDA);
    return static_cast<made_of_closure&>(*this).join();
  }
  template <class A = Awaited>
  auto as_case() && {
    static_assert(!std::is_same_v<A, Awaited>, RINGO_SAY_NAME_LAMBDA);
    return static_cast<made_of_closure&>(*this).as_case();
  }
};

template <class Awaited, class... F>
using closure_guarded =
    std::conditional_t<RINGO_DESTROYS_AGGREGATES_TWICE && (risky_closure<F> || ...), made_of_closure<Awaited>, Awaited>;

}  // namespace ringo::detail
