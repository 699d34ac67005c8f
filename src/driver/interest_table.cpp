#include "driver/interest_table.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include <ringo/detail/checked.hpp>

#include "driver/attempt.hpp"

namespace ringo::detail {
namespace {

constexpr std::uint32_t failures = EPOLLERR | EPOLLHUP;  // are always reported
constexpr std::uint32_t ends_empty = EPOLLIN | EPOLLPRI | EPOLLRDHUP | failures;
constexpr std::uint32_t ends_full = EPOLLOUT | failures;
constexpr std::uint8_t most_unwanted = 2;

bool receives(const kernel_call& c) noexcept {
  using kind = kernel_call::kind;
  return c.what == kind::receive || c.what == kind::receive_message || c.what == kind::accept;
}
bool is_send(const kernel_call& c) noexcept {
  return c.what == kernel_call::kind::send || c.what == kernel_call::kind::send_message;
}

bool is_tcp(int descriptor) noexcept {
  int protocol = 0;
  socklen_t size = sizeof protocol;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && protocol == IPPROTO_TCP;
}

constexpr short wants_of_idle = static_cast<short>(POLLIN | failures);

std::uint32_t wanted_by(const begun_list& calls, bool has_idle) noexcept {
  std::uint32_t events = has_idle ? static_cast<std::uint16_t>(wants_of_idle) : 0;
  for (const begun_call* c = calls.front(); c != nullptr; c = c->next) events |= static_cast<std::uint16_t>(c->wants);
  return events;
}

// The end of the peer's bytes, and urgent bytes, are for a call that receives.
std::uint32_t woken_by(short wants) noexcept {
  return static_cast<std::uint16_t>(wants) | failures | ((wants & POLLIN) != 0 ? ends_empty : 0);
}

}  // namespace

int interest_table::prepare(const kernel_call& c) noexcept {
  if (c.descriptor < 0) return EBADF;
  const auto at = static_cast<std::size_t>(c.descriptor);
  if (at >= all_.size()) {
    if (::fcntl(c.descriptor, F_GETFD) < 0) return EBADF;  // no memory for a number that no file has
    try {
      const std::size_t size = std::max(at + 1 + at / 8, std::size_t{64});
      to_arm_.reserve(size);
      all_.resize(size);
    } catch (const std::bad_alloc&) {
      return ENOMEM;
    }
  }
  interest& i = all_[at];
  // A call without an owner may be of another file, unless the owner's calls wait.
  if (i.owner == c.owner || (c.owner == 0 && has_calls(i))) return 0;
  i.owner = c.owner;
  i.armed = 0;
  i.is_tcp = i.is_special = i.empty = i.full = false;
  i.unwanted = 0;
  if (c.owner != 0 && c.what != kernel_call::kind::accept) i.is_tcp = is_tcp(c.descriptor);
  if (has_calls(i)) list(c.descriptor, i);  // those that wait, too, are registered anew
  return 0;
}

bool interest_table::is_worth_trying(const kernel_call& c) const noexcept {
  const interest& i = all_[static_cast<std::size_t>(c.descriptor)];
  if (is_trusted(i, c)) {
    if (receives(c) && (i.armed & EPOLLIN) != 0) return !i.empty;
    if (is_send(c) && (i.armed & EPOLLOUT) != 0) return !i.full;
  }
  return !c.waits_first;
}

bool interest_table::is_known_empty(const kernel_call& c) const noexcept {
  if (c.owner == 0 || static_cast<std::size_t>(c.descriptor) >= all_.size() || !receives(c)) return false;
  const interest& i = all_[static_cast<std::size_t>(c.descriptor)];
  return i.empty && i.owner == c.owner && (i.armed & EPOLLIN) != 0;
}

void interest_table::note(const kernel_call& c, const kernel_answer* answer) noexcept {
  interest& i = all_[static_cast<std::size_t>(c.descriptor)];
  if (!is_trusted(i, c)) return;
  if (receives(c)) {
    i.unwanted = 0;
    const bool has_read_all = answer != nullptr && answer->result > 0 && !answer->more_is_there &&
                              c.what == kernel_call::kind::receive && i.is_tcp && !i.is_special;
    i.empty = answer == nullptr || has_read_all;
  } else if (is_send(c)) {
    i.full = answer == nullptr || (answer->result >= 0 && c.what == kernel_call::kind::send &&
                                   static_cast<std::uint64_t>(answer->result) < c.size);
  }
}

void interest_table::wait(begun_call& c) noexcept {
  interest& i = of(c);
  c.where = begun_call::place::on_descriptor;
  c.wants = static_cast<short>(events_for(c.call) | static_cast<short>(failures));
  i.calls.push_back(c);
  ++waiting_;
  const std::uint32_t wanted = static_cast<std::uint16_t>(c.wants);
  // The program may have put another file at the number, even while an earlier call waits.
  if (i.owner == 0) i.armed = 0;
  if ((wanted & ~std::uint32_t{i.armed}) != 0) list(c.call.descriptor, i);
}

bool interest_table::wait_idle(kernel_request& r, const kernel_call& c) noexcept {
  if (!c.can_ask_again || !receives(c)) return false;
  interest& i = all_[static_cast<std::size_t>(c.descriptor)];
  if (i.idle != nullptr || !is_trusted(i, c)) return false;
  i.idle = &r;
  r.stage = kernel_request::unrecorded::waits;
  ++waiting_;
  ++waiting_idle_;
  if ((static_cast<std::uint16_t>(wants_of_idle) & ~i.armed) != 0) list(c.descriptor, i);
  return true;
}

kernel_request& interest_table::take_idle(interest& i) noexcept {
  --waiting_;
  --waiting_idle_;
  return *std::exchange(i.idle, nullptr);
}

void interest_table::stop_waiting_idle(int descriptor) noexcept {
  take_idle(all_[static_cast<std::size_t>(descriptor)]);
}

void interest_table::stop_waiting(begun_call& c) noexcept {
  interest& i = of(c);
  i.calls.remove(c);
  --waiting_;
  if (i.owner == 0 && !has_calls(i)) i.armed = 0;  // the number may be another file's when the next call comes
}

void interest_table::list(int descriptor, interest& i) noexcept {
  if (i.is_listed) return;
  i.is_listed = true;
  to_arm_.push_back(descriptor);
}

void interest_table::arm(begun_list& refused, request_backlog& idle_refused) noexcept {
  for (const int descriptor : to_arm_) {
    interest& i = all_[static_cast<std::size_t>(descriptor)];
    i.is_listed = false;
    const int error = arm(descriptor, i);
    if (error == 0) continue;
    if (i.idle != nullptr) idle_refused.push_back(take_idle(i));
    while (!i.calls.empty()) {
      begun_call& c = i.calls.pop_front();
      --waiting_;
      c.answer = {.result = -error};
      refused.push_back(c);
    }
  }
  to_arm_.clear();
}

int interest_table::arm(int descriptor, interest& i) noexcept {
  const std::uint32_t wanted = wanted_by(i.calls, i.idle != nullptr);
  if (wanted == 0 || (wanted & ~std::uint32_t{i.armed}) == 0) return 0;
  std::uint32_t events = wanted | i.armed;
  if (i.owner == 0) {
    events |= EPOLLONESHOT;
  } else {
    events |= EPOLLET | ((events & EPOLLIN) != 0 ? EPOLLRDHUP | EPOLLPRI : 0);  // note() needs these
  }
  int error = control(i.is_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, descriptor, i, events);
  if (error == ENOENT) error = control(EPOLL_CTL_ADD, descriptor, i, events);
  if (error == EEXIST) error = control(EPOLL_CTL_MOD, descriptor, i, events);
  i.is_registered = error == 0;
  i.armed = error == 0 ? static_cast<std::uint16_t>(wanted | i.armed) : std::uint16_t{0};
  return error;
}

int interest_table::control(int operation, int descriptor, interest& i, std::uint32_t events) noexcept {
  if (operation == EPOLL_CTL_ADD) ++i.serial;
  epoll_event event{};
  event.events = events;
  event.data.u64 = std::uint64_t{i.serial} << 32 | static_cast<std::uint32_t>(descriptor);
  return ::epoll_ctl(epoll_, operation, descriptor, &event) == 0 ? 0 : errno;
}

void interest_table::take(std::uint64_t data, std::uint32_t events, begun_list& ready,
                          request_backlog& idle_ready) noexcept {
  const auto descriptor = static_cast<int>(data & 0xffffffff);
  interest& i = all_[static_cast<std::size_t>(descriptor)];
  if (i.serial != data >> 32 || !i.is_registered) return;
  if ((events & ends_empty) != 0) i.empty = false;
  if ((events & ends_full) != 0) i.full = false;
  if ((events & ends_empty & ~std::uint32_t{EPOLLIN}) != 0) i.is_special = true;
  if (i.owner == 0) i.armed = 0;
  bool is_wanted = i.idle != nullptr && (events & woken_by(wants_of_idle)) != 0;
  if (is_wanted) {
    kernel_request& r = take_idle(i);
    r.stage = kernel_request::unrecorded::is_ready;
    idle_ready.push_back(r);
  }
  for (begun_call* c = i.calls.front(); c != nullptr;) {
    begun_call& one = *std::exchange(c, c->next);
    if ((events & woken_by(one.wants)) == 0) continue;
    is_wanted = true;
    i.calls.remove(one);
    --waiting_;
    one.where = begun_call::place::tried_next;
    ready.push_back(one);
  }
  if (is_wanted) i.unwanted = 0;
  if (i.owner == 0) {
    if (has_calls(i)) list(descriptor, i);
  } else if (!is_wanted && has_calls(i)) {
    // The other direction: from now on only what is wanted is armed.
    i.armed = 0;
    i.empty = i.full = false;
    list(descriptor, i);
  } else if (!is_wanted && ++i.unwanted >= most_unwanted) {
    remove(descriptor, i);
  }
}

void interest_table::remove(int descriptor, interest& i) noexcept {
  // Another worker may close the descriptor at this moment, and its number may be another file's: then the kernel finds
  // no registration. ThreadSanitizer would take epoll_ctl() for a use of a closed descriptor.
  (void)::syscall(SYS_epoll_ctl, epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
  i.is_registered = i.empty = i.full = false;
  i.armed = 0;
  i.unwanted = 0;
}

void interest_table::forget(int descriptor) noexcept {
  if (descriptor < 0 || static_cast<std::size_t>(descriptor) >= all_.size()) return;
  interest& i = all_[static_cast<std::size_t>(descriptor)];
  if (i.is_registered) remove(descriptor, i);
  i.owner = 0;
  if (has_calls(i)) list(descriptor, i);  // of the program's own waits: they hear that it is closed
}

void interest_table::check() const {
  std::size_t counted = 0, idle = 0;
  for (const interest& i : all_) {
    if (i.idle != nullptr) {
      ++idle;
      invariant(i.idle->stage == kernel_request::unrecorded::waits, "an idle request waits there");
      invariant(i.is_listed || (static_cast<std::uint16_t>(wants_of_idle) & ~i.armed) == 0,
                "a request is idle => its events are armed, or will be before the next look");
    }
    for (const begun_call* c = i.calls.front(); c != nullptr; c = c->next) {
      ++counted;
      invariant(c->where == begun_call::place::on_descriptor, "a call in a descriptor's list waits there");
      invariant(&all_[static_cast<std::size_t>(c->call.descriptor)] == &i, "a call waits at its own descriptor");
      invariant(i.is_listed || (static_cast<std::uint16_t>(c->wants) & ~i.armed) == 0,
                "a call waits => its events are armed, or will be before the next look");
    }
    invariant(i.armed == 0 || i.is_registered, "what is armed is registered");
  }
  invariant(idle == waiting_idle_ && counted + idle == waiting_, "the table counts the calls that wait");
}

}  // namespace ringo::detail
