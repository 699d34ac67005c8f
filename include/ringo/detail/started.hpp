// What a started routine is made of: its record with the result, and the root coroutine that calls the function, in one block.
#pragma once
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/task.hpp>

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
using started = typename awaited_result<std::invoke_result_t<std::decay_t<F>, std::decay_t<A>...>>::type;

template <class F, class... A>
concept startable = std::invocable<std::decay_t<F>, std::decay_t<A>...>;

template <class T>
struct record : routine {
  void fail(std::exception_ptr error) noexcept override { outcome.set_error(std::move(error)); }
  std::exception_ptr untaken_error() const noexcept override { return taken ? nullptr : outcome.error(); }

  result<T> outcome;
  bool taken = false;
};

template <class T, class Record>
class root_promise;
template <class T, class Record = record<T>>
struct root {
  using promise_type = root_promise<T, Record>;
  Record* started;
};

template <class T, class Record>
class root_promise_base : public routine_promise {
  static constexpr std::size_t offset =
      (sizeof(Record) + __STDCPP_DEFAULT_NEW_ALIGNMENT__ - 1) / __STDCPP_DEFAULT_NEW_ALIGNMENT__ * __STDCPP_DEFAULT_NEW_ALIGNMENT__;

 public:
  static void* operator new(std::size_t size) {
    auto* block = static_cast<std::byte*>(allocate_frame(offset + size));
    auto* r = ::new (block) Record;
    r->block_size = static_cast<std::uint32_t>(offset + size);
    r->frame_offset = static_cast<std::uint16_t>(offset);
    return block + offset;
  }
  // The record outlives the frame while there are handles.
  static void operator delete(void* frame, std::size_t) noexcept {
    auto* r = record_before(frame);
    if (r->listed_in == nullptr) r->release();  // never started: an argument's copy threw, or the runtime did not run
  }

  std::suspend_always initial_suspend() noexcept { return {}; }
  auto final_suspend() noexcept {
    struct awaiter {
      explicit awaiter(routine& r) noexcept : ending(r) {}
      bool await_ready() noexcept { return false; }
      // The worker destroys the frame when it is back in its loop: nothing of the frame is on the stack then.
      void await_suspend(std::coroutine_handle<>) noexcept { current_worker()->finished = &ending; }
      void await_resume() noexcept {}
      routine& ending;
    };
    return awaiter(*started);
  }
  void unhandled_exception() noexcept { started->outcome.set_error(std::current_exception()); }

 protected:
  // clang takes the frame for an object of its own, before which there is nothing: the address must come from where it cannot see.
  static Record* record_before(void* frame) noexcept {
    __asm__ volatile("" : "+r"(frame) : : "memory");
    return std::launder(reinterpret_cast<Record*>(static_cast<std::byte*>(frame) - offset));
  }
  root<T, Record> object_for(std::coroutine_handle<> self) noexcept {
    started = record_before(self.address());
    started->resume_at = self;
    return {started};
  }
  Record* started = nullptr;
};

template <class T, class Record>
class root_promise : public root_promise_base<T, Record> {
 public:
  root<T, Record> get_return_object() noexcept {
    return this->object_for(std::coroutine_handle<root_promise>::from_promise(*this));
  }
  template <class U>
  void return_value(U&& value) {
    this->started->outcome.set_value(std::forward<U>(value));
  }
};
template <class Record>
class root_promise<void, Record> : public root_promise_base<void, Record> {
 public:
  root<void, Record> get_return_object() noexcept {
    return this->object_for(std::coroutine_handle<root_promise>::from_promise(*this));
  }
  void return_void() noexcept {}
};

// Calls and awaits in one full expression, so that arguments which are converted in the call live as long as the routine.
template <class Record, class F, class... A>
root<started<F, A...>, Record> root_of(F f, A... args) {
  constexpr bool awaited = awaited_result<std::invoke_result_t<F, A...>>::awaited;
  if constexpr (std::is_member_pointer_v<F>) {
    if constexpr (awaited) {
      co_return co_await std::invoke(f, std::move(args)...);
    } else {
      co_return std::invoke(f, std::move(args)...);
    }
  } else if constexpr (awaited) {
    co_return co_await std::move(f)(std::move(args)...);
  } else {
    co_return std::move(f)(std::move(args)...);
  }
}
template <class T, class Record = record<T>>
root<T, Record> root_of_task(task<T> t) {
  co_return co_await std::move(t);
}

// Of a routine that will not be started after all.
void destroy_unstarted(routine& r) noexcept;

// Puts a new routine into the worker's roster and run queue.
void start(worker& w, routine& r, std::source_location started);

}  // namespace ringo::detail
