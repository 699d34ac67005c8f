// process: another program, started, fed and read by pipes, waited for and told to stop.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/detail/one_shot.hpp>
#include <ringo/pipe.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {
class process_state;
}

// Where a standard stream of a started program leads.
enum class process_stream : std::uint8_t {
  inherited,  // where this process' own does
  null,       // /dev/null
  pipe,       // a pipe, whose other end the process object has
};

struct process_options {
  process_stream input = process_stream::inherited;
  process_stream output = process_stream::inherited;
  process_stream errors = process_stream::inherited;
  bool errors_to_output = false;                  // errors go where output goes; `errors` is without meaning then
  std::string_view directory = {};                // where it runs; empty: where this process does
  std::span<const std::string> environment = {};  // "NAME=value", besides this process' environment and before it
  bool inherits_environment = true;               // false: `environment` is all
};
static_assert(std::is_trivially_destructible_v<process_options>);

// A program and what it is given: {"ls", "-l", path}, or a vector of strings. It is no vector itself because g++ 12
// compiles no list of strings in braces within a co_await expression.
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

// How a program has ended.
class process_end {
 public:
  process_end(bool by_signal, int number) noexcept : by_signal_(by_signal), number_(number) {}

  bool success() const noexcept { return !by_signal_ && number_ == 0; }
  int status() const noexcept { return by_signal_ ? -1 : number_; }  // of its exit; -1 if a signal has ended it
  int signal() const noexcept { return by_signal_ ? number_ : 0; }   // that has ended it; 0 if it has exited
  friend bool operator==(const process_end&, const process_end&) = default;

 private:
  bool by_signal_;
  int number_;
};

// A started program. Move-only. Destroying it closes its pipes and lets the program go on, if it still runs: its end
// is taken note of in the background, so that no zombie is left. (kill() and wait() before, for another fate.) Thread:
// workers; destroyed on any.
class process {
 public:
  process() noexcept = default;
  process(process&&) noexcept = default;
  process& operator=(process&&) noexcept = default;

  //   process p = co_await process::start({"sort", "-u", path}, {.output = process_stream::pipe});
  //
  // The first argument is the program: a path, which where it is relative begins at `directory`, or a name that is
  // looked for in this process' PATH. Everything is copied at once. It inherits no other descriptor that was opened
  // here, nor that workers block SIGPIPE. Throws std::invalid_argument for no program, or a zero byte in a text;
  // std::system_error that names the program, if it cannot be started. Cancel safety: a program that has been started
  // when this is cancelled is as one whose object is destroyed.
  static task<process> start(process_arguments arguments, process_options options = {},
                             std::source_location where = std::source_location::current());

  // The other ends of the pipes; empty for what is none. They may be moved out.
  pipe_writer& input() noexcept { return input_; }
  pipe_reader& output() noexcept { return output_; }
  pipe_reader& errors() noexcept { return errors_; }

  // Until it has ended, and as often as is wanted; while another process traces it (strace -p), until that one has seen
  // its end. What it still writes to a pipe has to be read meanwhile, or it waits
  // with it for ever. Throws: cancelled; std::system_error where the end has been taken by others in this process
  // (SIGCHLD is ignored, or someone waits for every child). Cancel safety: waiting changes nothing.
  detail::one_shot_operation<process_end> wait() const;

  // Sends it a signal; false if it has ended. Throws std::system_error for what is no signal or not permitted.
  bool kill(int signal) const;

  int id() const noexcept;  // -1 of nothing
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  friend struct process_access;

  std::shared_ptr<detail::process_state> state_;
  pipe_writer input_;
  pipe_reader output_, errors_;
};

}  // namespace ringo
