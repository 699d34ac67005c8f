// The cases of a select, each in a place of its own. A std::tuple moves each element in, and its destructor is a call.
#pragma once
#include <cstddef>
#include <utility>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/compilers.hpp>

namespace ringo::detail {

template <std::size_t N, class Kept>
struct case_place {
  template <class Case>
  RINGO_ALWAYS_INLINE case_place(std::in_place_t, Case&& c) : kept(keep(std::forward<Case>(c))) {}
  RINGO_ALWAYS_INLINE case_place(case_place&&) = default;
  RINGO_ALWAYS_INLINE ~case_place() = default;

  Kept kept;
};

template <class Numbers, class... Kept>
class case_list;

template <std::size_t... N, class... Kept>
class case_list<std::index_sequence<N...>, Kept...> : private case_place<N, Kept>... {
 public:
  template <class... Cases>
  RINGO_ALWAYS_INLINE explicit case_list(std::in_place_t, Cases&&... cases)
      : case_place<N, Kept>(std::in_place, std::forward<Cases>(cases))... {}
  case_list(case_list&&) = default;
  RINGO_ALWAYS_INLINE ~case_list() {}

  template <std::size_t At>
  RINGO_ALWAYS_INLINE auto& at() noexcept {
    return in<At>(*this);
  }
  // Calls f with each case, in order.
  template <class F>
  RINGO_ALWAYS_INLINE void each(F&& f) {
    (f(this->case_place<N, Kept>::kept), ...);
  }
  template <class F>
  void each(F&& f) const {
    (f(this->case_place<N, Kept>::kept), ...);
  }

 private:
  template <std::size_t At, class Case>
  RINGO_ALWAYS_INLINE static auto& in(case_place<At, Case>& place) noexcept {
    return place.kept;
  }
};

template <class... Kept>
using cases_of = case_list<std::index_sequence_for<Kept...>, Kept...>;

}  // namespace ringo::detail
