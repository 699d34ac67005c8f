#include <ringo/detail/foreign_threads.hpp>

#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <ringo/errors.hpp>
#include <ringo/go.hpp>

#include "platform/never_destroyed.hpp"
#include "platform/ranked_lock.hpp"
#include "runtime/choices.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

// A thread's request, which a routine carries out while the thread waits.
class request {
 public:
  enum class outcome { waiting, done, failed, runtime_ended };

  void finish(outcome o, std::exception_ptr error = nullptr) {
    const ranked_lock<lock_rank::leaf> guard(
        mutex_);  // notifies under the lock: the request is gone as soon as the thread goes on
    error_ = std::move(error);
    outcome_ = o;
    changed_.notify_one();
  }
  outcome wait() {
    ranked_lock<lock_rank::leaf> guard(mutex_);
    changed_.wait(guard, [this] { return outcome_ != outcome::waiting; });
    return outcome_;
  }
  void rethrow() { std::rethrow_exception(error_); }

  bool is_served = false;  // a routine was started that will answer; only workers read it

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  outcome outcome_ = outcome::waiting;
  std::exception_ptr error_;
};

// A thread's call never throws `cancelled`: only the routine that serves the call is cancelled.
std::exception_ptr runtime_has_ended() {
  return std::make_exception_ptr(std::system_error(code_of(detail::runtime_ended), "ringo"));
}

// Answers the thread even if the routine that serves it is destroyed before its end, or before it begins.
class answer {
 public:
  explicit answer(request& r) noexcept : to_(&r) {}
  answer(answer&& from) noexcept : to_(std::exchange(from.to_, nullptr)) {}
  answer& operator=(answer&&) = delete;
  ~answer() {
    if (to_ && to_->is_served) to_->finish(request::outcome::failed, runtime_has_ended());
  }
  void give(request::outcome o, std::exception_ptr error = nullptr) {
    std::exchange(to_, nullptr)->finish(o, std::move(error));
  }

 private:
  request* to_;
};

task<> serve(answer a, const std::function<task<>()>& operation) {
  std::exception_ptr error;
  try {
    co_await operation();
  } catch (const cancelled&) {
    error = runtime_has_ended();
  } catch (...) {
    error = std::current_exception();
  }
  error ? a.give(request::outcome::failed, error) : a.give(request::outcome::done);
}

// Starts a routine in that runtime which does the operation. runtime_ended: the runtime does not run any more.
request::outcome do_on(std::uint64_t runtime_id, const std::function<task<>()>& operation, request& r,
                       std::source_location where) {
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) {
    if (rt.simulation != nullptr && rt.simulation->in_blocking_call()) {
      throw std::logic_error(
          "ringo: a blocking call waits for a routine of its simulation, which has no thread but the one that it "
          "stops");
    }
    accepted = rt.post([&r, &operation, where](worker* w) {
      if (w == nullptr) return r.finish(request::outcome::runtime_ended);
      try {
        task<> t = serve(answer(r), operation);
        routine& server = *make_routine(std::move(t));
        r.is_served = true;
        start(*w, server, where);
      } catch (const std::bad_alloc&) {
        r.finish(request::outcome::failed, std::current_exception());
      }
    });
  });
  return accepted ? r.wait() : request::outcome::runtime_ended;
}

// The lock for objects that no runtime uses, and the posts for them.
struct unused_objects {
  void tell() noexcept {
    ++generation;
    changed.notify_all();
  }
  // The link that leads to the first deferred post for which f is true; null at the end.
  template <class F>
  deferred_post*& find(F f) noexcept {
    deferred_post** link = &deferred;
    while (*link != nullptr && !f(**link)) link = &(*link)->next_deferred;
    return *link;
  }

  // Recursive: work under it may destroy an object, which needs it again. A listener that is destroyed while no runtime
  // runs gives its connections to another listener, and a stop callback may destroy any object.
  ranked<std::recursive_mutex, lock_rank::unused_objects> mutex;
  std::condition_variable_any changed;
  std::uint64_t generation = 0;  // counts changes
  deferred_post* deferred = nullptr;
};

// Never destroyed: a thread may wait here while the process exits, and a condition variable's destructor waits for its
// waiters.
unused_objects& unused() noexcept {
  static never_destroyed<unused_objects> one;
  return *one;
}

}  // namespace

bool post(std::uint64_t runtime_id, std::function<void(worker*)> what) {
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) { accepted = rt.post(std::move(what)); });
  return accepted;
}

bool post(std::uint64_t runtime_id, posted& what) noexcept {
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) { accepted = rt.post(what); });
  return accepted;
}

bool while_unused(const ownership& of, const std::function<void()>& f) {
  const std::lock_guard guard(unused().mutex);
  const std::uint64_t owner = of.runtime_id();
  if (owner != 0 && runtime_registry::has(owner)) return false;
  f();
  unused().tell();
  return true;
}

void do_where_used(const ownership& of, const std::function<void(worker*)>& f) {
  for (;;) {
    const std::uint64_t owner = of.runtime_id();
    if (owner != 0 && post(owner, f)) return;
    if (while_unused(of, [&f] { f(nullptr); })) return;
  }
}

void deliver_where_used(const ownership& of, posted& what) noexcept {
  for (;;) {
    const std::uint64_t owner = of.runtime_id();
    if (owner != 0 && post(owner, what)) return;
    if (while_unused(of, [&what] { what.deliver(nullptr); })) return;
  }
}

bool deliver_once_used(deferred_post& what) noexcept {
  for (;;) {
    const std::uint64_t owner = what.about.runtime_id();
    if (owner != 0 && post(owner, what)) return true;
    bool ended = false;
    const bool none_uses_it = while_unused(what.about, [&what, &ended] {
      ended = what.about.runtime_id() != 0;
      if (!ended) what.next_deferred = std::exchange(unused().deferred, &what);
    });
    if (none_uses_it) return !ended;
  }
}

bool withdraw(deferred_post& what) noexcept {
  const std::lock_guard guard(unused().mutex);
  deferred_post*& link = unused().find([&what](const deferred_post& each) { return &each == &what; });
  if (link == nullptr) return false;
  link = what.next_deferred;
  return true;
}

void owner_has_changed(worker& w) noexcept {
  wake_foreign_threads();
  for (;;) {
    deferred_post* one;
    {
      const std::lock_guard guard(unused().mutex);
      const auto is_ours = [&w](const deferred_post& each) { return each.about.runtime_id() == w.runtime_id; };
      deferred_post*& link = unused().find(is_ours);
      if (one = link; one == nullptr) return;
      link = one->next_deferred;
    }
    one->deliver(&w);
  }
}

void wake_foreign_threads() noexcept {
  const std::lock_guard guard(unused().mutex);
  unused().tell();
}

void block_until(const ownership* of, const char* call, const std::function<bool(bool)>& attempt,
                 const std::function<task<>()>& operation, std::source_location where) {
  if (current_worker() != nullptr) {
    throw std::logic_error(std::string("ringo: ") + call +
                           " was called on a worker, which it would stop: use co_await there");
  }
  refuse_in_forked_child(call);
  // A call of blocking() uses the object for its own runtime, and ends with that.
  const std::uint64_t callers = runtime_of_blocking_call();
  for (;;) {
    std::unique_lock guard(unused().mutex);
    const std::uint64_t generation = unused().generation;
    const std::uint64_t owner = of != nullptr ? of->runtime_id() : 0;
    guard.unlock();
    if (owner != 0 || callers != 0) {
      request r;
      const auto outcome = do_on(owner != 0 ? owner : callers, operation, r, where);
      if (outcome == request::outcome::done) return;
      if (outcome == request::outcome::failed) r.rethrow();
    }
    guard.lock();
    // Its runtime has ended, or none has used it yet: another runtime passes through this lock before its first use.
    if (of != nullptr && owner == of->runtime_id() && attempt(owner != 0)) return;
    if (callers != 0 && !runtime_registry::has(callers)) std::rethrow_exception(runtime_has_ended());
    unused().changed.wait(guard, [generation] { return unused().generation != generation; });
  }
}

void block_until_ended(routine& r, std::source_location where) {
  if (current_worker() != nullptr) {
    throw std::logic_error(
        "ringo: handle::join_blocking was called on a worker, which it would stop: use co_await handle there");
  }
  if (r.ended.load(std::memory_order_acquire)) return;
  // Shielded: a runtime that ends cancels all routines, but the thread needs this one's result.
  const std::function<task<>()> until_ended = [&r, where]() -> task<> {
    const cancellation_held_back until_told;
    co_await in_name_of(where, finished_operation(&r));
  };
  request done;
  const auto outcome = do_on(r.runtime_id, until_ended, done, where);
  if (outcome == request::outcome::failed && !done.is_served) done.rethrow();  // there was no memory for the routine
  // Else the runtime that ends will end this routine soon.
  while (!r.ended.load(std::memory_order_acquire)) std::this_thread::yield();
}

}  // namespace ringo::detail
