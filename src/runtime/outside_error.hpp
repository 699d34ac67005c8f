// The errors of the outside world, as exceptions.
#pragma once
#include <string>
#include <system_error>

#include <ringo/detail/current_worker.hpp>

namespace ringo::detail {

// Reasons that have no errno. As error codes they equal the std::errc in the comment, but their message is the whole
// reason, which an exception's text then says once.
inline constexpr int own_side_closed = -1;  // connection_aborted
inline constexpr int ended_early = -2;      // connection_reset: the stream has ended before all bytes came
inline constexpr int cut_short = -3;        // broken_pipe: by an earlier send
inline constexpr int not_ended = -4;        // connection_reset: the connection has ended, and the TLS within it has not
inline constexpr int filter_failed = -5;    // the filter has its own exception
inline constexpr int own_side_ended = -6;   // broken_pipe: shutdown_send
inline constexpr int time_limit = -7;       // timed_out
inline constexpr int too_long = -8;         // message_size
inline constexpr int runtime_ended = -9;    // operation_canceled
inline constexpr int not_listening = -10;   // invalid_argument
inline constexpr int listening = -11;       // invalid_argument
inline constexpr int no_stream = -12;       // wrong_protocol_type, like the next two: a socket of another kind
inline constexpr int no_unix_stream = -15;
inline constexpr int no_datagrams = -16;
inline constexpr int file_is_there = -13;     // address_in_use
inline constexpr int end_was_taken = -14;     // no_child_process
std::error_code code_of(int error) noexcept;  // `error` is an errno or a reason

// Throws disconnected if the errno or the reason says that the peer is gone, or that no more can be sent or received;
// else std::system_error. `what` names the call and its object.
[[noreturn]] void throw_outside_error(int error, const std::string& what);

// Throws std::logic_error: a simulation has no outside world.
[[noreturn]] void refuse_in_simulation(const std::string& what);
// The same, if a simulation runs the caller. For calls that act at once: it comes before their effect.
void check_not_simulated(const char* call);

}  // namespace ringo::detail
