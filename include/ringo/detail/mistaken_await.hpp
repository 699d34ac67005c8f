// The compiler's messages for mistaken awaits and mistaken cases of a select.
#pragma once
#include <coroutine>
#include <type_traits>

#define RINGO_SAY_MOVE_TASK "a task is awaited or started only once, and is moved into that call: write std::move(t)"
#define RINGO_SAY_SLEEP "a length of time cannot be awaited, and is no case of a select: write sleep(1s)"
#define RINGO_SAY_AWAIT                                                                                            \
  "only tasks, handles and operations can be awaited, and be cases of a select: call what makes one, for example " \
  "f(), ch.recv() or group.wait()"

namespace ringo {

template <class T>
class task;

namespace detail {

template <class A>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;
template <class A>
inline constexpr bool is_named_task = std::is_lvalue_reference_v<A> && is_task<std::remove_cvref_t<A>>;
template <class A>
inline constexpr bool is_named_range_of_tasks = false;
template <class A>
requires requires { typename A::value_type; }
inline constexpr bool is_named_range_of_tasks<A&> = is_task<typename A::value_type>;
template <class A>
concept length_of_time = requires {
  typename std::remove_cvref_t<A>::rep;
  typename std::remove_cvref_t<A>::period;
};

// Stands for a value that cannot be made.
struct anything {
  template <class T>
  operator T() const;
};

// Stands for an operation, after the message about the mistake.
struct mistaken_await {
  bool await_ready();
  void await_suspend(std::coroutine_handle<>);
  anything await_resume();
};

// The first member that is false is the mistake.
template <class... A>
struct await_of {
  bool task_is_moved = ((!is_named_task<A> && !is_named_range_of_tasks<A>) && ...);
  bool length_is_of_a_sleep = !task_is_moved || (!length_of_time<A> && ...);
  bool can_be_awaited = !task_is_moved || !length_is_of_a_sleep || (std::is_same_v<A, mistaken_await> || ...);
};

}  // namespace detail
}  // namespace ringo
