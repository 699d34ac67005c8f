// The operation of select(): a wait with a case for each operation of a tuple.
#pragma once
#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/case_list.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/wait_for_many.hpp>

namespace ringo::detail {

// The operation of select(). Throws: what the chosen case throws; cancelled. Cancel safety: as each of its cases.
template <bool PreferFirst, bool Otherwise, class... Kept>
class RINGO_AWAITABLE select_operation : public wait_for_some<select_operation<PreferFirst, Otherwise, Kept...>> {
  static constexpr std::size_t size = sizeof...(Kept);
  static_assert(size >= 1 && size <= most_cases, "a select has at most 64 cases: use select_any for more");
  using base = wait_for_some<select_operation>;
  using base::chosen_;
  using base::none;

 public:
  using result_type = typename std::conditional_t<
      Otherwise,
      std::type_identity<
          std::variant<or_monostate<typename std::remove_reference_t<Kept>::result_type>..., std::monostate>>,
      std::type_identity<std::variant<or_monostate<typename std::remove_reference_t<Kept>::result_type>...>>>::type;
  using case_tag = std::conditional_t<Otherwise, select_operation, void>;  // a select that never waits is no case
  static constexpr bool never_waits = Otherwise;

  template <class... Cases>
  RINGO_ALWAYS_INLINE explicit select_operation(std::in_place_t, Cases&&... cases)
      : cases_(std::in_place, std::forward<Cases>(cases)...) {}
  select_operation(select_operation&& from) noexcept((std::is_nothrow_move_constructible_v<Kept> && ...))
      : base(from), cases_(std::move(from.cases_)) {}
  RINGO_ALWAYS_INLINE ~select_operation() {
    this->abandon();
    // So the cases' destructors need not look: 5 % of a select of eight.
    tell_that_idle(std::index_sequence_for<Kept...>());
  }

  // With one worker, one look at each case decides most selects: a channel's case that is chosen is left as it is until
  // await_resume, which nothing precedes, takes its result at once (decides_alone).
  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker("select");
    std::uint64_t ready = 0;
    if (!w.spend() || !look_alone(w, ready)) return await_ready_otherwise(w);
    if (ready == 0) {
      if constexpr (Otherwise) {
        if (w.shared) [[unlikely]]  // all channels are nil; another worker may have cancelled the routine
          return await_ready_otherwise(w);
        chosen_ = size;
      }
      return Otherwise;
    }
    const std::size_t choice = PreferFirst ? static_cast<unsigned>(__builtin_ctzll(ready)) : pick(w, ready);
    if ((commits_first >> choice & 1) != 0 && !commit_first(choice, w)) return await_ready_otherwise(w);
    chosen_ = choice;
    return true;
  }
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

  static const wait_shape& shape() noexcept {
    static constexpr const case_functions* tables[] = {
        &case_functions_of<typename protocol_of<std::remove_reference_t<Kept>>::type>...};
    static constexpr wait_shape of_this{
        [](wait_for_many& it, room_for_cases& room) {
          std::size_t i = 0;
          static_cast<select_operation&>(it).cases_.each([&](auto& c) { room[i++] = untyped(c).of; });
          return case_range(room, tables, size);
        },
        [](const parked_operation& it, wait_report& text) { static_cast<const select_operation&>(it).append_to(text); },
        PreferFirst,
        Otherwise,
        (has_one_lock<std::remove_reference_t<Kept>> && ...),
        ((has_one_lock<std::remove_reference_t<Kept>> && looks_without_lock<std::remove_reference_t<Kept>>) && ...)};
    return of_this;
  }
  // Links the cases in random order, so that the first of several cases on one channel has no advantage (semantics 54).
  void link_all(worker& w, routine& r) noexcept {
    if constexpr (PreferFirst || size < 2) {
      cases_.each([&](auto& c) { c.link(w, r); });
    } else {
      const std::size_t start = w.random_below(size);
      std::size_t i = 0;
      cases_.each([&](auto& c) {
        if (i++ >= start) c.link(w, r);
      });
      i = 0;
      cases_.each([&](auto& c) {
        if (i++ < start) c.link(w, r);
      });
    }
  }
  result_type take() {
    if (!this->has_chosen()) note_winner();
    return result_of<0>(std::exchange(chosen_, none));
  }
  void note_winner() noexcept {
    std::size_t i = 0;
    cases_.each([&](auto& c) {
      if (won(c.current_state())) {
        chosen_ = i;
      } else {
        c.leave();
      }
      ++i;
    });
  }
  void append_to(wait_report& text) const {
    room_for_cases room;
    base::append_each(shape().cases(const_cast<select_operation&>(*this), room), text, "select", " of ");
  }

 private:
  template <std::size_t N>
  using case_type = std::remove_reference_t<decltype(std::declval<cases_of<Kept...>&>().template at<N>())>;

  template <std::size_t... N>
  RINGO_ALWAYS_INLINE void tell_that_idle(std::index_sequence<N...>) noexcept {
    (tell_that_idle<N, Kept>(), ...);
  }
  template <std::size_t N, class OfKept>
  RINGO_ALWAYS_INLINE void tell_that_idle() noexcept {
    if constexpr (decides_alone<case_type<N>> && owns_state<OfKept>) {
      if (cases_.template at<N>().current_state() != progress::idle) __builtin_unreachable();
    }
  }
  // With several workers: a look without locks, as wait_for_many::try_cases takes, by the cases' types.
  [[gnu::noinline]] bool await_ready_otherwise(worker& w) {
    if constexpr (!PreferFirst && (looks_from_here<std::remove_reference_t<Kept>> && ...)) {
      if (w.shared && !w.current->is_cancelled()) [[likely]] {
        std::uint64_t ready = 0;
        const bool here = look_shared(w, ready);
        if (here && ready != 0) {
          const std::size_t choice = pick(w, ready);
          return (commit_seen(choice, w) || this->try_locked(w, shape())) && w.turn_lasts();
        } else if (here && !Otherwise) {
          return false;
        }
      }
    }
    return base::await_ready_otherwise(w);
  }
  // Notes the cases that look ready. False: one has to enter its source first.
  template <std::size_t N = 0>
  RINGO_ALWAYS_INLINE bool look_shared(worker& w, std::uint64_t& ready) {
    const glance seen = cases_.template at<N>().look_shared(w);
    if (seen == glance::elsewhere) [[unlikely]]
      return false;
    if (seen == glance::ready) ready |= std::uint64_t{1} << N;
    if constexpr (N + 1 < size) return look_shared<N + 1>(w, ready);
    return true;
  }
  // Commits a case that looks ready, under its own lock only.
  template <std::size_t N = 0>
  RINGO_ALWAYS_INLINE bool commit_seen(std::size_t choice, worker& w) {
    if constexpr (N + 1 < size) {
      if (choice != N) return commit_seen<N + 1>(choice, w);
    }
    auto& c = cases_.template at<N>();
    using type = typename protocol_of<case_type<N>>::type;
    const bool committed = commit_under(c.lock(), w, [&](routine*& woken) RINGO_ALWAYS_INLINE_LAMBDA {
      const bool done = functions_of<type>::commit(without_type(static_cast<type&>(c)), w, true, woken);
      check_source_of(c);
      return done;
    });
    if (committed) chosen_ = choice;
    return committed;
  }
  // Notes the cases that are ready. False: nothing is decided, since there are other workers, or a case's source is not
  // this runtime's.
  RINGO_ALWAYS_INLINE bool look_alone(worker& w, std::uint64_t& ready) {
    if constexpr (commits_first == 0) {  // each case asks its channel's owner
      return look_alone(w, ready, std::index_sequence_for<Kept...>());
    } else if constexpr ((noexcept(std::declval<std::remove_reference_t<Kept>&>().enter(&w)) && ...)) {
      return !w.shared && look_alone(w, ready, std::index_sequence_for<Kept...>());
    } else {
      try {
        return !w.shared && look_alone(w, ready, std::index_sequence_for<Kept...>());
      } catch (...) {
        return false;
      }
    }
  }
  template <std::size_t... N>
  RINGO_ALWAYS_INLINE bool look_alone(worker& w, std::uint64_t& ready, std::index_sequence<N...>) {
    return (look_at<N>(w, ready) && ...);
  }
  template <std::size_t N>
  RINGO_ALWAYS_INLINE bool look_at(worker& w, std::uint64_t& ready) {
    auto& c = cases_.template at<N>();
    if constexpr (decides_alone<case_type<N>>) {
      const glance seen = c.look_alone(w);
      if (seen == glance::elsewhere) [[unlikely]]
        return false;
      if (seen == glance::ready) ready |= std::uint64_t{1} << N;
    } else {
      c.enter(&w);
      if (c.ready(w)) ready |= std::uint64_t{1} << N;
    }
    return true;
  }
  template <std::size_t N = 0>
  RINGO_ALWAYS_INLINE bool commit_first(std::size_t choice, worker& w) {
    if constexpr (N == size) {
      return false;
    } else {
      if constexpr (!decides_alone<case_type<N>>) {
        if (choice == N) {
          routine* woken = nullptr;
          const untyped_case c = untyped(cases_.template at<N>());
          const bool committed = c.its->commit(c.of, w, false, woken);
          check_source_of(cases_.template at<N>());
          if (woken != nullptr) w.make_next(*woken);
          return committed;
        }
      }
      return commit_first<N + 1>(choice, w);
    }
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
    auto& c = cases_.template at<N>();
    if constexpr (decides_alone<case_type<N>>) {
      const progress p = c.settle(*current_worker());
      if constexpr (requires { c.template result_as<result_type, N>(p); }) {
        return c.template result_as<result_type, N>(p);
      } else if constexpr (std::is_void_v<decltype(c.result_after(p))>) {
        c.result_after(p);
        return result_type(std::in_place_index<N>);
      } else {
        return result_type(std::in_place_index<N>, c.result_after(p));
      }
    } else if constexpr (std::is_void_v<decltype(c.take())>) {
      c.take();
      return result_type(std::in_place_index<N>);
    } else {
      return result_type(std::in_place_index<N>, c.take());
    }
  }

  // The cases that commit in await_ready, in one bit each.
  static constexpr std::uint64_t commits_first = [] {
    std::uint64_t bits = 0, bit = 1;
    ((bits |= decides_alone<std::remove_reference_t<Kept>> ? 0 : bit, bit <<= 1), ...);
    return bits;
  }();

  cases_of<Kept...> cases_;
};

}  // namespace ringo::detail
