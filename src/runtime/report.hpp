// The texts about routines: in dumps, in deadlock reports, and about unhandled exceptions.
#pragma once
#include <exception>
#include <source_location>
#include <string>

#include <ringo/detail/routine.hpp>
#include <ringo/detail/time_types.hpp>

namespace ringo::detail {

// Called in a handler: the type and the text of the current exception.
std::string describe_current_exception();

// "file:line".
std::string place_of(const std::source_location& at);

// "31 s", rounded down.
std::string length_of(duration time);
// A function's name, as std::source_location has it, without types and parameters.
std::string short_name(std::string name);

// The text about coroutines whose body g++ before 12.3 forgets (GCC bug 106188), and what to write instead.
extern const char* const forgotten_body;
// Ends the process: a routine was resumed, and its body did nothing.
[[noreturn]] void report_forgotten(const routine& r) noexcept;

// Ends the process: another library's awaiter has resumed a task twice, which awaits it there.
[[noreturn]] void report_resumed_twice(const std::source_location& where) noexcept;

// The default of runtime_options::on_unhandled.
void report_unhandled(std::exception_ptr error, const std::source_location& started) noexcept;

// Calls the runtime's runtime_options::on_unhandled. The place has no line if the error did not end a routine.
void report_unhandled(std::uint64_t runtime_id, std::exception_ptr error, const std::source_location& started) noexcept;

// Called in a handler: ends the process, since a hook of the options has thrown, with a message that names the hook.
[[noreturn]] void refuse_throwing_hook(const char* name) noexcept;

}  // namespace ringo::detail
