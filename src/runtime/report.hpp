// What a person is told about routines: in dumps, in a deadlock's report, and of exceptions that nobody receives.
#pragma once
#include <exception>
#include <source_location>
#include <string>

#include <ringo/detail/routine.hpp>

namespace ringo::detail {

// A line on the routine's state, what it waits for, where, and where it was started. Under its roster's lock.
void describe_routine(std::string& text, routine& r, bool is_main);

// In a handler: the type and the text of the exception that is being handled.
std::string describe_current_exception();

// "file:line".
std::string place_of(const std::source_location& at);

// What g++ before 12.3 does to some coroutines (GCC bug 106188), and what to write instead.
extern const char* const forgotten_body;
// A routine has been resumed, and has done nothing: ends the process.
[[noreturn]] void report_forgotten(const routine& r) noexcept;

// options::on_unhandled's default.
void report_unhandled(std::exception_ptr error, const std::source_location& started) noexcept;

// Tells that runtime's options::on_unhandled of it; the place is without a line where no routine's end is what it is.
void tell_unhandled(std::uint64_t runtime_id, std::exception_ptr error, const std::source_location& started) noexcept;

// In a handler: what a hook of the options has thrown ends the process, with a message that names it.
[[noreturn]] void refuse_throwing_hook(const char* name) noexcept;

}  // namespace ringo::detail
