// The functions by which handles and joins use another routine's record.
#pragma once
#include <string>

#include <ringo/detail/routine.hpp>

namespace ringo::detail {

void cancel(routine& r);  // any thread

// For a worker of another runtime than the routine's: throws std::logic_error unless the routine's runtime has ended.
void enter_from_elsewhere(const routine& of, const worker& w, const char* call);
[[noreturn]] void throw_empty_handle(const char* call);
[[noreturn]] void throw_joined_twice();
void tell_start(std::string& text, const routine& of);  // "started at FILE:LINE"
void append_join(wait_report& report, const routine& of);

}  // namespace ringo::detail
