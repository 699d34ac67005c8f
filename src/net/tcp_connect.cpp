#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <ringo/channel.hpp>
#include <ringo/context.hpp>
#include <ringo/resolve.hpp>
#include <ringo/select.hpp>
#include <ringo/tcp.hpp>
#include <ringo/time.hpp>

#include "io/one_shot.hpp"
#include "io/stream_core.hpp"
#include "net/socket.hpp"
#include "net/socket_address.hpp"
#include "runtime/outside_error.hpp"

namespace ringo {
namespace detail {

namespace {

// RFC 8305, 8: the recommended delay between two attempts.
constexpr std::chrono::milliseconds attempt_delay{250};
// Of sockets that connect to themselves. The chance of two in a row is one in some ten thousand.
constexpr int most_attempts = 3;

struct connecting {
  descriptor socket;
  endpoint to;
  socket_address address;
};

// Empty if the socket has connected to itself: to a local port at which nothing listens, and which the kernel has
// chosen for the socket, too (TCP's simultaneous open).
stream_handle connected(connecting& c, int) {
  const endpoint peer = peer_endpoint(c.socket.native_handle());
  if (peer && peer == local_endpoint(c.socket.native_handle())) {
    const linger reset{1, 0};  // otherwise the port would be taken for a minute
    (void)::setsockopt(c.socket.native_handle(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return {};
  }
  return make_stream(c.socket.release(), stream_core::kind::socket, peer ? peer : c.to);
}

one_shot_operation<stream_handle> connect_once(descriptor s, const endpoint& to) {
  return ask_once<stream_handle>(
      connecting{std::move(s), to, to_socket_address(to)},
      [](connecting& c, detail::kernel_call& call) {
        call.set_connect(c.socket.native_handle(), c.address.get(), c.address.length);
      },
      [](const connecting& c) { return "connecting to " + c.to.to_string(); }, connected);
}

task<tcp_stream> connect_to(endpoint to, tcp_options o, std::source_location where) {
  check_not_simulated("tcp_stream::connect");
  const std::string doing = "ringo: connecting to " + to.to_string();
  if (!to) throw std::invalid_argument(doing + ": the endpoint is empty");
  for (int i = 0; i < most_attempts; ++i) {
    descriptor s = make_socket(to.is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM, doing);
    set_stream_options(s.native_handle(), o, doing);
    auto attempt = connect_once(std::move(s), to);
    stream_handle made = co_await in_name_of(where, attempt);
    if (made.get() != nullptr) co_return tcp_stream(std::move(made));
  }
  throw_outside_error(ECONNREFUSED, doing);
}

// The outcome of one attempt.
class attempt {
 public:
  explicit attempt(tcp_stream s) noexcept : stream(std::move(s)) {}
  attempt(const endpoint& to, std::exception_ptr why) noexcept
      : tried(to), error(std::move(why)) {}  // NOLINT(bugprone-throw-keyword-missing): a parameter

  tcp_stream stream;
  endpoint tried;
  std::exception_ptr error;
};

task<> attempt_to(endpoint to, tcp_options o, sender<attempt> result, std::source_location where) {
  std::exception_ptr error;
  try {
    tcp_stream s = co_await connect_to(to, o, where);
    result.try_send(attempt(std::move(s)));
    co_return;
  } catch (const cancelled&) {
    throw;
  } catch (...) {
    error = std::current_exception();
  }
  result.try_send(attempt(to, error));
}

// Alternates between the families, each in its own order (RFC 8305, 4).
std::vector<endpoint> interleaved(const std::vector<endpoint>& all) {
  std::vector<endpoint> first, second, mixed;
  for (const endpoint& e : all) (e.is_v6() == all.front().is_v6() ? first : second).push_back(e);
  for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
    if (i < first.size()) mixed.push_back(first[i]);
    if (i < second.size()) mixed.push_back(second[i]);
  }
  return mixed;
}

class failed_attempts {
 public:
  void add(const attempt& a) {
    try {
      std::rethrow_exception(a.error);
    } catch (const std::system_error& e) {
      if (!first_) first_ = e.code();
      if (e.code() == first_) {
        alike_ += (alike_.empty() ? " at " : " and ") + a.tried.to_string();
      } else {
        others_ += (others_.empty() ? " (" : ", ") + a.tried.to_string() + ": " + e.code().message();
      }
    }
  }
  [[noreturn]] void raise(const std::string& name) const {
    throw std::system_error(first_, "ringo: connecting to " + name + others_ + (others_.empty() ? "" : ")") + alike_);
  }

 private:
  std::error_code first_;
  std::string alike_, others_;  // endpoints that failed as the first did; those that failed otherwise
};

task<tcp_stream> connect_to_any(std::string name, std::vector<endpoint> addresses, tcp_options o,
                                std::source_location where) {
  channel<attempt> results(addresses.size());
  failed_attempts failed;
  const context attempts = context::with_cancel();
  const cancel_guard losers_are_cancelled(attempts);  // they end by themselves, since they own what they use
  std::size_t begun = 0, ended = 0;
  for (;;) {
    if (begun < addresses.size())
      start_under(under(attempts, where), attempt_to, addresses[begun++], o, results, where);
    std::optional<attempt> came;
    if (begun < addresses.size()) {
      auto first = co_await in_name_of(where, select(results.recv(), sleep(attempt_delay)));
      if (first.index() == 0) came = std::move(std::get<0>(first));
    } else {
      came = co_await in_name_of(where, results.recv());
    }
    if (!came) continue;
    if (came->error == nullptr) co_return std::move(came->stream);
    failed.add(*came);
    if (++ended == addresses.size()) failed.raise(name);
  }
}

task<tcp_stream> connect_by_name(std::string name, std::string host, std::uint16_t port, tcp_options o,
                                 std::source_location where) {
  check_not_simulated("tcp_stream::connect");
  std::vector<endpoint> addresses;
  if (host.empty()) {  // this machine
    addresses = {numeric_endpoint("127.0.0.1", port), numeric_endpoint("::1", port)};
  } else {
    addresses = co_await resolve(host, port, where);
  }
  if (addresses.size() == 1) co_return co_await connect_to(addresses.front(), o, where);
  co_return co_await connect_to_any(std::move(name), interleaved(addresses), o, where);
}

}  // namespace

}  // namespace detail

detail::deferred_task<tcp_stream> tcp_stream::connect(std::string_view text, tcp_options o,
                                                      std::source_location where) {
  const auto [host, port] = detail::split_host_and_port(text, "tcp_stream::connect");
  if (const endpoint numeric = detail::numeric_endpoint(host, port)) return detail::connect_to(numeric, o, where);
  return detail::connect_by_name(std::string(text), std::string(host), port, o, where);
}

detail::deferred_task<tcp_stream> tcp_stream::connect(const endpoint& to, tcp_options o, std::source_location where) {
  return detail::connect_to(to, o, where);
}

}  // namespace ringo
