#include "net/listener_core.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "net/shared_port.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

listener_handle make_listener(int descriptor, stream_core::kind k, listener_core::origin from, std::string name,
                              socket_file file) {
  return listener_handle(make_core<listener_core>(descriptor, k, from, std::move(name), std::move(file)));
}

listener_core::~listener_core() {
  without_locks("close");
  for (const bare_connection& each : bare_) ::close(each.number);
  while (stream_core* const each = there_) {
    there_ = each->next_accepted;
    ::close(each->take_back_unused());
  }
}

// ---- closing

bool listener_core::stop(worker* w) noexcept {
  if (w != nullptr) {
    accept_.end_early(scheduler_of(*w));
    pause_.end_early(scheduler_of(*w));
  }
  return file_.exists() || shares_port_ || there_ != nullptr || !bare_.empty();
}

void listener_core::farewell(worker* w) noexcept {
  without_locks("close and accept4");
  file_.remove();
  if (shares_port_) stop_sharing_port(*this);
  std::vector<bare_connection> connections;
  stream_core* streams;
  {
    const optional_guard guard(lock, w != nullptr && w->shared);
    connections.swap(bare_);
    streams = std::exchange(there_, nullptr);
  }
  try {
    while (stream_core* const each = streams) {
      connections.reserve(connections.size() + 1);
      streams = each->next_accepted;
      const endpoint peer = each->peer();
      connections.push_back({each->take_back_unused(), peer});
    }
    if (shares_port_ && has_another_at_port_of(*this)) drain_queue(descriptor(), connections);
  } catch (const std::bad_alloc&) {  // the kernel resets the connections that are left
    while (stream_core* const each = streams) {
      streams = each->next_accepted;
      ::close(each->take_back_unused());
    }
  }
  give_away(connections);
}

void listener_core::give_away(std::span<const bare_connection> these) noexcept {
  if (these.empty() || (shares_port_ && hand_over(*this, these))) return;
  without_locks("close");
  for (const bare_connection& each : these) ::close(each.number);
}

void listener_core::share_port() {
  detail::share_port(*this);
  shares_port_ = true;
}

void listener_core::take_over(const std::vector<bare_connection>& connections) noexcept {
  try {
    section here(*this);
    if (is_open()) {
      bare_.reserve(bare_.size() + connections.size() + 1);
      bare_.insert(bare_.end(), connections.begin(), connections.end());
      const bool has_memory = make_streams();
      if (here.on() == nullptr) return;
      serve(io_side::in, here);
      if (!has_memory) accept_.end_early(*here.on());  // so that the pause begins
      return;
    }
  } catch (const std::bad_alloc&) {
  }
  give_away(connections);
}

void listener_core::check() const {
  descriptor_core::check();
  invariant(!accept_.in_flight() || !pause_.in_flight(), "an accept and a pause are never both in flight");
  if (!is_open() || has_ended()) return;
  invariant(!accept_.in_flight() || bare_.size() < bare_.capacity(),
            "there is room for the connection that is accepted");
  if (waiting(io_side::in).empty()) return;
  invariant(there_ == nullptr && error_ == 0, "a routine waits to accept only if nothing is there");
  invariant(accept_.in_flight() || pause_.in_flight(), "a routine waits => an accept or a pause is in flight");
}

// ---- the connections that have come

void listener_core::give(io_request& r) noexcept {
  auto& a = static_cast<accepting&>(r);
  if (there_ == nullptr) {
    a.failure = error_;
  } else {
    a.got = std::exchange(there_, there_->next_accepted);
  }
}

void listener_core::ask(io_request& r, worker& w) noexcept {
  go_on(scheduler_of(w));
  if (r.state == progress::waiting) accept_.feeds(*r.blocked);
}

void listener_core::put_back(io_request& r) noexcept {
  auto* const stream = static_cast<stream_core*>(std::exchange(static_cast<accepting&>(r).got, nullptr));
  if (stream == nullptr) return;
  {
    section here(*this);
    if (is_open()) {
      stream->next_accepted = std::exchange(there_, stream);
      serve(io_side::in, here);
      return;
    }
  }
  const endpoint peer = stream->peer();
  const bare_connection connection{stream->take_back_unused(), peer};
  give_away({&connection, 1});
}

bool listener_core::make_streams() noexcept {
  try {
    for (; !bare_.empty(); bare_.pop_back()) {
      const auto& [number, peer] = bare_.back();
      const bool has_name = kind_ == stream_core::kind::unix_socket;
      auto* const made = new stream_core(number, kind_, peer,
                                         has_name ? name_
                                         : peer   ? std::string()
                                                  : "a peer without an address");
      made->add_handle();
      made->next_accepted = std::exchange(there_, made);
      has_warned_ = false;
      length_ = first_pause;
    }
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void listener_core::serve_all(section& here) noexcept {
  serve(io_side::in, here);
  if (!waiting(io_side::in).empty()) go_on(*here.on());
}

// ---- accepting

void listener_core::go_on(scheduler& w) noexcept {
  if (!quiet() || !is_open() || w.runtime.done()) return;
  if (!has_to_pause_ && bare_.empty()) return accept_.start(w, waiting(io_side::in));
  has_to_pause_ = false;
  pause_.start(w);
}

void listener_core::fill_accept(kernel_call& call) noexcept {
  peer_ = {};
  call.set_accept(descriptor(), peer_.get(), peer_.length, SOCK_CLOEXEC);
  call.is_shared = origin_ == origin::adopted;
}

namespace {

enum class accept_failure : std::uint8_t {
  of_this_call,    // or of that connection, and not of the next (accept(2))
  of_the_machine,  // no descriptors, no memory, no permission: the connection stays in the kernel's queue
  final            // of every call
};

accept_failure failure_of(int error) noexcept {
  switch (error) {
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
    case EFAULT:
      return accept_failure::final;
    case ECANCELED:
    case EINTR:
    case EAGAIN:
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ETIMEDOUT:
      return accept_failure::of_this_call;
    default:
      return accept_failure::of_the_machine;
  }
}

}  // namespace

void listener_core::accepted(const kernel_answer& answer) noexcept {
  const int result = answer.result;
  runtime_core& runtime = current_worker()->runtime;
  const bare_connection connection{result, result >= 0 ? to_endpoint(peer_.get()) : endpoint()};
  const accept_failure failure = result >= 0 ? accept_failure::of_this_call : failure_of(-result);
  int refusal = 0;  // to be told
  bool comes_too_late;
  {
    section here(*this);
    comes_too_late = result >= 0 && !is_open();
    if (!comes_too_late) {
      accept_.over();
      if (result >= 0) bare_.push_back(connection);  // there is room for it
      if (failure == accept_failure::final) error_ = -result;
      if (failure == accept_failure::of_the_machine) {
        has_to_pause_ = true;
        refusal = -result;
      }
      if (is_open() && !make_streams()) refusal = ENOMEM;
      if (refusal != 0 && std::exchange(has_warned_, true)) refusal = 0;
      serve_all(here);
    }
  }  // the listener may be gone, if its accept is over
  if (comes_too_late) {
    give_away({&connection, 1});
    section here(*this);
    accept_.over();
    serve_all(here);
  }
  if (refusal != 0) warn(runtime, refusal);
}

namespace {

// In memory that is there already: glibc's strerror may allocate, that of other C libraries does not.
const char* description_of(int error) noexcept {
#if defined(__GLIBC__)
  return ::strerrordesc_np(error);
#else
  return std::strerror(error);
#endif
}

}  // namespace

// Without memory of its own: there may be none.
void listener_core::warn(runtime_core& of, int refusal) noexcept {
  std::array<char, 80> descriptors{};
  rlimit limit{};
  if (refusal == EMFILE && ::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    std::snprintf(descriptors.data(), descriptors.size(), " (this process may have %llu: ulimit -n)",
                  static_cast<unsigned long long>(limit.rlim_cur));
  }
  std::array<char, 300> text{};
  std::snprintf(text.data(), text.size(),
                "no connection can be accepted: %s%s; connections wait, and the listener tries again",
                description_of(refusal), descriptors.data());
  of.warned.tell_rarely(text.data(), {});
}

void listener_core::fill_pause(kernel_call& call) noexcept {
  pause_length_.seconds = 0;
  pause_length_.nanoseconds = std::chrono::nanoseconds(length_).count();
  call.set_pause(pause_length_);
}

void listener_core::paused(const kernel_answer&) noexcept {
  section here(*this);
  pause_.over();
  length_ = std::min(length_ * 2, longest_pause);
  if (is_open()) (void)make_streams();
  serve_all(here);
}

}  // namespace ringo::detail
