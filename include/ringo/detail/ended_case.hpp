// A case of two operations: a combinator with a limit, as a case of a select.
#pragma once
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/wait_for_many.hpp>

namespace ringo::detail {

// An operation and its End, which wins if both are ready. Both are linked into their sources, so the one that loses has
// had no effect. End provides operation() and [[noreturn]] raise().
template <class Kept, class End>
class ended_case {
  using operation_type = std::remove_reference_t<Kept>;

 public:
  using result_type = result_of<operation_type>;
  using case_tag = void;

  template <class O>
  ended_case(O&& operation, End&& end) : operation_(std::forward<O>(operation)), end_(std::move(end)) {}

  void enter(worker* w) {
    operation_.enter(w);
    end().enter(w);
  }
  std::size_t places() { return places_of(operation_) + 1; }
  void add_locks(lock_set& locks) noexcept {
    add_locks_of(operation_, locks);
    add_locks_of(end(), locks);
  }
  bool ready(worker& w) { return end().ready(w) || operation_.ready(w); }
  bool commit(worker& w, bool shared, routine*& woken) {
    return end().ready(w) ? end().commit(w, shared, woken) : operation_.commit(w, shared, woken);
  }
  void link(worker& w, routine& r) {
    operation_.link(w, r);
    end().link(w, r);
  }
  void check_source() {
    check_source_of(operation_);
    check_source_of(end());
  }
  bool unlink() noexcept {
    operation_.unlink();
    end().unlink();
    return false;
  }
  void leave() noexcept {
    operation_.leave();
    end().leave();
  }
  void discard() noexcept {
    won(end().current_state()) ? end().discard() : end().leave();
    won(operation_.current_state()) ? operation_.discard() : operation_.leave();
  }
  progress current_state() noexcept {
    return won(end().current_state()) ? end().current_state() : operation_.current_state();
  }
  // The loser leaves its source first: it must be in no queue when its routine goes on.
  result_type take() {
    if (won(end().current_state())) {
      operation_.leave();
      end().take();
      end_.raise();
    }
    end().leave();
    return operation_.take();
  }
  void append_to(wait_report& text) const {
    operation_.append_to(text);
    text.next_case(" or ");
    end_.operation().append_to(text);
  }

 private:
  auto& end() noexcept { return end_.operation(); }

  Kept operation_;
  End end_;
};

// An operation whose loss in a select is all that its cancellation is: it may be awaited with an End in one wait.
template <class Kept>
concept loses_as_cancelled = requires { std::remove_cvref_t<Kept>::loses_as_cancelled; };

// An ended_case alone: a wait for the first of the two, without a coroutine or a context.
template <class Kept, class End>
class RINGO_AWAITABLE ended_operation final : public wait_for_some<ended_operation<Kept, End>> {
  using base = wait_for_some<ended_operation>;
  using base::chosen_;
  using base::none;

 public:
  using result_type = typename ended_case<Kept, End>::result_type;

  template <class O>
  ended_operation(O&& operation, End&& end) : case_(std::forward<O>(operation), std::move(end)) {}
  ended_operation(const ended_operation&) = delete;
  ended_operation& operator=(const ended_operation&) = delete;
  ~ended_operation() { this->abandon(); }

  result_type await_resume() {
    this->come_back();
    chosen_ = none;
    return case_.take();
  }

  static const wait_shape& shape() noexcept {
    static constexpr wait_shape of_this{
        [](wait_for_many& it, room_for_cases&) { return case_range(&static_cast<ended_operation&>(it).case_, 1); },
        [](const parked_operation& it, wait_report& text) {
          static_cast<const ended_operation&>(it).case_.append_to(text);
        },
        true,
        false,
        false,
        false};
    return of_this;
  }
  void link_all(worker& w, routine& r) { case_.link(w, r); }
  void note_winner() noexcept { won(case_.current_state()) ? void(chosen_ = 0) : case_.leave(); }

 private:
  ended_case<Kept, End> case_;
};

}  // namespace ringo::detail
