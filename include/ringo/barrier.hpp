// barrier: n routines wait for each other, again and again.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <string>

#include <ringo/detail/source.hpp>

namespace ringo {

namespace detail {

class barrier_core;

// The operation of barrier::arrive_and_wait(). Throws: cancelled. Cancel safety: an arrival that loses is taken back.
class RINGO_AWAITABLE barrier_operation final : public source_operation<barrier_operation, void> {
 public:
  static constexpr const char* call_name = "arrive at a barrier";
  explicit barrier_operation(barrier_core& at) noexcept;

  bool ready(worker& w) noexcept;
  bool commit(worker& w, bool shared, routine*&) noexcept;
  void append_to(wait_report& text) const;
};

}  // namespace detail

/// n routines wait for each other, again and again.
///
///   barrier round(4);
///   for (int i = 0; i < 4; ++i) go([&]() -> task<> { for (;;) { work(); co_await round.arrive_and_wait(); } });
///
/// What a routine did before it arrived happens before all go on. A barrier may be destroyed as soon as no routine will
/// arrive any more; waiters that are left end with `cancelled`. Thread: workers, or one thread while no runtime runs.
class barrier {
 public:
  /// Throws: std::invalid_argument if n is zero or negative.
  explicit barrier(std::size_t n);
  barrier(const detail::object_name& name, std::size_t n);
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;
  ~barrier();

  /// Waits until n routines have arrived since all last went on. The n-th does not suspend, and lets the others go on;
  /// then they may arrive anew. Throws: cancelled. Cancel safety: an arrival that loses is taken back.
  detail::barrier_operation arrive_and_wait() noexcept { return detail::barrier_operation(*core_); }

 private:
  detail::barrier_core* core_;
};

}  // namespace ringo
