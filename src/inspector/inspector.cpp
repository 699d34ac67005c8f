#include <ringo/inspector.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <future>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include <ringo/run.hpp>

#include "inspector/server.hpp"
#include "net/socket.hpp"
#include "net/socket_address.hpp"
#include "net/unix_address.hpp"
#include "platform/environment_variable.hpp"
#include "platform/signals_blocked.hpp"
#include "runtime/driver_choice.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

constexpr std::string_view unix_prefix = "unix:";

// Throws: std::invalid_argument.
endpoint tcp_endpoint(const std::string& address, const inspector_options& o) {
  const endpoint at = own_endpoint(address, "inspector::listen");
  const std::string host = at.address();
  if (o.allow_remote || host.starts_with("127.") || host == "::1" || host.starts_with("::ffff:127.")) return at;
  throw std::invalid_argument("ringo: inspector::listen at \"" + address + "\": other machines can reach " +
                              at.to_string() +
                              ", and an inspector asks for no password: use 127.0.0.1, or set "
                              "inspector_options::allow_remote");
}

// It asks for little: epoll takes less memory, and is never refused.
std::unique_ptr<runtime_core> make_helper() {
  runtime_options o;
  o.workers = 1;
  o.driver = ringo::driver::epoll;
  o.detect_deadlock = false;
  o.stall = std::chrono::nanoseconds(0);
  o.shutdown_grace = std::chrono::seconds(1);
  auto chosen = choose_drivers(o, 1);
  return std::make_unique<runtime_core>(std::move(o), std::move(chosen.drivers), nullptr, true);
}

// If a program is killed, its listener's file stays and refuses connections. This function replaces such a file.
// Throws: std::system_error if another program listens there.
unix_listener bind_unix(const std::string& name) {
  const auto bind = [&] { return unix_listener::bind(name, {.mode = 0600}); };
  if (name.starts_with('@')) return bind();
  // Two programs that begin at a time must not remove each other's new file, so each one locks the folder until it
  // listens. A folder that others have locked for longer is used all the same.
  const std::size_t slash = name.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : name.substr(0, slash + 1);
  const descriptor locked(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto lock = [&] { return ::flock(locked.native_handle(), LOCK_EX | LOCK_NB); };
  for (int tries = 0; tries < 100 && lock() != 0 && errno == EWOULDBLOCK; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  // Unlocks, too, since a child that the program has forked meanwhile shares the lock, and may live longer.
  const struct unlocker {
    ~unlocker() { ::flock(of.native_handle(), LOCK_UN); }
    const descriptor& of;
  } at_the_end{locked};
  struct stat there{};
  if (::lstat(name.c_str(), &there) != 0 || !S_ISSOCK(there.st_mode)) return bind();
  const std::string doing = "ringo: inspector::listen at unix:" + name;
  const descriptor client = make_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, doing);
  const socket_address to = to_unix_address(name, doing);
  const bool answers = ::connect(client.native_handle(), to.get(), to.length) == 0;
  if (answers || errno == EAGAIN) {  // EAGAIN: its queue is full
    ucred of{};
    socklen_t size = sizeof of;
    const bool is_known = answers && ::getsockopt(client.native_handle(), SOL_SOCKET, SO_PEERCRED, &of, &size) == 0;
    throw std::system_error(
        EADDRINUSE, std::generic_category(),
        doing + (is_known ? ": process " + std::to_string(of.pid) : ": another process") + " listens there already");
  }
  if (errno == ECONNREFUSED) ::unlink(name.c_str());
  return bind();
}

}  // namespace

class inspector_thread {
 public:
  inspector_thread(std::string_view address, inspector_options o)
      : process_(::getpid()), asked_(with_process_number(address)), options_(o), runtime_(make_helper()) {
    if (!asked_.starts_with(unix_prefix)) at_ = tcp_endpoint(asked_, o);
    auto listens = listens_.get_future();
    {
      const signals_blocked inherited;  // the program's signals are for its own threads
      thread_ = std::thread([this] { run(); });
    }
    ::pthread_setname_np(thread_.native_handle(), "ringo inspector");
    try {
      address_ = listens.get();
    } catch (...) {
      thread_.join();
      throw;
    }
  }
  inspector_thread(const inspector_thread&) = delete;
  inspector_thread& operator=(const inspector_thread&) = delete;
  ~inspector_thread() {
    if (process_ != ::getpid()) {  // a forked child has neither the thread nor its locks
      thread_.detach();
      (void)runtime_.release();
      return;
    }
    runtime_->cancel_main();
    thread_.join();
  }

  const std::string& address() const noexcept { return address_; }

 private:
  void run() noexcept {
    try {
      runtime_->workers.front()
          ->become_current();  // so that this frame counts there, and testing::live() leaves it out
      auto* main = make_routine(serve());
      main->started = std::source_location::current();
      const auto h = handle_access::make(main);
      runtime_->run(*main);
    } catch (const std::exception& error) {
      if (!is_told_) return listens_.set_exception(std::current_exception());
      std::fprintf(stderr, "ringo: warning: the inspector at %s has ended: %s\n", asked_.c_str(), error.what());
    }
  }

  task<> serve() {
    tcp_listener of_tcp;
    unix_listener of_unix;
    std::exception_ptr error;
    try {
      std::string listens_at;
      if (at_) {
        of_tcp = tcp_listener::bind(at_);
        listens_at = of_tcp.local().to_string();
      } else {
        of_unix = bind_unix(asked_.substr(unix_prefix.size()));
        listens_at = asked_;
      }
      is_told_ = true;
      listens_.set_value(std::move(listens_at));
    } catch (...) {
      error = std::current_exception();
    }
    if (error) {
      is_told_ = true;
      listens_.set_exception(error);
      co_return;
    }
    inspector_server server(options_);
    if (of_tcp) co_await server.serve(std::move(of_tcp));
    if (of_unix) co_await server.serve(std::move(of_unix));
  }

  const pid_t process_;
  const std::string asked_;
  const inspector_options options_;
  endpoint at_;          // empty for a Unix socket
  std::string address_;  // that it listens at
  std::promise<std::string> listens_;
  bool is_told_ = false;  // the promise; in its thread
  std::unique_ptr<runtime_core> runtime_;
  std::thread thread_;
};

}  // namespace ringo::detail

namespace ringo {

inspector inspector::listen(std::string_view address, inspector_options options) {
  detail::check_not_simulated("inspector::listen");
  detail::refuse_in_forked_child("inspector::listen");
  return inspector(detail::owned(new detail::inspector_thread(address, options)));
}

inspector::inspector() noexcept = default;
inspector::inspector(detail::owned<detail::inspector_thread> thread) noexcept : thread_(std::move(thread)) {}
inspector::inspector(inspector&&) noexcept = default;
inspector& inspector::operator=(inspector&&) noexcept = default;
inspector::~inspector() = default;

std::string inspector::address() const { return thread_ ? thread_->address() : std::string(); }

}  // namespace ringo
