// select_any: a select over a range of operations of one type, whose number is known at run time only.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
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
class RINGO_AWAITABLE select_any_operation : public wait_for_many<select_any_operation<Cases>> {
  using base = wait_for_many<select_any_operation>;
  using operation_type = std::ranges::range_value_t<std::remove_reference_t<Cases>>;

 public:
  using case_tag = void;
  static constexpr bool never_waits = false;
  using result_type = selected<or_monostate<typename operation_type::result_type>>;

  explicit select_any_operation(Cases&& cases) : cases_(std::forward<Cases>(cases)) {}
  select_any_operation(select_any_operation&& from) noexcept(std::is_nothrow_move_constructible_v<Cases>)
      : base(from), cases_(std::forward<Cases>(from.cases_)) {}
  ~select_any_operation() { this->abandon(); }

  result_type await_resume() {
    this->come_back();
    return take_chosen();
  }
  result_type take() {
    if (!has_chosen()) note_winner();
    return take_chosen();
  }
  result_type take_chosen() {
    operation_type& c = *std::exchange(chosen_, nullptr);
    if constexpr (std::is_void_v<typename operation_type::result_type>) {
      c.take();
      return {index_, {}};
    } else {
      return {index_, c.take()};
    }
  }

  template <class F>
  void each(F&& f) {
    for (operation_type& c : cases_) f(c);
  }
  std::size_t places() {
    std::size_t places = 0;
    each([&places](operation_type& c) { places += places_of(c); });
    return places;
  }
  bool commit_one(worker& w, bool shared, routine*& woken) {
    while (choose(w, [&w](operation_type& c) { return c.ready(w); })) {
      if (chosen_->commit(w, shared, woken)) return true;
      chosen_ = nullptr;
    }
    return false;
  }
  // As in select_operation.
  progress commit_seen(worker& w, routine*& woken) requires looks_without_lock<operation_type>
  {
    if (!choose(w, [&w](operation_type& c) { return c.looks_ready(w); })) return progress::waiting;
    const optional_guard guard(chosen_->lock());
    if (chosen_->commit(w, true, woken)) return progress::done;
    chosen_ = nullptr;
    return progress::idle;
  }
  void link_all(worker& w, routine& r) {
    for (operation_type& c : cases_) c.link(w, r);
  }
  bool has_chosen() const noexcept { return chosen_ != nullptr; }
  void note_refusal() noexcept { chosen_ = refusal(); }
  bool forget_refusal() noexcept {
    if (chosen_ != refusal()) return false;
    chosen_ = nullptr;
    return true;
  }
  void note_winner() noexcept {
    std::size_t i = 0;
    for (operation_type& c : cases_) {
      if (won(c.current_state())) {
        chosen_ = &c;
        index_ = i;
      } else {
        c.leave();
      }
      ++i;
    }
  }
  void append_to(wait_report& text) const {
    text += "select_any";
    bool is_first = true;
    for (const operation_type& c : cases_) {
      std::exchange(is_first, false) ? void(text += " of ") : text.next_case();
      c.append_to(text);
    }
  }

 private:
  operation_type* refusal() noexcept { return reinterpret_cast<operation_type*>(this); }  // not the address of a case
  // The n-th ready case replaces the choice with probability 1/n, so all are equally likely.
  template <class Ready>
  bool choose(worker& w, Ready ready) {
    std::uint32_t count = 0;
    std::size_t i = 0;
    for (operation_type& c : cases_) {
      if (ready(c)) {
        ++count;
        if (count == 1 || w.random_below(count) == 0) {
          chosen_ = &c;
          index_ = i;
        }
      }
      ++i;
    }
    return count > 0;
  }

  Cases cases_;  // a reference where the caller's range is an lvalue
  operation_type* chosen_ = nullptr;
  std::size_t index_ = 0;
};

template <class C>
concept kept_apart = !case_operation<C> && case_like<C&>;

template <class Cases>
auto keep_each(Cases& cases) {
  std::vector<forwarding_case<kept_case<std::ranges::range_reference_t<Cases>>>> kept;
  for (auto&& c : cases) kept.emplace_back(std::in_place, std::forward<decltype(c)>(c));
  return kept;
}

}  // namespace detail

/// Waits for the first of a range of operations; for ever if the range is empty. Random among the ready ones.
///
///   std::vector<decltype(ch.recv())> cases = ...;
///   auto [index, value] = co_await select_any(cases);
///
/// Throws: what the chosen operation throws; cancelled. Cancel safety: as the operations'.
template <std::ranges::range Cases>
requires detail::case_operation<std::ranges::range_value_t<std::remove_reference_t<Cases>>>
auto select_any(Cases&& cases) {
  return detail::select_any_operation<Cases>(std::forward<Cases>(cases));
}
/// The same for a range of handles (the first routine that ends) and of other awaitables. Allocates room for the cases.
template <std::ranges::range Cases>
requires detail::kept_apart<std::ranges::range_value_t<std::remove_reference_t<Cases>>>
auto select_any(Cases&& cases) {
  auto kept = detail::keep_each(cases);
  return detail::select_any_operation<decltype(kept)>(std::move(kept));
}
/// The same without waiting: nothing if no case is ready. Thread: workers.
template <std::ranges::range Cases>
requires detail::case_operation<std::ranges::range_value_t<std::remove_reference_t<Cases>>>
auto try_select_any(Cases&& cases) {
  detail::select_any_operation<Cases&> operation(cases);
  using result = std::optional<typename detail::select_any_operation<Cases&>::result_type>;
  detail::worker& w = detail::require_worker("try_select_any");
  operation.enter(&w);
  if (!operation.try_once(w, true)) return result();
  return result(operation.take_chosen());
}
template <std::ranges::range Cases>
requires detail::kept_apart<std::ranges::range_value_t<std::remove_reference_t<Cases>>>
auto try_select_any(Cases&& cases) {
  return try_select_any(detail::keep_each(cases));
}

}  // namespace ringo
