// What a started routine is made of: its record, with the function and its arguments, the task and the result.
#pragma once
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <source_location>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include <ringo/detail/library.hpp>
#include <ringo/detail/task_promise.hpp>

namespace ringo::detail {

// What a started function comes to: of a task or an operation that it returns, the result.
template <class R>
struct awaited_result {
  static constexpr bool awaited = false;
  using type = R;
};
template <class T>
struct awaited_result<task<T>> {
  static constexpr bool awaited = true;
  using type = T;
};
template <class R>
requires std::derived_from<R, parked_operation>
struct awaited_result<R> {
  static constexpr bool awaited = true;
  using type = typename R::result_type;
};
template <class F, class... A>
struct returned_by_start : std::invoke_result<std::decay_t<F>, std::decay_t<A>...> {};
template <class T>
struct returned_by_start<task<T>> : std::type_identity<task<T>> {};
template <class F, class... A>
using started = typename awaited_result<typename returned_by_start<F, A...>::type>::type;

// Whether a copy of the argument can be made, or it be moved. The standard containers say that they can be copied also
// where their elements cannot.
template <class A>
inline constexpr bool has_copyable_elements = true;
template <class A>
requires requires {
  typename A::allocator_type;
  typename A::value_type;
}
inline constexpr bool has_copyable_elements<A> =
    std::is_copy_constructible_v<typename A::value_type> && has_copyable_elements<typename A::value_type>;
template <class A>
inline constexpr bool can_be_kept = std::is_constructible_v<std::decay_t<A>, A>;
template <class A>
inline constexpr bool can_be_kept<A&> = std::is_constructible_v<std::decay_t<A>, A&> && has_copyable_elements<A>;

// The function and its arguments can be copied or moved, and the call be made with the copies.
template <class F, class... A>
concept callable_later =
    can_be_kept<F> && (can_be_kept<A> && ...) && std::invocable<std::decay_t<F>, std::decay_t<A>...>;
// What a routine can run: such a call, or a task that is given away.
template <class F, class... A>
concept startable = (is_task<F> && sizeof...(A) == 0) || callable_later<F, A...>;

// A routine's record with its task, and then its result.
template <class T>
struct record : routine {
  record() noexcept : outcome() {}
  ~record() override { has_task ? task.destroy() : outcome.~result<T>(); }

  void fail(std::exception_ptr error) noexcept override {
    outcome.set_error(std::move(error));
    failed = true;
  }
  std::exception_ptr untaken_error() const noexcept override { return taken ? nullptr : outcome.error(); }

  void set_task(std::coroutine_handle<typename task<T>::promise_type> t) noexcept {
    ::new (static_cast<void*>(&task)) auto(t);  // in the place of an empty result, which needs no destructor
    has_task = true;
  }
  void end_task() noexcept {  // keeps its result, if it has ended, and destroys its frames
    if (has_task) [[likely]] {
      const auto its = task;
      // A result may leave bytes of its place as they are, and a search for leaks would take them for a pointer to the
      // frame. Volatile: a compiler may drop any other write to an object at the end of its lifetime.
      *reinterpret_cast<void* volatile*>(&task) = nullptr;
      ::new (static_cast<void*>(&outcome)) result<T>;
      has_task = false;
      if (its.done()) {
        outcome.take_over(its.promise().outcome, started);
        its.destroy();
      } else {
        destroy_frames(its, resumed_as == kind::begins ? nullptr : resume_at);
      }
    }
    if (outcome.has_error()) [[unlikely]]
      failed = true;
  }

  union {
    std::coroutine_handle<typename task<T>::promise_type> task;  // while has_task
    result<T> outcome;                                           // else
  };
};

// A function's parameters, where they can be known.
template <class F>
struct parameters_of {};
template <class R, class... P>
struct parameters_of<R (*)(P...)> {
  using types = std::tuple<P...>;
  using result = R;
};
template <class R, class... P>
struct parameters_of<R (*)(P...) noexcept> {
  using types = std::tuple<P...>;
  using result = R;
};
template <class R, class C, class... P>
struct parameters_of<R (C::*)(P...)> {
  using types = std::tuple<P...>;
  using result = R;
};
template <class R, class C, class... P>
struct parameters_of<R (C::*)(P...) const> {
  using types = std::tuple<P...>;
  using result = R;
};
template <class F>
requires requires { &F::operator(); }
struct parameters_of<F> : parameters_of<decltype(&F::operator())> {};

// Whether the call f(args...) makes no temporary that the task it returns might refer to: each parameter is a value, or
// a reference to the very argument.
template <class Parameters, class... A>
inline constexpr bool refers_to_arguments_only = false;
template <class... P, class... A>
requires(sizeof...(P) == sizeof...(A))
inline constexpr bool refers_to_arguments_only<std::tuple<P...>, A...> =
    ((!std::is_reference_v<P> || std::is_same_v<std::remove_cvref_t<P>, A>) && ...);

template <class F, class... A>
constexpr bool can_call_directly() {
  constexpr bool makes_a_task = is_task<std::invoke_result_t<F, A...>>;
  if constexpr (makes_a_task && sizeof...(A) == 0) {
    return true;
  } else if constexpr (makes_a_task && requires { typename parameters_of<F>::types; }) {
    return refers_to_arguments_only<typename parameters_of<F>::types, A...>;
  } else {
    return false;
  }
}

// A routine that runs a task. Base is a record<T> or derived from one.
template <class T, class Base>
class routine_of_task final : public Base {
 public:
  explicit routine_of_task(task<T>&& t) noexcept { this->set_task(task_access::release(t)); }

  std::coroutine_handle<> begin() noexcept override { return this->task; }
  void close() noexcept override { this->end_task(); }
};

// std::apply and std::invoke, of what returns a task; theirs clang would refuse (RINGO_LIFETIME_CHECKS).
template <class F, class Tuple, std::size_t... I>
RINGO_RETURNS_TASK decltype(auto) apply_to(F&& f, Tuple& arguments, std::index_sequence<I...>) {
  return f(std::get<I>(arguments)...);
}
template <class F, class Tuple>
RINGO_RETURNS_TASK decltype(auto) apply_to(F&& f, Tuple& arguments) {
  return apply_to(f, arguments, std::make_index_sequence<std::tuple_size_v<Tuple>>());
}
template <class F, class Object, class... A>
RINGO_RETURNS_TASK decltype(auto) invoke_member(F f, Object&& object, A&&... args) {
  if constexpr (requires { (std::forward<Object>(object).*f)(std::forward<A>(args)...); }) {
    return (std::forward<Object>(object).*f)(std::forward<A>(args)...);
  } else if constexpr (requires { (object.get().*f)(std::forward<A>(args)...); }) {
    return (object.get().*f)(std::forward<A>(args)...);
  } else {
    return ((*std::forward<Object>(object)).*f)(std::forward<A>(args)...);
  }
}

template <class F>
inline constexpr bool is_plain_function = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;

// A routine that calls f(args...) when it first runs, and then runs the task.
template <class T, class Base, class F, class... A>
class routine_of_call final : public Base {
  struct in_the_record {
    explicit in_the_record(F) noexcept {}
  };
  struct call {
    template <class G, class... B>
    explicit call(std::in_place_t, G&& g, B&&... b) : f(std::forward<G>(g)), args(std::forward<B>(b)...) {}
    [[no_unique_address]] std::conditional_t<is_plain_function<F>, in_the_record, F> f;
    [[no_unique_address]] std::tuple<A...> args;
  };
  static constexpr bool has_something_to_end = !std::is_trivially_destructible_v<call>;

 public:
  template <class G, class... B>
  explicit routine_of_call(std::in_place_t, G&& f, B&&... args)
      : call_(std::in_place, std::forward<G>(f), std::forward<B>(args)...) {
    // NOLINTNEXTLINE(bugprone-use-after-move): a pointer to a function, which is copied
    if constexpr (is_plain_function<F>) this->routine::function = reinterpret_cast<void (*)()>(static_cast<F>(f));
    if constexpr (has_something_to_end) this->has_call = true;
  }
  ~routine_of_call() override { end_call(); }

  std::coroutine_handle<> begin() noexcept override {
    try {
      task<T> made = apply_to(
          [this](A&... args) RINGO_LAMBDA_RETURNS_TASK {
            if constexpr (can_call_directly<F, A...>()) {
              return function()(std::move(args)...);
            } else {
              return call_and_await(function(), std::move(args)...);
            }
          },
          call_.args);
      if (!task_access::coroutine(made)) throw_empty_task();
      this->set_task(task_access::release(made));
      return this->task;
    } catch (...) {  // what the function itself throws, where it is no coroutine, and what its arguments' copies throw
      this->outcome.set_error(std::current_exception());
      return nullptr;
    }
  }
  void close() noexcept override {
    this->end_task();
    end_call();
  }

 private:
  decltype(auto) function() noexcept {
    if constexpr (is_plain_function<F>) {
      return reinterpret_cast<F>(std::exchange(this->routine::function, nullptr));  // `parked` has the same place
    } else {
      return std::move(call_.f);
    }
  }
  // The function has no place where it awaits what it returns: the report names where the routine was started.
  // Calls and awaits in one full expression, so that arguments which are converted in the call live as long as the
  // routine.
  static task<T> call_and_await(F f, A... args) {
    constexpr bool awaited = awaited_result<std::invoke_result_t<F, A...>>::awaited;
    if constexpr (std::is_member_function_pointer_v<F> && awaited) {
      co_return co_await in_name_of(current_worker()->current->started, invoke_member(f, std::move(args)...));
    } else if constexpr (std::is_member_pointer_v<F>) {
      co_return detail::invoke(f, std::move(args)...);
    } else if constexpr (awaited) {
      co_return co_await in_name_of(current_worker()->current->started, std::move(f)(std::move(args)...));
    } else {
      co_return std::move(f)(std::move(args)...);
    }
  }

  void end_call() noexcept {
    if constexpr (has_something_to_end) {
      if (this->has_call) call_.~call();
      this->has_call = false;
    }
  }

  union {
    call call_;  // while has_call: a std::optional's own flag would take eight bytes
  };
};

// What named() makes: a function or a task with its routine's name.
template <class F>
class named_call {
 public:
  template <class G>
  named_call(std::string name, G&& f) : name_(std::move(name)), f_(std::forward<G>(f)) {}

  template <class... A>
  requires std::invocable<F, A...>
  RINGO_RETURNS_TASK decltype(auto) operator()(A&&... args) && {
    return detail::invoke(std::move(f_), std::forward<A>(args)...);
  }
  RINGO_RETURNS_TASK F operator()() && requires is_task<F>
  {
    return std::move(f_);
  }

  const std::string& name() const noexcept { return name_; }
  F& function() noexcept { return f_; }

 private:
  std::string name_;
  F f_;
};

template <class F>
requires requires { typename F::no_closure; }
inline constexpr bool risky_closure<named_call<F>> = false;

// Before it starts. Takes it, also if it throws std::bad_alloc.
void name_routine(routine& r, const std::string& name);

// The callable and the arguments are copied or moved into the routine: what that throws reaches the caller.
template <template <class> class Record = record, class F, class... A>
requires callable_later<F, A...>
auto* make_routine(F&& f, A&&... args) {
  using result = started<F, A...>;
  return new routine_of_call<result, Record<result>, std::decay_t<F>, std::decay_t<A>...>(
      std::in_place, std::forward<F>(f), std::forward<A>(args)...);
}
template <template <class> class Record = record, class T>
auto* make_routine(task<T>&& t) {
  if (!task_access::coroutine(t)) throw_empty_task();
  return new routine_of_task<T, Record<T>>(std::move(t));
}

template <template <class> class Record = record, class F, class... A>
requires startable<F, A...>
auto* make_routine(named_call<F>&& f, A&&... args) {
  auto* r = make_routine<Record>(std::move(f.function()), std::forward<A>(args)...);
  name_routine(*r, f.name());
  return r;
}

// For a routine that starts later, or under a context that is given: the current routine has started it.
void note_starter(routine& r) noexcept;
// Puts a new routine into the worker's roster and run queue.
void start(worker& w, routine& r, std::source_location started);
// The same, under that context (null: the background) instead of the current routine's.
void start_in(worker& w, routine& r, context_core* context, std::source_location started);

}  // namespace ringo::detail
