// What has to be said differently to different compilers.
#pragma once
#include <bit>
#include <source_location>
#include <type_traits>

// g++ 12 destroys two kinds of temporaries of a co_await expression twice: closures that are not trivially
// destructible, and aggregates that are not. Where a call can see one in its argument's type it refuses, and says what
// to write.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#define RINGO_DESTROYS_AGGREGATES_TWICE 1
#else
#define RINGO_DESTROYS_AGGREGATES_TWICE 0
#endif
#define RINGO_SAY_NAME_LAMBDA                                                                              \
  "g++ 12 destroys the captures of a lambda written inside a co_await expression twice: name the lambda, " \
  "or the call, first (auto h = go(...); co_await h;), or capture by reference"

// clang before 18 may keep locals of an inlined await_suspend in the frame, which may be gone once the wait is open
// (LLVM issue 56301).
#if defined(__clang__) && __clang_major__ < 18
#define RINGO_AWAIT_SUSPEND [[gnu::noinline]]
#else
#define RINGO_AWAIT_SUSPEND
#endif

#if defined(__has_feature)
#define RINGO_HAS_FEATURE(NAME) __has_feature(NAME)
#else
#define RINGO_HAS_FEATURE(NAME) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || RINGO_HAS_FEATURE(address_sanitizer)
#define RINGO_ADDRESS_SANITIZER 1
#else
#define RINGO_ADDRESS_SANITIZER 0
#endif
#if defined(__SANITIZE_THREAD__) || RINGO_HAS_FEATURE(thread_sanitizer)
#define RINGO_THREAD_SANITIZER 1
#else
#define RINGO_THREAD_SANITIZER 0
#endif

// On the hot paths. Not where nothing is optimised: there it only makes the code longer, and its compilation too.
#if defined(__OPTIMIZE__)
#define RINGO_ALWAYS_INLINE [[gnu::always_inline]]
#define RINGO_ALWAYS_INLINE_LAMBDA __attribute__((always_inline))
#else
#define RINGO_ALWAYS_INLINE
#define RINGO_ALWAYS_INLINE_LAMBDA
#endif

#if defined(__clang__)
#define RINGO_LIFETIMEBOUND [[clang::lifetimebound]]
#else
#define RINGO_LIFETIMEBOUND
#endif

// With RINGO_LIFETIME_CHECKS clang warns of a task that refers to what is gone before it runs: of a lambda with
// captures that is called in place, of a temporary. A function that returns a task and is no coroutine is to be marked
// then.
#if defined(RINGO_LIFETIME_CHECKS) && defined(__clang__) && __clang_major__ >= 18
#define RINGO_COROUTINE [[clang::coro_return_type, clang::coro_lifetimebound]]
#define RINGO_RETURNS_TASK [[clang::coro_wrapper, clang::coro_disable_lifetimebound]]
#define RINGO_REFERS_AND_RETURNS_TASK [[clang::coro_wrapper]]
#define RINGO_LAMBDA_RETURNS_TASK __attribute__((coro_wrapper))
#else
#define RINGO_REFERS_AND_RETURNS_TASK
#define RINGO_LAMBDA_RETURNS_TASK
#define RINGO_COROUTINE
#define RINGO_RETURNS_TASK
#endif

// On each operation: the attribute is not inherited.
#define RINGO_AWAITABLE [[nodiscard("co_await it, or make it a case of a select: by itself it does nothing")]]

namespace ringo::detail {

// Whether a coroutine that hands over to another leaves the stack. g++ makes calls of such transfers without
// optimisation and under its sanitizers: there chains of them are kept short.
#if defined(__clang__) || (defined(__OPTIMIZE__) && !RINGO_ADDRESS_SANITIZER && !RINGO_THREAD_SANITIZER)
inline constexpr bool transfers_are_jumps = true;
#else
inline constexpr bool transfers_are_jumps = false;
#endif

// What a std::source_location is made of, for default arguments in co_await expressions: g++ keeps those that are of
// class types in the frame.
using code_position = decltype(__builtin_source_location());
inline std::source_location location_of(code_position at) noexcept { return std::bit_cast<std::source_location>(at); }

// A closure in an rvalue argument: a class that is not an aggregate of data but can be called, with something in it to
// destroy.
template <class F>
inline constexpr bool risky_closure =
    !std::is_lvalue_reference_v<F> && std::is_class_v<std::remove_cvref_t<F>> &&
    !std::is_trivially_destructible_v<std::remove_cvref_t<F>> &&
    !std::is_default_constructible_v<std::remove_cvref_t<F>> && !std::is_copy_assignable_v<std::remove_cvref_t<F>> &&
    !std::is_move_assignable_v<std::remove_cvref_t<F>> && !requires { typename std::remove_cvref_t<F>::no_closure; };

}  // namespace ringo::detail
