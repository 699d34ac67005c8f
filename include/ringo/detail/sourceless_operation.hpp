// Operations that wait for no source.
#pragma once
#include <ringo/detail/operation.hpp>

namespace ringo::detail {

// Ready at once, and without an effect. A Derived that is not always ready replaces what differs.
template <class Derived, class Result>
class sourceless_operation : public operation<Derived, Result, wait_case> {
 public:
  void enter(worker*) noexcept {}
  spin_lock* lock() noexcept { return nullptr; }
  bool ready(worker&) noexcept { return true; }
  bool commit(worker&, bool, routine*&) noexcept {
    this->set_state(progress::done);
    return true;
  }
  void link(worker&, routine&) noexcept {}
  bool unlink() noexcept { return false; }
  void dispose() noexcept {}
  Result take() noexcept {
    this->set_state(progress::idle);
    return Result();
  }

 protected:
  sourceless_operation() noexcept {}
  sourceless_operation(const sourceless_operation&) = default;
  sourceless_operation& operator=(const sourceless_operation&) = default;
  RINGO_ALWAYS_INLINE ~sourceless_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
  }
};

}  // namespace ringo::detail
