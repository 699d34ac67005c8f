// go: starts routines (Go spec: Go statements). handle: joins, cancels or detaches them.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <source_location>
#include <stdexcept>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/join.hpp>
#include <ringo/detail/mistakes.hpp>
#include <ringo/detail/overloads.hpp>
#include <ringo/detail/started.hpp>

namespace ringo {

namespace detail {

// The awaitables of a handle. Cancel safety: a join that loses or is cancelled leaves the result with its handle.
template <class Derived, class Result>
class ending_operation : public queued_operation<Derived, Result> {
 public:
  explicit ending_operation(routine* r, std::source_location at = {}) noexcept : of_(r) { this->where = at; }

  void enter(worker* w) {
    if (!of_) throw_empty_handle(Derived::call_name);
    if (of_->runtime_id != static_cast<std::uint32_t>(w->runtime_id)) [[unlikely]]
      enter_from_elsewhere(*of_, *w, Derived::call_name);
  }
  spin_lock* lock() noexcept { return &of_->joining; }
  wait_queue& queue() noexcept { return of_->joiners; }
  bool ready(worker&) noexcept { return of_->ended.load(std::memory_order_acquire); }
  void tell(std::string& text) const { tell_join(text, *of_); }

 protected:
  routine* of_;
};

template <class T>
class RINGO_AWAITABLE join_operation : public ending_operation<join_operation<T>, T> {
 public:
  static constexpr const char* call_name = "join";
  using ending_operation<join_operation, T>::ending_operation;
  T take() {
    this->stand(progress::idle);
    auto& r = static_cast<record<T>&>(*this->of_);
    if (r.taken) throw_joined_twice();
    r.taken = true;
    return r.outcome.take();
  }
};

class RINGO_AWAITABLE finished_operation : public ending_operation<finished_operation, void> {
 public:
  static constexpr const char* call_name = "wait for the end of a routine";
  using ending_operation::ending_operation;
};

class RINGO_AWAITABLE yield_operation : public operation<yield_operation, void, lone_case> {
 public:
  static constexpr const char* call_name = "yield";
  yield_operation() noexcept {}
  yield_operation(const yield_operation&) = default;
  yield_operation& operator=(const yield_operation&) = default;
  ~yield_operation() {
    if (standing() != progress::idle) [[unlikely]]
      abandon(*who);
  }
  // Alone it is done when it goes to the end of the queue; of that only a coroutine of a foreign type, which may be
  // destroyed there, takes note.
  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker(call_name);
    if (!w.spend() || w.shared) [[unlikely]]
      look_for_cancellation(w);
    return false;
  }
  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    return end_turn(*current_worker(), coroutine, [this](routine& r) {
      if (r.resumed_as != routine::kind::foreign) [[likely]]
        return;
      who = &r;
      if (standing() == progress::idle) stand(progress::done);
    });
  }
  void await_resume() {
    if (standing() != progress::idle) [[unlikely]]
      come_back();
  }

  void enter(worker*) noexcept {}
  spin_lock* lock() noexcept { return nullptr; }
  bool ready(worker&) noexcept { return true; }
  bool commit(worker&, bool, routine*&) noexcept {
    stand(progress::done);
    return true;
  }
  void link(worker&, routine&) noexcept {}
  bool unlink() noexcept { return false; }
  void dispose() noexcept {}
  void tell(std::string& text) const { text += call_name; }
  void take() noexcept { stand(progress::idle); }

 private:
  [[gnu::noinline]] void look_for_cancellation(worker& w) {
    if (!w.current->is_cancelled()) return;
    who = w.current;
    (void)refuse(w);
  }
  [[gnu::cold, gnu::noinline]] void come_back() {
    if (standing() == progress::refused) come_back_cancelled();
    stand(progress::idle);
  }
};

}  // namespace detail

namespace detail {
struct handle_access;
}

// Of a started routine; move-only. Dropping it detaches the routine: it goes on, and what it throws then is unhandled
// (options::on_unhandled).
template <class T>
class handle {
 public:
  using result_type = T;
  handle() noexcept = default;
  handle(handle&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  handle& operator=(handle&& other) noexcept {
    handle(std::move(other)).swap(*this);
    return *this;
  }
  ~handle() {
    if (of_) of_->release();
  }
  void swap(handle& other) noexcept { std::swap(of_, other.of_); }

  // The routine's result, or what it threw, when it has ended. Once: a second join throws std::logic_error. So does a
  // join, or finished(), in another runtime than the routine's, while that one runs: call wait() in blocking() there.
  // Throws cancelled.
  detail::join_operation<T> join(std::source_location where = {}) const {
    return detail::join_operation<T>(of_, where);
  }
  auto operator co_await() const { return join(); }  // as join()
  // When it has ended, however; takes nothing.
  detail::finished_operation finished() const { return detail::finished_operation(of_); }
  // Join from a thread that is no worker: blocks it until the routine has ended. Throws what the routine has thrown,
  // `cancelled` included.
  T wait(std::source_location where = std::source_location::current()) {
    if (!of_) detail::throw_empty_handle("wait");
    detail::block_until_ended(*of_, where);
    return detail::join_operation<T>(of_).take();
  }
  // Every await of the routine from now on ends with `cancelled`, the one that it waits in included. Returns at once;
  // any thread, and from one that is no worker of the routine's runtime it has happened soon after. What the routine
  // has started itself is not cancelled by it.
  void cancel() const {
    if (of_) detail::cancel(*of_);
  }
  bool done() const noexcept { return of_ && of_->ended.load(std::memory_order_acquire); }  // any thread

 private:
  explicit handle(detail::record<T>* r) noexcept : of_(r) {}
  friend struct detail::handle_access;

  detail::record<T>* of_ = nullptr;
};

namespace detail {

struct handle_access {
  template <class T>
  static handle<T> make(record<T>* r) noexcept {
    r->count.store(2, std::memory_order_relaxed);  // the handle's and the running routine's; nobody else knows it yet
    return handle<T>(r);
  }
};

// g++ 12 would destroy the closure in co_await go([s] { … }) twice; a handle that was made from one may not be awaited
// in the same expression.
template <class T>
class handle_of_closure : public handle<T> {
 public:
  handle_of_closure(handle<T>&& h) noexcept : handle<T>(std::move(h)) {}
  detail::join_operation<T> join(std::source_location where = {}) const& { return handle<T>::join(where); }
  template <class U = T>
  detail::join_operation<T> join(std::source_location = {}) && {
    static_assert(!std::is_same_v<U, T>,
                  "g++ 12 destroys the captures of a lambda written inside a co_await expression twice: name the "
                  "lambda, or the handle, "
                  "first: auto h = go(...); co_await h;");
    return handle<T>::join();
  }
};

template <class T, class... F>
using handle_for =
    std::conditional_t<RINGO_DESTROYS_AGGREGATES_TWICE && (risky_closure<F> || ...), handle_of_closure<T>, handle<T>>;

template <class F, class... A>
handle<started<F, A...>> start_here(std::source_location where, F&& f, A&&... args) {
  worker& w = require_worker("go");
  auto* r = make_routine(std::forward<F>(f), std::forward<A>(args)...);
  handle<started<F, A...>> h = handle_access::make(r);
  start(w, *r, where);
  return h;
}

}  // namespace detail

// Starts a routine that runs f(args...): f and the arguments are copied or moved into it, and live as long as it runs.
// f may return a task, an operation or a plain value. What it throws reaches join(). The new routine runs when the
// caller next waits, or on another worker. Throws std::bad_alloc, what copying throws, and std::logic_error on a thread
// that is no worker (there: runtime::go).
template <class T>
handle<T> go(task<T>&& t, std::source_location where = std::source_location::current()) {
  detail::worker& w = detail::require_worker("go");
  detail::record<T>* r = detail::make_routine_of(std::move(t));
  handle<T> h = detail::handle_access::make(r);
  detail::start(w, *r, where);
  return h;
}
#define RINGO_OVERLOAD(N)                                                                     \
  template <RINGO_CLASSES_##N>                                                                \
  requires detail::startable<RINGO_TYPES_##N>                                                 \
  auto go(RINGO_PARAMETERS_##N, std::source_location where = std::source_location::current()) \
      -> detail::handle_for<detail::started<RINGO_TYPES_##N>, RINGO_TYPES_##N> {              \
    return detail::start_here(where, RINGO_FORWARDED_##N);                                    \
  }
RINGO_OVERLOADS(RINGO_OVERLOAD)
#undef RINGO_OVERLOAD
template <RINGO_CLASSES_6, class A7, class... More>
requires detail::startable<RINGO_TYPES_6, A7, More...>
auto go(RINGO_PARAMETERS_6, A7&& a7, More&&... more)
    -> detail::handle_for<detail::started<RINGO_TYPES_6, A7, More...>, RINGO_TYPES_6, A7, More...> {
  return detail::start_here({}, RINGO_FORWARDED_6, std::forward<A7>(a7), std::forward<More>(more)...);
}

// Lets the others run: the caller goes to the end of the queue. Throws cancelled.
inline detail::yield_operation yield() noexcept { return {}; }

}  // namespace ringo
