// hooks: what a tracing library is told of each routine (runtime_options::hooks).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstdint>
#include <source_location>

namespace ringo {

/// A tracing library derives from this, and overrides what it wants to know. It counts or writes, and goes on: each
/// call stands in the worker's way.
///
///   struct spans : ringo::hooks {
///     void started(const routine& r, std::uint32_t) noexcept override { begin_span(r.number, r.where.function_name());
///     } void ended(const routine& r) noexcept override { end_span(r.number); }
///   };
///   spans all;
///   ringo::run(serve, {.hooks = &all});
///
/// A routine is started once; then resumed and, on the same thread, parked, yielded or ended, in turn. What is told of
/// one routine comes in its order, also from several threads, and each call sees what the ones before it have written.
/// Routines that are destroyed because their runtime ends have no ended(). Coroutines of other libraries are not told
/// of.
///
/// A hook must not throw, must not block, and must not call ringo, but for function_of(): `parked` may come while a
/// lock of ringo's is held. Thread: the worker's; calls for different routines may come at the same time.
class hooks {
 public:
  struct routine {
    std::uint32_t number;        ///< As snapshot::routine::number. No two routines that live have the same.
    std::uint32_t worker;        ///< On which this happens, from 0.
    std::source_location where;  ///< parked: where it waits; else: where it was started. No line if that is not known.
  };

  hooks() = default;
  hooks(const hooks&) = delete;
  hooks& operator=(const hooks&) = delete;

  /// `by` is the number of the routine that has started it; 0: no routine has.
  virtual void started(const routine& r, std::uint32_t by) noexcept;
  virtual void resumed(const routine& r) noexcept;
  virtual void parked(const routine& r) noexcept;
  virtual void yielded(const routine& r) noexcept;  ///< It lets others run, and is ready.
  virtual void ended(const routine& r) noexcept;

 protected:
  ~hooks() = default;
};

}  // namespace ringo
