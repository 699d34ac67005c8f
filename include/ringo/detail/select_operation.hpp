// The operation of select(): a wait with a case for each operation of a tuple.
#pragma once
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/wait_for_many.hpp>

namespace ringo::detail {

// Picks one of the set bits, each with the same probability.
RINGO_ALWAYS_INLINE inline unsigned pick(worker& w, std::uint64_t ready) noexcept {
  if (const std::uint64_t others = ready & (ready - 1); others != 0) {  // saves the call if only one bit is set
    const auto count = 1 + static_cast<unsigned>(__builtin_popcountll(others));
    for (unsigned skip = w.random_below(count); skip > 0; --skip) ready &= ready - 1;
  }
  return static_cast<unsigned>(__builtin_ctzll(ready));
}

// Out of line: a select may have many cases of one type.
template <class Case>
[[gnu::noinline]] bool commit_alone(Case& c, worker& w, routine*& woken) {
  return c.commit(w, false, woken);
}
template <class Case>
[[gnu::noinline]] bool commit_shared(Case& c, worker& w, routine*& woken) {
  return c.commit(w, true, woken);
}

// Calls f with the N-th element.
template <std::size_t N = 0, class Tuple, class F>
RINGO_ALWAYS_INLINE inline decltype(auto) with_element(Tuple& cases, std::size_t n, F&& f) {
  if constexpr (N + 1 < std::tuple_size_v<Tuple>) {
    if (n != N) return with_element<N + 1>(cases, n, std::forward<F>(f));
  }
  return f(std::integral_constant<std::size_t, N>(), std::get<N>(cases));
}

// The operation of select(). Throws: what the chosen case throws; cancelled. Cancel safety: as each of its cases.
template <bool PreferFirst, bool Otherwise, class... Kept>
class RINGO_AWAITABLE select_operation : public wait_for_many<select_operation<PreferFirst, Otherwise, Kept...>> {
  static constexpr std::size_t size = sizeof...(Kept);
  static_assert(size >= 1 && size <= 64, "a select has at most 64 cases: use select_any for more");
  using base = wait_for_many<select_operation>;

 public:
  using result_type = typename std::conditional_t<
      Otherwise,
      std::type_identity<
          std::variant<or_monostate<typename std::remove_reference_t<Kept>::result_type>..., std::monostate>>,
      std::type_identity<std::variant<or_monostate<typename std::remove_reference_t<Kept>::result_type>...>>>::type;
  using case_tag = std::conditional_t<Otherwise, select_operation, void>;  // a select that never waits is no case
  static constexpr bool never_waits = Otherwise;

  template <class... Cases>
  explicit select_operation(std::in_place_t, Cases&&... cases) : cases_(keep(std::forward<Cases>(cases))...) {}
  select_operation(select_operation&& from) noexcept((std::is_nothrow_move_constructible_v<Kept> && ...))
      : base(from), cases_(std::move(from.cases_)) {}
  ~select_operation() { this->abandon(); }

  // g++ stores an inlined result in pieces and loads it as a whole, which stalls the load. So the result goes straight
  // from the case into the variant; if there usually is none, by a call that returns a constant.
  RINGO_ALWAYS_INLINE result_type await_resume() {
    this->come_back();
    const std::size_t chosen = std::exchange(chosen_, none);
    if constexpr (Otherwise) {
      return result_or_otherwise(chosen);
    } else {
      return result_of<0>(chosen);
    }
  }

  template <class F>
  RINGO_ALWAYS_INLINE void each(F&& f) {
    each_of(f, std::index_sequence_for<Kept...>());
  }
  std::size_t places() noexcept {
    return std::apply([](auto&... c) { return (places_of(c) + ...); }, cases_);
  }

  // All locks are held, so the ready cases are ready at one instant (semantics 57). A choice fails only if a source
  // outside this select has claimed the waiter that it met; then the choice is repeated.
  RINGO_ALWAYS_INLINE bool commit_one(worker& w, bool shared, routine*& woken) {
    for (;;) {
      std::uint64_t ready = 0, bit = 1;
      each([&](auto& c) RINGO_ALWAYS_INLINE_LAMBDA {
        if (c.ready(w)) ready |= bit;
        bit <<= 1;
      });
      if (ready == 0) {
        if constexpr (Otherwise) chosen_ = size;
        return Otherwise;
      }
      const std::size_t choice = PreferFirst ? static_cast<unsigned>(__builtin_ctzll(ready)) : pick(w, ready);
      if (with_element(cases_, choice, [&](auto, auto& c) RINGO_ALWAYS_INLINE_LAMBDA {
            return shared ? commit_shared(c, w, woken) : commit_alone(c, w, woken);
          })) {
        chosen_ = choice;
        return true;
      }
    }
  }
  // Returns waiting if no case looks ready, idle if one did and then was not. Not used with prefer_first, which must
  // see all cases at one instant.
  progress commit_seen(worker& w, routine*& woken)
      requires(!PreferFirst && (looks_without_lock<std::remove_reference_t<Kept>> && ...))
  {
    std::uint64_t ready = 0, bit = 1;
    each([&](auto& c) {
      if (c.looks_ready(w)) ready |= bit;
      bit <<= 1;
    });
    if (ready == 0) return progress::waiting;
    const std::size_t choice = pick(w, ready);
    const bool committed = with_element(cases_, choice, [&](auto, auto& c) {
      const optional_guard guard(c.lock());
      const bool done = commit_shared(c, w, woken);
      check_source_of(c);
      return done;
    });
    if (!committed) return progress::idle;
    chosen_ = choice;
    return progress::done;
  }
  // Links the cases in random order, so that the first of several cases on one channel has no advantage (semantics 54).
  void link_all(worker& w, routine& r) noexcept {
    const std::size_t start = PreferFirst || size < 2 ? 0 : w.random_below(size);
    std::size_t i = 0;
    each([&](auto& c) {
      if (i++ >= start) c.link(w, r);
    });
    i = 0;
    each([&](auto& c) {
      if (i++ < start) c.link(w, r);
    });
  }
  result_type take() {
    if (!has_chosen()) note_winner();
    return result_of<0>(std::exchange(chosen_, none));
  }
  bool has_chosen() const noexcept { return chosen_ != none; }
  void note_refusal() noexcept { chosen_ = refusal; }
  bool forget_refusal() noexcept {
    if (chosen_ != refusal) return false;
    chosen_ = none;
    return true;
  }
  void note_winner() noexcept {
    std::size_t i = 0;
    each([&](auto& c) {
      if (won(c.current_state())) {
        chosen_ = i;
      } else {
        c.leave();
      }
      ++i;
    });
  }
  void append_to(wait_report& text) const {
    text += "select of ";
    bool is_first = true;
    std::apply(
        [&](const auto&... c) {
          ((std::exchange(is_first, false) ? void() : text.next_case(), c.append_to(text)), ...);
        },
        cases_);
  }

 private:
  template <class F, std::size_t... N>
  RINGO_ALWAYS_INLINE void each_of(F& f, std::index_sequence<N...>) {
    (f(std::get<N>(cases_)), ...);
  }
  [[gnu::noinline]] result_type result_or_otherwise(std::size_t chosen) {
    if constexpr (std::is_trivially_copyable_v<result_type>) {
      static constexpr result_type constant(std::in_place_index<size>);
      const result_type* otherwise_chosen = &constant;
      __asm__("" : "+r"(otherwise_chosen));  // copied, not built
      if (chosen == size) return *otherwise_chosen;
    } else {
      if (chosen == size) return result_type(std::in_place_index<size>);
    }
    return result_of<0>(chosen);
  }
  template <std::size_t N>
  RINGO_ALWAYS_INLINE result_type result_of(std::size_t chosen) {
    if constexpr (N + 1 < size) {
      if (chosen != N) return result_of<N + 1>(chosen);
    }
    auto& c = std::get<N>(cases_);
    if constexpr (requires { c.template take_as<result_type, N>(); }) {
      return c.template take_as<result_type, N>();
    } else if constexpr (std::is_void_v<decltype(c.take())>) {
      c.take();
      return result_type(std::in_place_index<N>);
    } else {
      return result_type(std::in_place_index<N>, c.take());
    }
  }

  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t refusal = none - 1;

  std::tuple<Kept...> cases_;
  std::size_t chosen_ = none;
};

// A select of one case and `otherwise`, which is an attempt. It never waits, so it needs nothing of a wait.
// await_resume does it all, and the result goes straight to the awaiting expression.
template <bool PreferFirst, class Kept>
class RINGO_AWAITABLE select_operation<PreferFirst, true, Kept> {
 public:
  using result_type = std::variant<or_monostate<typename std::remove_reference_t<Kept>::result_type>, std::monostate>;
  static constexpr bool never_waits = true;

  template <class Case>
  explicit select_operation(std::in_place_t, Case&& c) : case_(keep(std::forward<Case>(c))) {}
  select_operation(select_operation&& from) noexcept(std::is_nothrow_move_constructible_v<Kept>)
      : case_(std::move(from.case_)) {}
  RINGO_ALWAYS_INLINE ~select_operation() {
    // The frame is destroyed while its routine, or the record of its foreign coroutine, is in a run queue.
    if (queued_ != nullptr) [[unlikely]]
      forget(*queued_, true);
  }

  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker("select");
    return w.goes_on_alone() || goes_on_otherwise(w);
  }
  // The budget is spent: the attempt is made when the routine has its turn again.
  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    return end_turn(*current_worker(), coroutine, is_own_promise<P>, queued_);
  }
  RINGO_ALWAYS_INLINE result_type await_resume() {
    worker& w = *current_worker();
    if (queued_ != nullptr) [[unlikely]]
      come_back(w);
    if constexpr (requires { case_.try_now(w); }) {
      const progress p = case_.try_now(w);
      if (p == progress::idle) return result_type(std::in_place_index<1>);
      return case_.template result_as<result_type, 0>(p);
    } else {
      case_.enter(&w);
      if (!w.shared) {
        try_alone(w);
      } else if (looks_ready(w)) {
        try_locked(w);
      }
      if (!won(case_.current_state())) return result_type(std::in_place_index<1>);
      if constexpr (std::is_void_v<decltype(case_.take())>) {
        case_.take();
        return result_type(std::in_place_index<0>);
      } else {
        return result_type(std::in_place_index<0>, case_.take());
      }
    }
  }

 private:
  [[gnu::noinline]] static bool goes_on_otherwise(worker& w) {
    if (w.turn_lasts()) {
      if (w.current->is_cancelled()) throw_cancelled();
      return true;
    }
    return false;
  }
  [[gnu::cold, gnu::noinline]] void come_back(worker& w) {
    routine& r = *std::exchange(queued_, nullptr);
    // The record of a foreign coroutine is not cancelled itself.
    if (r.resumed_as != routine::kind::foreign ? r.is_cancelled() : w.current->is_cancelled()) throw_cancelled();
  }
  // With one case, a look without its lock sees one instant (semantics 57).
  RINGO_ALWAYS_INLINE bool looks_ready(worker& w) {
    if constexpr (looks_without_lock<std::remove_reference_t<Kept>>) {
      return case_.looks_ready(w);
    } else {
      return true;
    }
  }
  RINGO_ALWAYS_INLINE void try_alone(worker& w) {
    if (!case_.ready(w)) return;
    routine* woken = nullptr;
    (void)case_.commit(w, false, woken);
    if (woken) w.make_next(*woken);
  }
  void try_locked(worker& w) {
    routine* woken = nullptr;
    if constexpr (requires { case_.lock(); }) {
      const optional_guard guard(case_.lock());
      if (case_.ready(w)) (void)case_.commit(w, true, woken);
    } else {
      lock_set locks(places_of(case_));
      add_locks_of(case_, locks);
      locks.lock();
      if (case_.ready(w)) (void)case_.commit(w, true, woken);
    }
    w.wake(woken);
  }

  Kept case_;
  routine* queued_ = nullptr;
};

// A case that changes the result of an operation in take().
template <class Kept>
class forwarding_case {
  using operation_type = std::remove_reference_t<Kept>;

 public:
  using result_type = typename operation_type::result_type;
  using case_tag =
      std::conditional_t<case_operation<operation_type>, void, operation_type>;  // a task is no case by itself

  template <class O>
  explicit forwarding_case(std::in_place_t, O&& o) : operation_(keep(std::forward<O>(o))) {}

  operation_type& operation() noexcept { return operation_; }

  void enter(worker* w) { operation_.enter(w); }
  auto lock() noexcept requires requires(operation_type& o) { o.lock(); }
  {
    return operation_.lock();
  }
  std::size_t places() noexcept { return places_of(operation_); }
  void add_locks(lock_set& locks) noexcept { add_locks_of(operation_, locks); }
  bool ready(worker& w) { return operation_.ready(w); }
  bool looks_ready(worker& w) requires looks_without_lock<operation_type>
  {
    return operation_.looks_ready(w);
  }
  bool commit(worker& w, bool shared, routine*& woken) { return operation_.commit(w, shared, woken); }
  void link(worker& w, routine& r) { operation_.link(w, r); }
  void check_source() { check_source_of(operation_); }
  bool unlink() noexcept { return operation_.unlink(); }
  void leave() noexcept { operation_.leave(); }
  void discard() noexcept { operation_.discard(); }
  progress current_state() noexcept { return operation_.current_state(); }
  decltype(auto) take() { return operation_.take(); }
  void append_to(wait_report& text) const { operation_.append_to(text); }

 protected:
  Kept operation_;
};

// An operation, and the handler of its result.
template <class Operation, class F>
class handled_case : public forwarding_case<Operation> {
  using yielded = typename forwarding_case<Operation>::result_type;
  template <class R>
  struct returned {
    using type = std::invoke_result_t<std::remove_reference_t<F>&, R>;
  };
  template <class R>
  requires std::is_void_v<R>
  struct returned<R> {
    using type = std::invoke_result_t<std::remove_reference_t<F>&>;
  };

 public:
  using result_type = typename returned<yielded>::type;

  template <class O, class G>
  handled_case(std::in_place_t, O&& o, G&& handler)
      : forwarding_case<Operation>(std::in_place, std::forward<O>(o)), handler_(std::forward<G>(handler)) {}

  std::remove_reference_t<F>& handler() noexcept { return handler_; }

  RINGO_RETURNS_TASK result_type take() {
    if constexpr (std::is_void_v<yielded>) {
      this->operation_.take();
      return handler_();
    } else {
      return handler_(this->operation_.take());
    }
  }

 private:
  F handler_;
};

}  // namespace ringo::detail
