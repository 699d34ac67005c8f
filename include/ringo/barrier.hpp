// barrier: n routines wait for each other, again and again.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <string>

#include <ringo/detail/mortal_source.hpp>
#include <ringo/detail/ownership.hpp>

namespace ringo {

class barrier;

namespace detail {

// The awaitable of barrier::arrive_and_wait. Throws: cancelled. Cancel safety: an arrival that loses is taken back.
class RINGO_AWAITABLE barrier_operation final : public mortal_operation<barrier_operation, void> {
 public:
  static constexpr const char* call_name = "arrive at a barrier";
  explicit barrier_operation(barrier& at) noexcept : at_(&at) {}

  void enter(const worker* w);
  spin_lock* lock() noexcept;
  mortal_queue& queue() noexcept;
  bool ready(worker& w) noexcept;
  bool commit(worker& w, bool shared, routine*&) noexcept;
  void link(worker& w, routine& r) noexcept;
  bool unlink() noexcept;
  void tell(std::string& text) const;

 private:
  barrier* at_;
};

}  // namespace detail

// What each did before it arrived happens before all go on. It may be destroyed as soon as nobody is to arrive any
// more; who still waits ends with `cancelled`. Thread: workers, or one thread while no runtime runs.
class barrier {
 public:
  explicit barrier(std::size_t n);  // throws std::invalid_argument of zero, and of what was a negative number
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;
  ~barrier();

  // When n have arrived since all last went on: the n-th does not suspend, and lets the others go on, who then may
  // arrive anew.
  detail::barrier_operation arrive_and_wait() noexcept { return detail::barrier_operation(*this); }

 private:
  friend class detail::barrier_operation;
  bool everybody_else_waits() const noexcept;
  bool hold_everybody_else() noexcept;
  bool release_everybody(bool shared, detail::routine_list& woken) noexcept;

  detail::spin_lock lock_;
  detail::ownership owner_;
  const std::size_t number_;
  std::size_t queued_ = 0;  // those who wait, and those who have lost or been cancelled there and have yet to run
  detail::mortal_queue waiting_;
};

}  // namespace ringo
