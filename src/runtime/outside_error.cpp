#include "runtime/outside_error.hpp"

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include <ringo/errors.hpp>

namespace ringo::detail {

namespace {

class reasons final : public std::error_category {
 public:
  const char* name() const noexcept override { return "ringo"; }
  std::string message(int reason) const override { return of(reason).text; }
  std::error_condition default_error_condition(int reason) const noexcept override {
    return std::make_error_condition(of(reason).like);
  }

 private:
  struct meaning {
    std::errc like;
    const char* text;
  };
  static meaning of(int reason) noexcept {
    using enum std::errc;
    switch (reason) {
      case own_side_closed:
        return {connection_aborted, "its own side has closed it"};
      case ended_early:
        return {connection_reset, "the stream has ended before all of the bytes had come"};
      case cut_short:
        return {broken_pipe, "an earlier send was cancelled, or lost a select, when bytes of it had been sent"};
      case not_ended:
        return {connection_reset, "the connection has ended, and the TLS within it has not: it may have been cut"};
      case own_side_ended:
        return {broken_pipe, "its own side has ended what it sends (shutdown_send)"};
      case time_limit:
        return {std::errc::timed_out, "timed out"};
      case too_long:
        return {message_size, "its end has not come within the limit"};
      case runtime_ended:
        return {operation_canceled, "the runtime has ended while a thread waited for it"};
      case not_listening:
        return {invalid_argument, "it does not listen"};
      case listening:
        return {invalid_argument, "it listens, and is no stream"};
      case no_stream:
        return {wrong_protocol_type, "it is a socket, but no stream"};
      case no_unix_stream:
        return {wrong_protocol_type, "it is no stream of a Unix socket"};
      case no_datagrams:
        return {wrong_protocol_type, "it is no socket of such datagrams"};
      case file_is_there:
        return {address_in_use,
                "the file is there already (it stays when its program is killed: then it can be removed)"};
      case end_was_taken:
        return {no_child_process,
                "its end has been taken by other code of this process (SIGCHLD is ignored, or a call waits for every "
                "child)"};
      default:
        return {io_error, "unknown"};
    }
  }
};

const reasons& all_reasons = *new reasons;  // never destroyed: workers may run while the process exits

}  // namespace

std::error_code code_of(int error) noexcept {
  return error < 0 ? std::error_code(error, all_reasons) : std::error_code(error, std::generic_category());
}

void throw_outside_error(int error, const std::string& what) {
  const std::error_code code = code_of(error);
  switch (error) {
    case ECONNRESET:
    case EPIPE:
    case ECONNABORTED:
    case ESHUTDOWN:
    case ENETRESET:
    case own_side_closed:
    case ended_early:
    case cut_short:
    case not_ended:
    case own_side_ended:
      throw disconnected(code, what);
    default:
      throw std::system_error(code, what);
  }
}

void refuse_in_simulation(const std::string& what) {
  throw std::logic_error("ringo: " + what +
                         " in a simulation, which has no outside world: give what is tested a channel instead");
}

void check_not_simulated(const char* call) {
  const worker* w = current_worker();
  if (w != nullptr && w->simulated) refuse_in_simulation(call);
}

}  // namespace ringo::detail
