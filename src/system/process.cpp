#include <ringo/process.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>

#include <ringo/blocking.hpp>
#include <ringo/descriptor.hpp>

#include "io/one_shot.hpp"
#include "io/stream_core.hpp"
#include "runtime/child.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/reaper.hpp"

namespace ringo {
namespace detail {

// A started program, for its process object and for all that wait for its end.
class process_state {
 public:
  explicit process_state(const child& c) noexcept : child_(c) {}
  process_state(const process_state&) = delete;
  process_state& operator=(const process_state&) = delete;
  ~process_state() { end_ || error_ != 0 ? close_descriptor(child_) : reap_in_background(child_); }

  int id() const noexcept { return child_.id; }
  int descriptor() const noexcept { return child_.descriptor; }

  // Notes the end. False: that is not possible yet.
  bool note_end() noexcept {
    const std::lock_guard guard(mutex_);
    if (end_ || error_ != 0) return true;
    siginfo_t info{};
    error_ = detail::note_end(child_, info);
    if (error_ == 0 && info.si_pid != 0) end_.emplace(info.si_code != CLD_EXITED, info.si_status);
    return end_ || error_ != 0;
  }

  // After note_end() has returned true.
  exit_status end() {
    const std::lock_guard guard(mutex_);
    if (end_) return *end_;
    throw_outside_error(error_ == ECHILD ? end_was_taken : error_,
                        "ringo: waiting for process " + std::to_string(id()));
  }

  bool kill(int signal) {
    const std::lock_guard guard(mutex_);
    if (end_ || error_ != 0) return false;
    const int error = send_signal(child_, signal);
    if (error == 0 || error == ESRCH) return error == 0;
    throw_outside_error(error,
                        "ringo: sending signal " + std::to_string(signal) + " to process " + std::to_string(id()));
  }

 private:
  const child child_;
  ranked<std::mutex, lock_rank::process> mutex_;  // of the child's number, and of the two below
  std::optional<exit_status> end_;
  int error_ = 0;  // why the end cannot be noted
};

namespace {

class wait_call final : public one_shot_of<exit_status> {
 public:
  explicit wait_call(std::shared_ptr<process_state> of) noexcept : of_(std::move(of)) {}

 private:
  std::string describe() const override { return "the end of process " + std::to_string(of_->id()); }
  void ask(kernel_call& call) noexcept override { call.set_poll(of_->descriptor(), POLLIN); }
  next judge(int& result) noexcept override {
    if (result >= 0 && !of_->note_end()) return next::after_a_pause;
    return one_shot_of::judge(result);
  }
  exit_status result() override {
    take();
    return of_->end();
  }

  const std::shared_ptr<process_state> of_;
};

// A program to be started, with all that the start needs, since the thread that starts it may outlive the caller.
class launch {
 public:
  launch(std::vector<std::string> a, const process_options& o) : arguments(std::move(a)), directory(o.directory) {
    if (arguments.empty() || arguments.front().empty()) {
      throw std::invalid_argument("ringo: process::start: no program is named");
    }
    doing = "ringo: starting \"" + arguments.front() + '"';
    if (!directory.empty()) doing += " in \"" + directory + '"';
    environment.assign(o.environment.begin(), o.environment.end());
    for (const std::string& each : arguments) check_text(each);
    for (const std::string& each : environment) check_text(each);
    check_text(directory);
    for (const std::string& each : environment) {
      if (each.find('=') == std::string::npos) {
        throw std::invalid_argument(doing + ": process_options::environment: \"" + each + "\" is not NAME=value");
      }
    }
    if (o.inherits_environment) inherit_environment();
    streams[0] = o.input;
    streams[1] = o.output;
    streams[2] = o.error;
    error_to_output = o.error_to_output;
    // This thread's signal mask, without the signal that workers block.
    ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    ::sigdelset(&blocked, SIGPIPE);
  }

  std::vector<std::string> arguments, environment;
  std::string directory, doing;
  process_stream streams[3]{};
  bool error_to_output = false;
  descriptor ends[3];  // of the program's pipes
  sigset_t blocked{};

 private:
  void check_text(const std::string& text) const {
    if (text.find('\0') != std::string::npos) throw std::invalid_argument(doing + ": a text with a zero byte in it");
  }
  void inherit_environment() {
    const std::size_t own = environment.size();
    for (char** each = ::environ; each != nullptr && *each != nullptr; ++each) {
      const std::string_view text = *each;
      const std::string_view name = text.substr(0, text.find('='));
      const auto names_it = [name](const std::string& e) {
        return e.size() > name.size() && e.compare(0, name.size(), name) == 0 && e[name.size()] == '=';
      };
      const auto end = environment.begin() + static_cast<std::ptrdiff_t>(own);
      if (std::none_of(environment.begin(), end, names_it)) environment.emplace_back(text);
    }
  }
};

class file_actions {
 public:
  file_actions() { check(::posix_spawn_file_actions_init(&actions_)); }
  file_actions(const file_actions&) = delete;
  file_actions& operator=(const file_actions&) = delete;
  ~file_actions() { ::posix_spawn_file_actions_destroy(&actions_); }

  void duplicate(int from, int to) { check(::posix_spawn_file_actions_adddup2(&actions_, from, to)); }
  void open_null(int as, int flags) { check(::posix_spawn_file_actions_addopen(&actions_, as, "/dev/null", flags, 0)); }
  void change_directory(const std::string& to) { check(::posix_spawn_file_actions_addchdir_np(&actions_, to.c_str())); }
  const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

 private:
  static void check(int error) {
    if (error != 0) throw std::bad_alloc();
  }
  posix_spawn_file_actions_t actions_;
};

class spawn_attributes {
 public:
  explicit spawn_attributes(const sigset_t& blocked) {
    if (::posix_spawnattr_init(&attributes_) != 0) throw std::bad_alloc();
    ::posix_spawnattr_setsigmask(&attributes_, &blocked);
    ::posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK);
  }
  spawn_attributes(const spawn_attributes&) = delete;
  spawn_attributes& operator=(const spawn_attributes&) = delete;
  ~spawn_attributes() { ::posix_spawnattr_destroy(&attributes_); }
  const posix_spawnattr_t* get() const noexcept { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& each : texts) pointers.push_back(each.data());
  pointers.push_back(nullptr);
  return pointers;
}

// On a thread of the pool, since posix_spawnp waits until the program has been loaded.
std::shared_ptr<process_state> spawn(launch what) {
  file_actions actions;
  for (int i = 0; i < 3; ++i) {
    if (i == STDERR_FILENO && what.error_to_output) {
      actions.duplicate(STDOUT_FILENO, STDERR_FILENO);
    } else if (what.streams[i] == process_stream::pipe) {
      actions.duplicate(what.ends[i].native_handle(), i);
    } else if (what.streams[i] == process_stream::null) {
      actions.open_null(i, i == STDIN_FILENO ? O_RDONLY : O_WRONLY);
    }
  }
  if (!what.directory.empty()) actions.change_directory(what.directory);
  const spawn_attributes attributes(what.blocked);
  std::vector<char*> arguments = pointers_to(what.arguments);
  std::vector<char*> environment = pointers_to(what.environment);
  child started{-1, -1};
  int error = ::posix_spawnp(&started.id, arguments.front(), actions.get(), attributes.get(), arguments.data(),
                             environment.data());
  if (error != 0) throw_outside_error(error, what.doing);
  error = open_descriptor(started);
  if (error != 0) {
    // Where SIGCHLD is ignored, the number may be another process' by now.
    if (::waitid(P_PID, static_cast<id_t>(started.id), nullptr, WEXITED | WNOHANG | WNOWAIT) == 0) {
      ::kill(started.id, SIGKILL);
      while (::waitpid(started.id, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    throw_outside_error(error, what.doing + ": no descriptor of the process");
  }
  try {
    return std::make_shared<process_state>(started);
  } catch (...) {
    reap_in_background(started);
    throw;
  }
}

// A descriptor above 0, 1 and 2, since those are replaced in the program one after the other.
descriptor above_standard(int descriptor, const std::string& doing) {
  ringo::descriptor it(descriptor);
  if (descriptor > STDERR_FILENO) return it;
  ringo::descriptor other(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
  if (other.native_handle() < 0) throw_outside_error(errno, doing + ": a pipe");
  return other;
}

stream_handle make_pipe(launch& what, int i) {
  if (what.streams[i] != process_stream::pipe || (i == STDERR_FILENO && what.error_to_output)) return {};
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_outside_error(errno, what.doing + ": a pipe");
  const bool is_input = i == STDIN_FILENO;
  descriptor ours(ends[is_input ? 1 : 0]);
  what.ends[i] = above_standard(ends[is_input ? 0 : 1], what.doing);
  const char* const name = is_input ? "the input of " : i == STDOUT_FILENO ? "the output of " : "the errors of ";
  return make_stream(ours.release(), stream_core::kind::other, {}, name + ('"' + what.arguments.front() + '"'));
}

}  // namespace

struct process_access {
  static task<process> start(launch what, std::source_location where) {
    (void)require_worker("process::start");
    check_not_simulated("process::start");
    process started;
    started.input_ = pipe_writer(make_pipe(what, STDIN_FILENO));
    started.output_ = pipe_reader(make_pipe(what, STDOUT_FILENO));
    started.error_ = pipe_reader(make_pipe(what, STDERR_FILENO));
    auto call = blocking(spawn, std::move(what));
    started.state_ = co_await in_name_of(where, call);
    co_return started;
  }
};

}  // namespace detail

detail::deferred_task<process> process::start(process_arguments arguments, process_options o,
                                              std::source_location where) {
  return detail::process_access::start(detail::launch(std::move(arguments.all_), o), where);
}

detail::one_shot_operation<exit_status> process::wait() const {
  if (state_ == nullptr) throw std::logic_error("ringo: process::wait: the process is empty: none was started");
  return detail::one_shot_operation<exit_status>(new detail::wait_call(state_));
}
bool process::kill(int signal) const {
  if (state_ == nullptr) throw std::logic_error("ringo: process::kill: the process is empty: none was started");
  detail::check_not_simulated("process::kill");
  return state_->kill(signal);
}
int process::id() const noexcept { return state_ != nullptr ? state_->id() : -1; }

}  // namespace ringo
