#include <ringo/detail/bridge.hpp>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include <ringo/errors.hpp>

#include "runtime/never_destroyed.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"
#include "testing/simulation.hpp"

namespace ringo::detail {
namespace {

// Where a thread waits for what a routine does for it.
class request {
 public:
  enum class outcome { waiting, done, failed, runtime_ended };

  void finish(outcome o, std::exception_ptr error = nullptr) {
    const std::lock_guard guard(mutex_);  // notifies under it: the request is gone as soon as the thread can go on
    error_ = std::move(error);
    outcome_ = o;
    changed_.notify_one();
  }
  outcome wait() {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [this] { return outcome_ != outcome::waiting; });
    return outcome_;
  }
  void rethrow() { std::rethrow_exception(error_); }

  bool is_served = false;  // a routine has been started that answers; only workers look at it

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  outcome outcome_ = outcome::waiting;
  std::exception_ptr error_;
};

// A thread is no routine, so its calls never throw `cancelled`: that belongs to the routine that served the call.
std::exception_ptr runtime_has_ended() {
  return std::make_exception_ptr(std::system_error(code_of(detail::runtime_ended), "ringo"));
}

// Tells the thread even if the routine that serves it is destroyed before it ends, or before it has begun.
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

// Has a routine of that runtime do the operation. runtime_ended: it does not run any more.
request::outcome do_on(std::uint64_t runtime_id, const std::function<task<>()>& operation, request& r,
                       std::source_location where) {
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) {
    if (rt.sim != nullptr && rt.sim->in_blocking_call()) {
      throw std::logic_error(
          "ringo: a blocking call waits for a routine of its simulation, which has no thread but the one that it "
          "stops");
    }
    accepted = rt.post([&r, &operation, where](worker* w) {
      if (w == nullptr) return r.finish(request::outcome::runtime_ended);
      try {
        task<> t = serve(answer(r), operation);
        routine& server = *make_routine_of(std::move(t));
        r.is_served = true;
        start(*w, server, where);
      } catch (const std::bad_alloc&) {
        r.finish(request::outcome::failed, std::current_exception());
      }
    });
  });
  return accepted ? r.wait() : request::outcome::runtime_ended;
}

struct bridge_state {
  // Recursive: what is done under it may end what has to be done under it, too. A listener that is destroyed where no
  // runtime runs gives its connections to another, and a stop callback may destroy anything.
  std::recursive_mutex mutex;
  std::condition_variable_any changed;
  std::uint64_t generation = 0;
};

// Never destroyed: a thread may wait here while the process exits, and the destructor of a condition variable waits for
// those that do.
bridge_state& bridge() noexcept {
  static never_destroyed<bridge_state> one;
  return *one;
}

}  // namespace

void wake_bridge() noexcept {
  const std::lock_guard guard(bridge().mutex);
  ++bridge().generation;
  bridge().changed.notify_all();
}

void while_bridge_is_locked(const std::function<void()>& what) {
  const std::lock_guard guard(bridge().mutex);
  what();
}

bool while_unused(const ownership& of, const std::function<void()>& what) {
  // Who makes itself the owner passes through wake_bridge() before it uses the object.
  const std::lock_guard guard(bridge().mutex);
  const std::uint64_t owner = of.runtime_id();
  if (owner != 0 && runtime_registry::has(owner)) return false;
  what();
  ++bridge().generation;
  bridge().changed.notify_all();
  return true;
}

void do_where_used(const ownership& of, const std::function<void(worker*)>& what) {
  for (;;) {
    const std::uint64_t owner = of.runtime_id();
    if (owner != 0 && post(owner, what)) return;
    if (while_unused(of, [&what] { what(nullptr); })) return;
  }
}

void deliver_where_used(const ownership& of, posted& what) noexcept {
  for (;;) {
    const std::uint64_t owner = of.runtime_id();
    if (owner != 0 && post(owner, what)) return;
    if (while_unused(of, [&what] { what.deliver(nullptr); })) return;
  }
}

void block_until(channel_core* core, const char* call, const std::function<progress(bool, routine*&)>& attempt,
                 const std::function<task<>()>& operation, std::source_location where) {
  if (current_worker() != nullptr) {
    throw std::logic_error(std::string("ringo: ") + call +
                           " was called on a worker, which it would stop: use co_await there");
  }
  refuse_in_forked_child(call);
  // A call of blocking() uses the channel for its runtime, and ends with it.
  const std::uint64_t callers = runtime_of_blocking_call();
  for (;;) {
    std::unique_lock guard(bridge().mutex);
    const std::uint64_t generation = bridge().generation;
    const std::uint64_t owner = core ? core->owner.runtime_id() : 0;
    guard.unlock();
    if (owner != 0 || callers != 0) {
      request r;
      const auto outcome = do_on(owner != 0 ? owner : callers, operation, r, where);
      if (outcome == request::outcome::done) return;
      if (outcome == request::outcome::failed) r.rethrow();
    }
    guard.lock();
    if (core && owner == core->owner.runtime_id() && (owner != 0 || core->closed())) {
      // Its runtime has ended, or it is closed before any uses it. Another one would have to come by here, through
      // ownership::change, before it touches the channel.
      routine* woken = nullptr;
      switch (attempt(false, woken)) {
        case progress::done:
          return;
        case progress::closed:
          if (call == std::string_view("send_blocking")) throw_send_on_closed();
          return;
        case progress::failed:
          std::rethrow_exception(core->error);
        default:
          break;
      }
    }
    if (callers != 0 && !runtime_registry::has(callers)) std::rethrow_exception(runtime_has_ended());
    bridge().changed.wait(guard, [generation] { return bridge().generation != generation; });
  }
}

void block_until_ended(routine& r, std::source_location where) {
  if (current_worker() != nullptr) {
    throw std::logic_error(
        "ringo: handle::wait was called on a worker, which it would stop: use co_await handle there");
  }
  if (r.ended.load(std::memory_order_acquire)) return;
  // Shielded: a runtime that ends cancels all routines, and the thread is to hear what this one came to.
  const std::function<task<>()> until_ended = [&r, where]() -> task<> {
    const cancellation_held_back until_told;
    co_await in_name_of(where, finished_operation(&r));
  };
  request done;
  const auto outcome = do_on(r.runtime_id, until_ended, done, where);
  if (outcome == request::outcome::failed && !done.is_served) done.rethrow();  // there was no memory for it
  // Else a runtime that ends is about to end this routine if it has not yet.
  while (!r.ended.load(std::memory_order_acquire)) std::this_thread::yield();
}

void cancel(routine& r) {
  if (r.ended.load(std::memory_order_acquire)) return;
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == r.runtime_id) {
    if (cancel_under_lock(r, w->shared)) w->push(r);
    return;
  }
  r.count.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t id = r.runtime_id;
  bool accepted = false;
  runtime_registry::with(id, [&](runtime_core& rt) {
    accepted = rt.post([&r](worker* there) {
      if (there != nullptr && cancel_under_lock(r, there->shared)) there->push(r);
      r.release();
    });
  });
  if (!accepted) r.release();
}

// A routine makes its joiners ready in the run queue of its own worker, so none may be another runtime's. When the
// runtime has ended, all its routines have too, and `ended` does not change any more: then there is no wait. One that
// has no runtime yet is a task that is a case of a select, and will be started by this worker.
void enter_from_elsewhere(const routine& of, const worker& w, const char* call) {
  if (of.runtime_id == 0) return;
  if (!runtime_registry::has(of.runtime_id) && of.ended.load(std::memory_order_acquire)) return;
  std::string text = std::string("ringo: ") + call + ", in runtime " + std::to_string(w.runtime_id) +
                     " of this process, of a routine that belongs to runtime " + std::to_string(of.runtime_id);
  if (of.started.line() != 0) tell_start(text += ", ", of);
  throw std::logic_error(text +
                         ": a routine is awaited in its own runtime. Elsewhere call handle::wait in blocking(), or "
                         "have the routine set a completion, or post to a channel, that is awaited there");
}

void tell_start(std::string& text, const routine& of) {
  text += "started at ";
  if (of.started.line() == 0) {
    text += "an unknown place";
  } else {
    text += of.started.file_name();
    text += ':';
    text += std::to_string(of.started.line());
  }
}

void tell_join(std::string& text, const routine& of) {
  text += "the end of the routine ";
  tell_start(text, of);
}

// ---- the end of a record

// Out of the callers' sight: who sees a body guesses that it is the one meant, and compares first.
std::coroutine_handle<> routine::begin() noexcept { return nullptr; }
void routine::close() noexcept {}
void routine::at_end(worker&) noexcept {}

void end_unbegun(worker* w, routine& r) noexcept {
  const bool shared = w != nullptr && w->shared;
  r.close();
  r.fail(std::make_exception_ptr(cancelled()));
  routine_list woken;
  {
    const optional_guard guard(r.joining, shared);
    r.ended.store(true, std::memory_order_release);  // pairs with handle::done()
    r.joiners.claim_all(shared, woken);
  }
  while (routine* joiner = woken.pop_front()) make_ready_or_drop(w, *joiner);
  r.release();
}

void routine::report_and_delete() noexcept {
  const std::exception_ptr error = untaken_error();
  const std::source_location at = started;
  const std::uint64_t of = runtime_id;
  delete this;
  if (error) tell_unhandled(of, error, at);
}

void tell_unhandled(std::uint64_t runtime_id, std::exception_ptr error, const std::source_location& started) noexcept {
  decltype(options::on_unhandled) handler;  // copied, so that it runs without the registry's lock
  runtime_registry::with(runtime_id, [&](runtime_core& rt) { handler = rt.settings.on_unhandled; });
  if (!handler) return report_unhandled(error, started);
  try {
    handler(error, started);
  } catch (...) {
    refuse_throwing_hook("on_unhandled");
  }
}

}  // namespace ringo::detail
