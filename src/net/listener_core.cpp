#include "net/listener_core.hpp"

#include <liburing.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "net/shared_port.hpp"
#include "net/socket_address.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

listener_handle make_listener(int descriptor, bool is_unix, std::string name, socket_file file) {
  return listener_handle(make_core<listener_core>(descriptor, is_unix, std::move(name), std::move(file)));
}

listener_core::~listener_core() {
  for (const int connection : bare_) ::close(connection);
  while (stream_core* const each = there_) {
    there_ = each->next_accepted;
    ::close(each->take_back_unused());
  }
}

bool listener_core::stop(worker* w) noexcept {
  file_.remove();
  while (stream_core* const each = there_) {
    there_ = each->next_accepted;
    const int connection = each->take_back_unused();
    try {
      bare_.push_back(connection);
    } catch (const std::bad_alloc&) {
      ::close(connection);
    }
  }
  if (shares_port_) {
    stop_sharing_port(*this);
    if (has_another_at_port_of(*this)) {
      try {
        drain_queue(descriptor(), bare_);
      } catch (const std::bad_alloc&) {  // the rest is reset
      }
    }
  }
  hand_over_or_close_bare();
  if (w == nullptr) return false;
  accept_.end_early(scheduler_of(*w));
  pause_.end_early(scheduler_of(*w));
  return false;
}

// Those that nobody will serve are to know it at once.
void listener_core::hand_over_or_close_bare() noexcept {
  if (!shares_port_ || bare_.empty() || !hand_over(*this, bare_)) {
    for (const int each : bare_) ::close(each);
  }
  bare_.clear();  // and keeps its room
}

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
  if (r.state == progress::waiting) accept_.feeds(*r.who);
}

void listener_core::put_back(io_request& r) noexcept {
  auto* const connection = static_cast<stream_core*>(std::exchange(static_cast<accepting&>(r).got, nullptr));
  if (connection == nullptr) return;
  section here(*this);
  if (is_open()) {
    connection->next_accepted = std::exchange(there_, connection);
    if (here.on() != nullptr) serve(io_side::in, *here.on(), here.woken);
    return;
  }
  bare_.push_back(connection->take_back_unused());  // for which there is room
  hand_over_or_close_bare();
}

bool listener_core::make_streams() noexcept {
  try {
    for (; !bare_.empty(); bare_.pop_back()) {
      stream_core& made = make_connection(bare_.back());
      made.next_accepted = std::exchange(there_, &made);
      has_warned_ = false;
      length_ = first_pause;
    }
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// With one handle. Takes the descriptor, unless it throws std::bad_alloc.
stream_core& listener_core::make_connection(int connection) const {
  auto* const made = is_unix_ ? new stream_core(connection, stream_core::kind::unix_socket, {}, name_)
                              : new stream_core(connection, stream_core::kind::socket, peer_endpoint(connection),
                                                "a peer that has gone");
  made->add_handle();
  return *made;
}

void listener_core::share_port() {
  detail::share_port(*this);
  shares_port_ = true;
}

void listener_core::take_over(const std::vector<int>& connections, worker* w) noexcept {
  section here(*this);
  try {
    bare_.reserve(bare_.size() + connections.size() + 1);
    bare_.insert(bare_.end(), connections.begin(), connections.end());
  } catch (const std::bad_alloc&) {
    for (const int each : connections) ::close(each);
  }
  if (!is_open()) return hand_over_or_close_bare();
  const bool has_memory = make_streams();
  if (w == nullptr) return;
  serve(io_side::in, *w, here.woken);
  if (!has_memory) accept_.end_early(scheduler_of(*w));  // so that the pause begins
}

void listener_core::serve_all(section& here) noexcept {
  serve(io_side::in, *here.on(), here.woken);
  if (!waiting(io_side::in).empty()) go_on(*here.on());
}

void listener_core::go_on(scheduler& w) noexcept {
  if (!quiet() || !is_open() || w.runtime.done()) return;
  if (!has_to_pause_ && bare_.empty()) return accept_.start(w);
  has_to_pause_ = false;
  pause_.start(w);
}

void listener_core::fill_accept(io_uring_sqe& entry) noexcept {
  ::io_uring_prep_accept(&entry, descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
}

void listener_core::accepted(int result, unsigned) noexcept {
  runtime_core& runtime = current_worker()->runtime;
  int refusal = 0;  // that is to be told
  {
    section here(*this);
    accept_.over();
    if (result >= 0) {
      bare_.push_back(result);  // for which there is room
    } else {
      switch (-result) {
        case EBADF:
        case EINVAL:
        case ENOTSOCK:
        case EOPNOTSUPP:
        case EFAULT:
          error_ = -result;
          break;
        case ECANCELED:  // of this call
        case EINTR:
        case EAGAIN:
        case ECONNABORTED:  // of that one connection, as the next (accept(2))
        case EPROTO:
        case ENOPROTOOPT:
        case ENETDOWN:
        case ENETUNREACH:
        case ENONET:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ETIMEDOUT:
          break;
        default:  // for want of descriptors or memory, or of a permission: the connection stays in the kernel's queue
          has_to_pause_ = true;
          refusal = -result;
          break;
      }
    }
    if (!is_open()) {
      hand_over_or_close_bare();
    } else if (!make_streams()) {
      refusal = ENOMEM;
    }
    if (refusal != 0 && std::exchange(has_warned_, true)) refusal = 0;
    serve_all(here);
  }  // the listener may be gone
  if (refusal != 0) warn(runtime, refusal);
}

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
                "no connection can be accepted: %s%s; they wait, and it is tried again until one can be",
                ::strerrordesc_np(refusal), descriptors.data());
  of.warned.tell_rarely(text.data(), {});
}

void listener_core::fill_pause(io_uring_sqe& entry) noexcept {
  pause_length_.tv_sec = 0;
  pause_length_.tv_nsec = std::chrono::nanoseconds(length_).count();
  ::io_uring_prep_timeout(&entry, &pause_length_, 0, 0);
}

void listener_core::paused(int, unsigned) noexcept {
  section here(*this);
  pause_.over();
  length_ = std::min(length_ * 2, longest_pause);
  if (is_open()) (void)make_streams();
  serve_all(here);
}

}  // namespace ringo::detail
