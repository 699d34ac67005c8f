// latch: a counter that goes down to zero once, and is waited on to get there.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>

#include <ringo/detail/source.hpp>

namespace ringo {

namespace detail {
class latch_core;
}

/// Routines wait until a counter has come down to zero; then it stays open.
///
///   latch ready(2);
///   go([&]() -> task<> { co_await prepare(); ready.count_down(); });
///   co_await ready.wait();
///
/// What a routine did before count_down() happens before the waits that it ends return. A latch may be destroyed as
/// soon as a wait has returned; waiters that are left end with `cancelled`. Thread: workers, or one thread while no
/// runtime runs.
class latch {
 public:
  /// A counter of n. Throws: std::invalid_argument if n is negative.
  explicit latch(std::size_t n);
  latch(const detail::object_name& name, std::size_t n);
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;
  ~latch();

  /// Throws: std::logic_error if the counter would go below zero; then nothing has changed.
  void count_down(std::size_t n = 1);
  /// Waits until the counter is zero; does not suspend if it is. Throws: cancelled. Cancel safety: waiting changes
  /// nothing.
  detail::gate_operation wait() noexcept;

 private:
  detail::latch_core* core_;
};

}  // namespace ringo
