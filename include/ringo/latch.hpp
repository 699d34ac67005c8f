// latch: a counter that goes down to zero once, and is waited on to get there.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <string>

#include <ringo/detail/mortal_source.hpp>
#include <ringo/detail/ownership.hpp>

namespace ringo {

class latch;

namespace detail {

// The awaitable of latch::wait. Throws: cancelled. Cancel safety: waiting changes nothing.
class RINGO_AWAITABLE latch_operation final : public mortal_operation<latch_operation, void> {
 public:
  static constexpr const char* call_name = "wait for a latch";
  explicit latch_operation(latch& of) noexcept : of_(&of) {}

  void enter(const worker* w);
  spin_lock* lock() noexcept;
  mortal_queue& queue() noexcept;
  bool ready(worker&) noexcept;
  void tell(std::string& text) const { text += "a latch"; }

 private:
  latch* of_;
};

}  // namespace detail

// What was done before a count_down happens before the waits return that it lets go on. It may be destroyed as soon as
// a wait has returned; who still waits ends with `cancelled`. Thread: workers, or one thread while no runtime runs.
class latch {
 public:
  explicit latch(std::size_t n);  // throws std::invalid_argument of what was a negative number
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;
  ~latch();

  // Throws std::logic_error if the counter would go below zero, and changes nothing then.
  void count_down(std::size_t n = 1);
  // When the counter is zero; without suspending if it is already. All who wait go on.
  detail::latch_operation wait() noexcept { return detail::latch_operation(*this); }

 private:
  friend class detail::latch_operation;

  detail::spin_lock lock_;
  detail::ownership owner_;
  std::size_t count_;
  detail::mortal_queue waiting_;
};

}  // namespace ringo
