#include "net/listener_core.hpp"

#include <liburing.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "net/shared_port.hpp"
#include "net/socket_address.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

// ---- what the operations call

void enter_listener(listener_core* of, const worker* w, const char* call) {
  if (of == nullptr) {
    throw std::logic_error(std::string("ringo: ") + call + ": the listener is empty: it was moved from");
  }
  of->enter(w, call);
}
spin_lock* lock_of(listener_core& of) noexcept { return &of.lock; }
bool can_accept(listener_core& of, worker& w) noexcept {
  if (of.can_accept()) return true;
  of.go_on(scheduler_of(w));
  return false;
}
bool try_accept(listener_core& of, accepting& a, waiter& as, worker& w) noexcept {
  if (of.try_accept(a, as)) return true;
  of.go_on(scheduler_of(w));
  return false;
}
void begin_accepting(listener_core& of, accepting& a, waiter& as, worker& w) noexcept {
  a.waits = &as;
  of.begin(a, w);
}
bool end_accepting(listener_core& of, accepting& a) noexcept {
  of.end(a);
  return of.unused();
}

stream_handle take_accepted(listener_core& of, accepting& a, bool failed) {
  const int error = std::exchange(a.error, 0);
  if (!failed) {
    const struct uncounted {
      listener_core& in;
      accepting& one;
      ~uncounted() { stop_counting(in, one); }
    } at_the_end{of, a};
    return of.make_connection(std::exchange(a.descriptor, -1));
  }
  const std::string what = "ringo: accepting on " + of.name();
  stop_counting(of, a);
  throw_descriptor_error(error, what);
}

void discard_accepted(listener_core& of, accepting& a) noexcept {
  if (const int connection = std::exchange(a.descriptor, -1); connection >= 0) {
    worker* w = current_worker();
    routine_list woken;
    {
      const optional_guard guard(of.lock, w == nullptr || w->shared);
      of.put_back(connection);
      if (w != nullptr && w->runtime_id == of.owner.runtime_id()) of.serve(*w, woken);
    }
    while (routine* each = woken.pop_front()) w->push(*each);
  }
  stop_counting(of, a);
}

void delete_listener(listener_core& of) noexcept { of.delete_this(); }
void tell_listener(const listener_core& of, std::string& text) { text += of.name(); }

int listener_handle::native_handle() const noexcept { return core_ != nullptr ? core_->descriptor() : -1; }
close_operation listener_handle::close() const { return close_operation(core_); }
void listener_handle::drop(listener_core& of) noexcept { of.drop_handle(); }

listener_handle make_listener(int descriptor, bool is_unix, std::string name, socket_file file) {
  return listener_handle(make_core<listener_core>(descriptor, is_unix, std::move(name), std::move(file)));
}

// ---- the listener

listener_core::~listener_core() {
  for (const int connection : there_) ::close(connection);
}

void listener_core::stop(worker* w) noexcept {
  file_.remove();
  waiting_.end_all(w, own_side_closed);
  std::vector<int> unserved = std::exchange(there_, {});
  if (shares_port_) {
    stop_sharing_port(*this);
    if (has_another_at_port_of(*this)) {
      try {
        drain_queue(descriptor(), unserved);
      } catch (const std::bad_alloc&) {  // the rest is reset
      }
    }
  }
  // Whom nobody will serve is to know it at once.
  if (unserved.empty() || !shares_port_ || !hand_over(*this, unserved)) {
    for (const int connection : unserved) ::close(connection);
  }
  if (w == nullptr) return;
  accept_.end_early(scheduler_of(*w));
  pause_.end_early(scheduler_of(*w));
}

bool listener_core::try_accept(accepting& a, waiter& as) noexcept {
  if (!can_accept()) return false;
  a.waits = &as;
  give(a);
  return true;
}

// Where can_accept(), but for others that wait.
void listener_core::give(accepting& a) noexcept {
  a.error = !is_open() ? own_side_closed : there_.empty() ? error_ : 0;
  a.waits->state = a.error != 0 ? progress::failed : progress::done;
  if (a.error != 0) return;
  a.descriptor = there_.back();
  there_.pop_back();
}

void listener_core::begin(accepting& a, worker& w) noexcept {
  a.counts = true;
  use();
  waiting_.push_back(a);
  go_on(scheduler_of(w));
}

void listener_core::end(accepting& a) noexcept {
  if (a.is_listed) waiting_.remove(a);
  if (std::exchange(a.counts, false)) disuse();
}

void listener_core::put_back(int connection) noexcept {
  try {
    if (is_open()) return there_.push_back(connection);
    if (shares_port_ && hand_over(*this, {connection})) return;
  } catch (const std::bad_alloc&) {
  }
  ::close(connection);
}

void listener_core::share_port() {
  detail::share_port(*this);
  shares_port_ = true;
}

void listener_core::take_over(const std::vector<int>& connections, worker* w) noexcept {
  routine_list woken;
  {
    const optional_guard guard(lock, w != nullptr && w->shared);
    for (const int each : connections) put_back(each);
    if (w != nullptr) serve(*w, woken);
  }
  while (routine* r = woken.pop_front()) w->push(*r);
}

void listener_core::serve(worker& w, routine_list& woken) noexcept {
  while (!there_.empty() || error_ != 0) {
    accepting* a = waiting_.claim_first(w.shared);
    if (a == nullptr) return;
    give(*a);
    woken.push_back(*a->waits->who);
  }
}

void listener_core::go_on(scheduler& w) noexcept {
  if (!quiet() || !is_open() || w.runtime.done()) return;
  if (!has_to_pause_) return accept_.start(w);
  has_to_pause_ = false;
  pause_.start(w);
}

void listener_core::fill_accept(io_uring_sqe& entry) noexcept {
  ::io_uring_prep_accept(&entry, descriptor(), nullptr, nullptr, SOCK_CLOEXEC);
}

void listener_core::accepted(int result, unsigned) noexcept {
  scheduler& w = scheduler_of(*current_worker());
  routine_list woken;
  bool last, warns = false;
  {
    const optional_guard guard(lock, w.shared);
    accept_.over();
    if (result >= 0) {
      put_back(result);
      has_warned_ = false;
      length_ = first_pause;
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
          warns = !std::exchange(has_warned_, true);
          break;
      }
    }
    serve(w, woken);
    if (!waiting_.empty()) go_on(w);
    last = settle(w);
  }
  while (routine* r = woken.pop_front()) w.push(*r);
  if (last) delete_this();  // before a handler of the user's runs
  if (!warns) return;
  std::string text = "no connection can be accepted: ";
  text += std::strerror(-result);
  rlimit limit{};
  if (result == -EMFILE && ::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    text += " (this process may have " + std::to_string(limit.rlim_cur) + ": ulimit -n)";
  }
  w.runtime.warn(text + "; they wait, and it is tried again until there is one");
}

void listener_core::fill_pause(io_uring_sqe& entry) noexcept {
  pause_length_.tv_sec = 0;
  pause_length_.tv_nsec = std::chrono::nanoseconds(length_).count();
  ::io_uring_prep_timeout(&entry, &pause_length_, 0, 0);
}

void listener_core::paused(int, unsigned) noexcept {
  scheduler& w = scheduler_of(*current_worker());
  bool last;
  {
    const optional_guard guard(lock, w.shared);
    pause_.over();
    length_ = std::min(length_ * 2, longest_pause);
    if (!waiting_.empty()) go_on(w);
    last = settle(w);
  }
  if (last) delete_this();
}

stream_handle listener_core::make_connection(int connection) const {
  if (is_unix_) return make_stream(connection, stream_core::kind::unix_socket, {}, name_);
  return make_stream(connection, stream_core::kind::socket, peer_endpoint(connection), "a peer that has gone");
}

}  // namespace ringo::detail
