// Threads that are no workers. They do not touch the objects of a runtime: a worker does what they ask for.
//
// An object that no runtime uses, because none has used it yet or because its runtime has ended, is touched by the
// foreign thread itself, under one lock of the process. A runtime passes through that lock before it uses an object for
// the first time (owner_has_changed), so that it waits until the thread is done.
#pragma once
#include <cstdint>
#include <functional>
#include <source_location>

#include <ringo/detail/ownership.hpp>
#include <ringo/detail/posted.hpp>

namespace ringo {

template <class T>
class task;

namespace detail {

// Calls f here and now if no runtime uses the object, and keeps every runtime from beginning to until f returns. Else
// returns false.
bool while_unused(const ownership& of, const std::function<void()>& f);

// Calls f on a worker of the runtime that uses the object, soon; where no runtime does, here and now, with null. Any
// thread that is no such worker.
void do_where_used(const ownership& of, const std::function<void(worker*)>& f);
void deliver_where_used(const ownership& of, posted& what) noexcept;

// A post about an object that perhaps no runtime has used yet.
struct deferred_post : posted {
  explicit deferred_post(const ownership& of) noexcept : about(of) {}

  const ownership& about;
  deferred_post* next_deferred = nullptr;

 protected:
  ~deferred_post() = default;
};

// Delivers it on a worker of the runtime that uses the object, or of the first that will. False: that has ended.
bool deliver_once_used(deferred_post& what) noexcept;
// False if no delivery is waiting for a first runtime. Else there will be none.
bool withdraw(deferred_post& what) noexcept;

// The worker's runtime has begun to use an object: delivers what waited for that, and wakes the threads that did.
void owner_has_changed(worker& w) noexcept;
// A runtime has ended: the threads that wait look for it again.
void wake_foreign_threads() noexcept;

// Has a routine of the runtime that uses the object do the operation, and waits for the routine. Where that runtime has
// ended, and also (used: false) where no runtime has used the object, it calls `attempt` instead, under the lock of
// while_unused(), until attempt returns true. A call of blocking() uses the object for its own runtime. Null for `of`:
// an object that nothing ever happens to.
// Throws std::logic_error on a worker; std::system_error if the runtime ends first; what the operation throws.
void block_until(const ownership* of, const char* call, const std::function<bool(bool used)>& attempt,
                 const std::function<task<void>()>& operation, std::source_location where);

// Waits until the routine has ended. Throws std::logic_error on a worker.
void block_until_ended(routine& r, std::source_location where);

}  // namespace detail
}  // namespace ringo
