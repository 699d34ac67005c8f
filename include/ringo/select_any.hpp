// select_any: a select over a range of operations of one type, whose number is known at run time only.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <ranges>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/detail/handled_case.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/select_operation.hpp>
#include <ringo/task.hpp>

namespace ringo {

/// The result of select_any: the index of the case, and its result.
template <class R>
struct selected {
  std::size_t index;
  R result;
};

namespace detail {

// The operation of select_any(). The caller keeps the cases, and may use the losing ones again.
template <class Cases>
class RINGO_AWAITABLE select_any_operation : public wait_for_some<select_any_operation<Cases>> {
  using base = wait_for_some<select_any_operation>;
  using operation_type = std::ranges::range_value_t<std::remove_reference_t<Cases>>;

 public:
  using case_tag = void;
  static constexpr bool never_waits = false;
  using result_type = selected<or_monostate<typename operation_type::result_type>>;

  explicit select_any_operation(Cases&& cases) : cases_(std::forward<Cases>(cases)) {}
  select_any_operation(select_any_operation&& from) noexcept(std::is_nothrow_move_constructible_v<Cases>)
      : base(from), cases_(std::forward<Cases>(from.cases_)) {}
  ~select_any_operation() { this->abandon(); }

  bool await_ready() {
    worker& w = require_worker("select");
    if (w.spend()) {
      if (const glance seen = commit_alone(w); seen != glance::elsewhere) return seen == glance::ready;
    }
    return this->await_ready_otherwise(w);
  }
  result_type await_resume() {
    this->come_back();
    return take_chosen();
  }
  result_type take() {
    if (!this->has_chosen()) note_winner();
    return take_chosen();
  }
  result_type take_chosen() {
    const std::size_t index = std::exchange(this->chosen_, base::none);
    operation_type& c = std::ranges::data(cases_)[index];
    if constexpr (std::is_void_v<typename operation_type::result_type>) {
      c.take();
      return {index, {}};
    } else {
      return {index, c.take()};
    }
  }

  static const wait_shape& shape() noexcept {
    static constexpr wait_shape of_this{[](wait_for_many& it, room_for_cases&) {
                                          auto& cases = static_cast<select_any_operation&>(it).cases_;
                                          return case_range(std::ranges::data(cases), std::ranges::size(cases));
                                        },
                                        [](const parked_operation& it, wait_report& text) {
                                          static_cast<const select_any_operation&>(it).append_to(text);
                                        },
                                        false,
                                        false,
                                        has_one_lock<operation_type>,
                                        has_one_lock<operation_type> && looks_without_lock<operation_type>};
    return of_this;
  }
  // With one worker, by the cases' type, which takes half of the time: commits one of the ready cases, if there is one.
  // `elsewhere`: nothing is decided, since there are other workers, or a case's source is not this runtime's.
  glance commit_alone(worker& w) {
    if constexpr (decides_alone<operation_type>) {
      random_choice choice;
      std::size_t i = 0;
      for (operation_type& c : cases_) {
        const glance seen = c.look_alone(w);
        if (seen == glance::elsewhere) [[unlikely]]
          return glance::elsewhere;
        if (seen == glance::ready) choice.offer(w, i);
        ++i;
      }
      if (choice.is_empty()) return w.shared ? glance::elsewhere : glance::not_ready;
      operation_type& c = std::ranges::data(cases_)[choice.chosen()];
      routine* woken = nullptr;
      const bool committed = c.commit(w, false, woken);
      check_source_of(c);
      if (woken != nullptr) w.make_next(*woken);
      if (!committed) return glance::elsewhere;
      this->chosen_ = choice.chosen();
      return glance::ready;
    } else {
      return glance::elsewhere;
    }
  }
  void link_all(worker& w, routine& r) {
    for (operation_type& c : cases_) c.link(w, r);
  }
  void note_winner() noexcept {
    std::size_t i = 0;
    for (operation_type& c : cases_) {
      won(c.current_state()) ? void(this->chosen_ = i) : c.leave();
      ++i;
    }
  }
  void append_to(wait_report& text) const {
    room_for_cases room;
    base::append_each(shape().cases(const_cast<select_any_operation&>(*this), room), text, "select_any", " of ");
  }

 private:
  Cases cases_;  // a reference where the caller's range is an lvalue
};

template <class Cases>
using case_in = std::ranges::range_value_t<std::remove_reference_t<Cases>>;
// Operations that lie in a row, where they stay; all other cases are moved into a row, or referred to from one.
template <class Cases>
concept row_of_operations =
    std::ranges::contiguous_range<Cases> && std::ranges::sized_range<Cases> && case_operation<case_in<Cases>>;
template <class Cases>
concept range_of_cases = std::ranges::range<Cases> && (case_operation<case_in<Cases>> || case_like<case_in<Cases>&>);

template <class Cases>
auto keep_each(Cases&& cases) {
  using given = std::ranges::range_reference_t<Cases>;
  constexpr bool are_given_away =
      !std::is_lvalue_reference_v<Cases> && !std::ranges::view<Cases> && case_operation<case_in<Cases>>;
  using one = std::conditional_t<are_given_away, std::remove_reference_t<given>&&, given>;
  std::vector<forwarding_case<kept_case<one>>> kept;
  for (auto&& c : cases) kept.emplace_back(std::in_place, static_cast<one&&>(c));
  return kept;
}

}  // namespace detail

/// Waits for the first of a range of operations, of handles (the first routine that ends) or of other awaitables; for
/// ever if the range is empty. Random among the ready ones. Allocates room for the cases, unless they are operations
/// that lie in a row.
///
///   std::vector<decltype(ch.recv())> cases = ...;
///   auto [index, value] = co_await select_any(cases);
///
/// Throws: what the chosen operation throws; cancelled. Cancel safety: as the operations'.
template <detail::range_of_cases Cases>
auto select_any(Cases&& cases) {
  if constexpr (detail::row_of_operations<Cases>) {
    return detail::select_any_operation<Cases>(std::forward<Cases>(cases));
  } else {
    auto kept = detail::keep_each(std::forward<Cases>(cases));
    return detail::select_any_operation<decltype(kept)>(std::move(kept));
  }
}
/// The same without waiting: nothing if no case is ready. Thread: workers.
template <detail::range_of_cases Cases>
auto try_select_any(Cases&& cases) {
  if constexpr (detail::row_of_operations<Cases>) {
    detail::select_any_operation<Cases&> operation(cases);
    using result = std::optional<typename detail::select_any_operation<Cases&>::result_type>;
    detail::worker& w = detail::require_worker("try_select_any");
    if (const detail::glance seen = operation.commit_alone(w); seen != detail::glance::elsewhere) {
      return seen == detail::glance::ready ? result(operation.take_chosen()) : result();
    }
    operation.enter(&w);
    if (!operation.try_once(w, true)) return result();
    return result(operation.take_chosen());
  } else {
    return try_select_any(detail::keep_each(std::forward<Cases>(cases)));
  }
}

}  // namespace ringo
