// process: another program: start it, feed and read it by pipes, wait for its end, send it signals.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/detail/awaited.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/one_shot.hpp>
#include <ringo/pipe.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {
struct process_access;
class process_state;
}  // namespace detail

/// Where a standard stream of a started program leads.
enum class process_stream : std::uint8_t {
  inherited,  ///< where this process' own leads
  null,       ///< /dev/null
  pipe,       ///< a pipe, whose other end the process object has
};

struct process_options {
  process_stream input = process_stream::inherited;
  process_stream output = process_stream::inherited;
  process_stream error = process_stream::inherited;
  bool error_to_output = false;                   ///< standard error goes where output goes; `error` is ignored
  std::string_view directory = {};                ///< its working directory; empty: this process'
  std::span<const std::string> environment = {};  ///< "NAME=value", besides this process' environment and before it
  bool inherits_environment = true;               ///< false: `environment` is all of it
};
static_assert(std::is_trivially_destructible_v<process_options>);

/// A program and its arguments: {"ls", "-l", path}, or a vector of strings. A class of its own, because g++ 12 compiles
/// no list of strings in braces within a co_await expression.
class process_arguments {
 public:
  process_arguments(std::vector<std::string> all) noexcept : all_(std::move(all)) {}
  template <class... Texts>
  requires((std::convertible_to<Texts, std::string> || std::convertible_to<Texts, std::string_view>) && ...)
  process_arguments(Texts&&... texts) {
    all_.reserve(sizeof...(texts));
    (all_.emplace_back(std::forward<Texts>(texts)), ...);
  }

 private:
  friend class process;
  std::vector<std::string> all_;
};

/// How a program has ended: with an exit status, or by a signal.
class exit_status {
 public:
  exit_status(bool by_signal, int number) noexcept : by_signal_(by_signal), number_(number) {}

  bool success() const noexcept { return !by_signal_ && number_ == 0; }
  int status() const noexcept { return by_signal_ ? -1 : number_; }  ///< of its exit; -1 if a signal has ended it
  int signal() const noexcept { return by_signal_ ? number_ : 0; }   ///< that has ended it; 0 if it has exited
  friend bool operator==(const exit_status&, const exit_status&) = default;

 private:
  bool by_signal_;
  int number_;
};

/// A started program. Move-only.
///
///     process p = co_await process::start({"sort", "-u", path}, {.output = process_stream::pipe});
///     while (auto part = co_await p.output().recv()) ...
///     const exit_status end = co_await p.wait();
///
/// The destructor closes its pipes and lets a program that still runs go on; its end is noted in the background, so
/// that no zombie is left. (Call kill() and wait() first to end it.) Thread: workers; destroyed on any.
class process {
 public:
  process() noexcept = default;
  process(process&&) noexcept = default;
  process& operator=(process&&) noexcept = default;

  /// Starts a program, and waits until it has been loaded. The first argument names it: a path, which begins at
  /// `directory` if it is relative, or a name to be looked up in this process' PATH. All arguments are copied at once.
  /// The program inherits no other descriptor that was opened here, and does not have SIGPIPE blocked as workers do. A
  /// plain task: a select that it loses cancels and joins it. Throws std::invalid_argument at the call if no program is
  /// named or a text has a zero byte; std::system_error that names the program if it cannot be started. Cancel safety:
  /// a program that has been started by then is one whose object is destroyed.
  static detail::deferred_task<process> start(process_arguments arguments, process_options options = {},
                                              std::source_location where = std::source_location::current());

  /// The other ends of the pipes; empty where there is no pipe. They may be moved out.
  pipe_writer& input() noexcept { return input_; }
  pipe_reader& output() noexcept { return output_; }
  pipe_reader& error() noexcept { return error_; }

  /// Waits until the program has ended, as often as is wanted. Read its pipes meanwhile: a program whose pipe is full
  /// does not end. While another process traces it (strace -p), its end is seen when the tracer has seen it. Throws:
  /// cancelled; std::system_error if other code of this process has taken the end (SIGCHLD is ignored, or a call waits
  /// for every child). Cancel safety: waiting changes nothing.
  detail::one_shot_operation<exit_status> wait() const;

  /// Sends it a signal. False if it has ended. Throws std::system_error if there is no such signal, or it is not
  /// permitted.
  bool kill(int signal) const;

  int id() const noexcept;  ///< -1 if empty
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  friend struct detail::process_access;

  std::shared_ptr<detail::process_state> state_;
  pipe_writer input_;
  pipe_reader output_, error_;
};

}  // namespace ringo
