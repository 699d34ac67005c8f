// Foreign threads: threads that are not workers. They do not touch a runtime's objects; a worker acts for them.
//
// If no runtime uses an object, because none has used it yet or because its runtime has ended, the foreign thread
// touches it itself, under one lock of the process. A runtime passes through that lock before its first use of an
// object (owner_has_changed), so it waits until the thread has finished.
#pragma once
#include <cstdint>
#include <source_location>

#include <ringo/detail/library.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/posted.hpp>

namespace ringo {

template <class T>
class task;

namespace detail {

// If no runtime uses the object, calls f at once, and keeps all runtimes away until f returns. Else returns false.
bool while_unused(const ownership& of, const std::function<void()>& f);

// Calls f on a worker of the runtime that uses the object, soon; if no runtime does, calls f at once, with null.
// Thread: any, except such a worker.
void do_where_used(const ownership& of, const std::function<void(worker*)>& f);
void deliver_where_used(const ownership& of, posted& what) noexcept;

// A post for an object that perhaps no runtime has used yet.
struct deferred_post : posted {
  explicit deferred_post(const ownership& of) noexcept : about(of) {}

  const ownership& about;
  deferred_post* next_deferred = nullptr;

 protected:
  ~deferred_post() = default;
};

// Delivers it on a worker of the runtime that uses the object, or of the first one that will. False: that runtime has
// ended.
bool deliver_once_used(deferred_post& what) noexcept;
// Withdraws a delivery that waits for a first runtime. False if there is none.
bool withdraw(deferred_post& what) noexcept;

// Called when the worker's runtime begins to use an object: delivers the posts, and wakes the threads, that waited for
// it.
void owner_has_changed(worker& w) noexcept;
// Called when a runtime has ended: the waiting threads check for their runtime again.
void wake_foreign_threads() noexcept;

// Starts a routine that does the operation, in the runtime that uses the object, and waits for the routine. If that
// runtime has ended, or (used: false) if no runtime has used the object, it calls `attempt` instead, under the lock of
// while_unused(), until attempt returns true. A call of blocking() uses the object for its own runtime. A null `of`
// stands for an object without events. Throws: std::logic_error on a worker; std::system_error if the runtime ends
// first; what the operation throws.
void block_until(const ownership* of, const char* call, const std::function<bool(bool used)>& attempt,
                 const std::function<task<void>()>& operation, std::source_location where);

// Waits until the routine has ended. Throws std::logic_error on a worker.
void block_until_ended(routine& r, std::source_location where);

}  // namespace detail
}  // namespace ringo
