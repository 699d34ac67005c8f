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

}  // namespace ringo::detail
