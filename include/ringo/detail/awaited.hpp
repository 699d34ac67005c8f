// What is made of awaitables: how a combinator keeps what it is given, what that is as a case of a select, and tasks
// that are made only when they are awaited.
#pragma once
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>
#include <variant>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/started.hpp>
#include <ringo/detail/task_promise.hpp>

namespace ringo::detail {

template <class A>
concept has_result = requires { typename std::remove_cvref_t<A>::result_type; };
template <class A>
concept awaited_later = has_result<A> && awaitable<A> && !is_named_task<A>;
template <class A>
using result_of = std::decay_t<typename std::remove_cvref_t<A>::result_type>;
template <class R>
using or_monostate = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

// What an argument is kept as for later: values are moved in, the rest is referred to.
template <class A>
using stored = std::conditional_t<std::is_lvalue_reference_v<A> || !std::move_constructible<std::remove_reference_t<A>>,
                                  std::remove_reference_t<A>&, std::remove_reference_t<A>>;

template <class A>
stored<A>&& as_stored(std::remove_reference_t<A>& awaited) noexcept {
  return static_cast<stored<A>&&>(awaited);
}
// What becomes of something stored where the one that stores it is awaited by name: a task is given away.
template <class A>
using stored_by_name = std::conditional_t<is_task<stored<A>>, stored<A>, stored<A>&>;

// What a case's argument is kept as: an operation that can be moved in is, others are referred to; a handle stands for
// its join, and what awaits an operation in a way of its own for what it says itself.
template <class C>
RINGO_RETURNS_TASK decltype(auto) keep(C&& c) {
  if constexpr (requires { std::forward<C>(c).as_case(); }) {
    return std::forward<C>(c).as_case();
  } else if constexpr (requires { std::forward<C>(c).join(std::source_location()); }) {
    return std::forward<C>(c).join(std::source_location());
  } else if constexpr (std::is_lvalue_reference_v<C> || !std::move_constructible<std::remove_reference_t<C>>) {
    return static_cast<std::remove_reference_t<C>&>(c);
  } else {
    return std::forward<C>(c);
  }
}
template <class C>
struct kept {
  using type = stored<C>;
};
template <class C>
requires(
    !requires(C&& c) { std::forward<C>(c).as_case(); } &&
    requires(C&& c) { std::forward<C>(c).join(std::source_location()); })
struct kept<C> {
  using type = decltype(std::declval<C>().join(std::source_location()));
};
template <class C>
requires requires(C&& c) { std::forward<C>(c).as_case(); }
struct kept<C> {
  using type = decltype(std::declval<C>().as_case());
};
template <class C>
using kept_case = typename kept<C>::type;

template <class C>
concept case_like = case_operation<std::remove_cvref_t<kept_case<C>>>;

// Base of what is awaited as a task that is made then, once: in the caller's name, and by name too. Derived provides
//   task<R> make(std::source_location)   which is where it is awaited
//   bool ends_at_once(worker&), R take()  may be missing. The first looks whether no task is needed, and counts as an
//                                         await if so; then the second returns the result
//   auto in_place()                       may be missing. An operation with the result R, which a routine awaits, and
//                                         no task
struct deferred_base {};
template <class Derived, class R>
class deferred : public deferred_base {
 public:
  using result_type = R;
  using no_closure = void;  // a call returns it (closure_guard.hpp)

  RINGO_RETURNS_TASK task<R> begin(std::source_location where) {
    if (std::exchange(begun_, true)) return task_access::none<R>();  // which throws when it is awaited
    return static_cast<Derived&>(*this).make(where);
  }
  auto operator co_await() { return begin({}).operator co_await(); }  // in a coroutine of a foreign type
  // The first look, also of what wraps it. True: it has been awaited, and take() has the result.
  template <class D = Derived>
  RINGO_ALWAYS_INLINE bool ends_at_first_look(worker& w) requires requires(D& d) { d.ends_at_once(w); }
  {
    if (begun_ || !static_cast<D&>(*this).ends_at_once(w)) return false;
    return begun_ = true;
  }
  // Whether it may be awaited in place: once, as begin() makes one task. If not, begin() has the task that throws.
  bool begins_in_place() noexcept { return !std::exchange(begun_, true); }

 private:
  bool begun_ = false;
};

// Awaits what ends at once without a coroutine of its own, and makes the task otherwise.
template <class Deferred>
class first_look {
  using awaiter = decltype(await_in_place(std::declval<Deferred&>().begin({}), std::source_location()));

 public:
  first_look(Deferred& of, std::source_location where) noexcept : of_(of), where_(where) {}
  first_look(const first_look&) = delete;
  first_look& operator=(const first_look&) = delete;
  ~first_look() {
    if (has_task_) task_.~awaiter();
  }

  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker("co_await");
    // With one worker the budget tells of a cancellation.
    if (!(w.shared && w.current->is_cancelled()) && of_.ends_at_first_look(w)) [[likely]]
      return true;
    make_task();
    return false;
  }
  auto await_suspend(std::coroutine_handle<> awaiting) { return task_.await_suspend(awaiting); }
  RINGO_ALWAYS_INLINE typename Deferred::result_type await_resume() {
    if (has_task_) [[unlikely]]
      return task_.await_resume();
    return of_.take();
  }

 private:
  [[gnu::noinline]] void make_task() {
    ::new (static_cast<void*>(&task_)) awaiter(await_in_place(of_.begin(where_), where_));
    has_task_ = true;
  }

  Deferred& of_;
  const std::source_location where_;
  union {
    awaiter task_;
  };
  bool has_task_ = false;
};
// The same for one that an operation can stand for. Only if it has been awaited before is there a task, which throws.
template <class Deferred>
class look_in_place {
  using awaiter = decltype(await_in_place(std::declval<Deferred&>().begin({}), std::source_location()));
  using operation_type = decltype(std::declval<Deferred&>().in_place());

 public:
  look_in_place(Deferred& of, std::source_location where) noexcept : of_(of), where_(where) {}
  look_in_place(const look_in_place&) = delete;
  look_in_place& operator=(const look_in_place&) = delete;
  ~look_in_place() {
    if (made_ == made::operation) operation_.~operation_type();
    if (made_ == made::task) task_.~awaiter();
  }

  RINGO_ALWAYS_INLINE bool await_ready() {
    if constexpr (requires(worker& w) { of_.ends_at_once(w); }) {
      worker& w = require_worker("co_await");
      if (!(w.shared && w.current->is_cancelled()) && of_.ends_at_first_look(w)) [[likely]]
        return true;
    }
    return make();
  }
  template <class P>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<P> awaiting) {
    return made_ == made::operation ? operation_.await_suspend(awaiting) : task_.await_suspend(awaiting);
  }
  RINGO_ALWAYS_INLINE typename Deferred::result_type await_resume() {
    if constexpr (requires { of_.take(); }) {
      if (made_ == made::nothing) [[likely]]
        return of_.take();
    }
    return made_ == made::operation ? operation_.await_resume() : task_.await_resume();
  }

 private:
  enum class made : std::uint8_t { nothing, operation, task };

  [[gnu::noinline]] bool make() {
    if (!of_.begins_in_place()) {
      ::new (static_cast<void*>(&task_)) awaiter(await_in_place(of_.begin(where_), where_));
      made_ = made::task;
      return false;
    }
    ::new (static_cast<void*>(&operation_)) operation_type(of_.in_place());
    made_ = made::operation;
    std::construct_at(&operation_.where, where_);
    return operation_.await_ready();
  }

  Deferred& of_;
  const std::source_location where_;
  union {
    operation_type operation_;
    awaiter task_;
  };
  made made_ = made::nothing;
};
// Its awaiter in a routine (operation.hpp).
template <std::derived_from<deferred_base> D>
RINGO_RETURNS_TASK auto await_deferred(D& awaited, std::source_location where) {
  if constexpr (requires { awaited.in_place(); }) {
    return look_in_place<D>(awaited, where);
  } else if constexpr (requires(worker& w) { awaited.ends_at_once(w); }) {
    return first_look<D>(awaited, where);
  } else {
    return await_in_place(awaited.begin(where), where);
  }
}

template <class R>
requires std::derived_from<R, deferred_base>
struct awaited_result<R> {
  static constexpr bool awaited = true;
  using type = typename R::result_type;
};

// A task that may be awaited by name.
template <class T>
class RINGO_AWAITABLE deferred_task : public deferred<deferred_task<T>, T> {
 public:
  deferred_task(task<T>&& t) noexcept : task_(std::move(t)) {}

  // So that go() and the like start it.
  RINGO_RETURNS_TASK task<T> operator()() noexcept { return std::move(task_); }

 private:
  friend class deferred<deferred_task, T>;
  RINGO_RETURNS_TASK task<T> make(std::source_location) noexcept { return std::move(task_); }

  task<T> task_;
};

// As a wrapper looks: what is awaited as a task is awaited once, whatever wraps it.
template <class A>
RINGO_ALWAYS_INLINE inline bool ends_at_first_look(A& awaited, worker& w) {
  if constexpr (std::derived_from<A, deferred_base>) {
    return awaited.ends_at_first_look(w);
  } else {
    return awaited.ends_at_once(w);
  }
}

// What with_timeout, with_context, shield, outcome and finally make of an awaitable A. How provides
//   result<A>                                  the type of the result
//   static run<A>(How, stored<A>, where)       the task that awaits it
//   as_case(C&&)                               the case of a select that it is there; if missing, it is a plain task
//   ends_at_once(A&, worker&)                  looks at the awaited first: whether it has ended; if missing, the task
//                                              is always made
//   taken(A&)                                  the result then; if missing, the awaited's own
//   in_place(A&&)                              the operation that a routine awaits instead of the task; may be missing
template <class How, class A>
concept looks_first = !requires { typename std::remove_reference_t<A>::calls_the_user; } &&
                      requires(How& how, std::remove_reference_t<A>& awaited, worker& w) {
                        awaited.ends_at_once(w);
                        how.ends_at_once(awaited, w);
                      };
template <class How, class A>
class RINGO_AWAITABLE combined : public deferred<combined<How, A>, typename How::template result<A>> {
  using base = deferred<combined, typename How::template result<A>>;

 public:
  combined(How&& how, A&& awaited, std::source_location where)
      : how_(std::move(how)), awaited_(as_stored<A>(awaited)), where_(where) {}

  RINGO_RETURNS_TASK decltype(auto) as_case() && requires requires(How& how, stored<A>&& a) {
    how.as_case(static_cast<stored<A>&&>(a));
  }
  {
    return how_.as_case(static_cast<stored<A>&&>(awaited_));
  }
  RINGO_RETURNS_TASK decltype(auto) as_case() & requires requires(How& how, stored_by_name<A>&& a) {
    how.as_case(static_cast<stored_by_name<A>&&>(a));
  }
  {
    return how_.as_case(static_cast<stored_by_name<A>&&>(awaited_));
  }

  auto in_place() requires requires(How& how, stored<A>&& a) { how.in_place(static_cast<stored<A>&&>(a)); }
  {
    return how_.in_place(static_cast<stored<A>&&>(awaited_));
  }

  RINGO_ALWAYS_INLINE bool ends_at_once(worker& w) requires looks_first<How, A>
  {
    return how_.ends_at_once(awaited_, w);
  }
  RINGO_ALWAYS_INLINE typename base::result_type take() requires looks_first<How, A>
  {
    if constexpr (requires { how_.taken(awaited_); }) {
      return how_.taken(awaited_);
    } else {
      return awaited_.take();
    }
  }

 private:
  friend base;
  RINGO_RETURNS_TASK task<typename base::result_type> make(std::source_location) {
    return How::template run<A>(std::move(how_), static_cast<stored<A>&&>(awaited_), where_);
  }

  How how_;
  stored<A> awaited_;
  std::source_location where_;
};

}  // namespace ringo::detail
