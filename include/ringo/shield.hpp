// shield: an operation or a task that cancellation does not end, for clean-up that awaits.
//
// The caller's cancellation is held back until it is done, and seen by the next await. As a case of a select it is what
// it shields: a select ends as a whole, and its losers with it. What a shielded task starts is not shielded.
#pragma once
#include <source_location>
#include <utility>

#include <ringo/context.hpp>

namespace ringo {

namespace detail {

template <class A>
task<result_of<A>> await_shielded(stored<A> awaited, std::source_location where) {
  const cancellation_held_back until_done;
  co_return co_await awaited_at<stored<A>>{static_cast<stored<A>&&>(awaited), where};
}

template <class A>
class RINGO_AWAITABLE shielded {
 public:
  using result_type = result_of<A>;
  shielded(A&& awaited, std::source_location where) : awaited_(std::forward<A>(awaited)), where_(where) {}

  auto operator co_await() && {
    return await_shielded<A>(static_cast<stored<A>&&>(awaited_), where_).operator co_await();
  }
  stored<A> as_case() && { return static_cast<stored<A>&&>(awaited_); }

 private:
  stored<A> awaited_;
  std::source_location where_;
};

}  // namespace detail

template <class A>
detail::shielded<A> shield(A&& awaited, std::source_location where = std::source_location::current()) {
  return detail::shielded<A>(std::forward<A>(awaited), where);
}

}  // namespace ringo
