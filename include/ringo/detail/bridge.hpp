// From threads that are no workers: the calling thread waits while a routine does the operation on a worker.
#pragma once
#include <functional>

#include <ringo/detail/channel_core.hpp>
#include <ringo/task.hpp>

namespace ringo::detail {

// `attempt` is the operation without waiting, for a channel whose runtime has ended (no worker can touch it: it runs
// under the bridge's lock); `operation` is what a routine awaits. A channel that no runtime uses yet is waited for,
// but in a call of blocking(): that uses it for its own runtime, and throws std::system_error when that has ended.
void block_until(channel_core* core, const char* call,
                 const std::function<progress(bool shared, routine*& woken)>& attempt,
                 const std::function<task<>()>& operation, std::source_location where);

// A runtime has begun to use an object: who waits for that looks again.
void wake_bridge() noexcept;

void while_bridge_is_locked(const std::function<void()>& what);

// What was posted to channels before the worker's runtime used them is sent from now on.
void move_what_was_posted(worker& w) noexcept;

// Does it if no runtime uses the object, and keeps any from beginning to meanwhile; else returns false.
bool while_unused(const ownership& of, const std::function<void()>& what);

// Does it on a worker of the runtime that uses the object, soon, or where none does here and now, without a worker. Any
// thread that is no such worker.
void do_where_used(const ownership& of, const std::function<void(worker*)>& what);

// Until the routine has ended; throws std::logic_error on a worker.
void block_until_ended(routine& r, std::source_location where);

void cancel(routine& r);  // any thread

[[noreturn]] void throw_send_on_closed();
[[noreturn]] void throw_close_of_nil();
[[noreturn]] void throw_empty_handle(const char* call);
[[noreturn]] void throw_joined_twice();
// The worker is none of the routine's runtime: throws std::logic_error unless both that runtime and the routine have
// ended.
void enter_from_elsewhere(const routine& of, const worker& w, const char* call);
std::size_t checked_capacity(std::size_t capacity, std::size_t value_size);
void tell_start(std::string& text, const routine& of);  // "started at FILE:LINE"
void tell_join(std::string& text, const routine& of);

}  // namespace ringo::detail
