// The system calls that routines make themselves, without the stream's lock (stream_core.hpp): a send that has won a
// select, and a shutdown: meanwhile turn_ is at_once, and no send is in flight; and the close of descriptors that came
// with bytes which were only read.
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "io/stream_core.hpp"

namespace ringo::detail {

void stream_core::give_turn(sending& s) noexcept {
  s.failure = error_of(s);
  if (s.failure != 0 || (s.what == sending::kind::bytes && s.left == 0)) return;
  if (s.what == sending::kind::shutdown) fail_to_send(own_side_ended);  // later sends fail
  turn_ = turn::at_once;
  ++calls_;
  s.acts = true;
}

namespace {

void close_dropped(reading& r) noexcept {
  without_locks("close");
  while (passed_descriptors* const one = r.dropped) {
    r.dropped = one->next;
    delete one;
  }
}

}  // namespace

bool stream_core::act(io_request& r, bool may_wait) noexcept {
  if (r.side == io_side::in) {
    close_dropped(static_cast<reading&>(r));
    return true;
  }
  auto& s = static_cast<sending&>(r);
  ssize_t taken = 0;
  int error = 0;
  if (s.what == sending::kind::shutdown) {
    without_locks("shutdown");
    ::shutdown(descriptor(), SHUT_WR);  // fails if the connection is gone, which is well
  } else {
    taken = send_now(s);
    if (taken < 0) error = errno;
  }
  bool over, shuts_down;
  {
    section here(*this);
    --calls_;
    turn_ = turn::free;
    over = s.what == sending::kind::shutdown || note_sent_now(s, taken, error, may_wait);
    serve_end(here);
    if (turn_ == turn::free && here.on() != nullptr) serve_senders(here);
    shuts_down = over && begin_shutdown();
    // Else take() names the source in an exception, or the sender waits next.
    if (over && s.failure == 0 && std::exchange(s.counts, false)) disuse();
  }
  if (shuts_down) finish_shutdown();
  return over;
}

ssize_t stream_core::send_now(const sending& s) const noexcept {
  without_locks("send");
  if (s.many.empty()) return ::send(descriptor(), s.one.data(), s.one.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  std::array<iovec, most_pieces> pieces;
  std::size_t count = 0;
  for (const auto& each : s.many) pieces[count++] = {const_cast<std::byte*>(each.data()), each.size()};
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count);  // its type differs between C libraries
  return ::sendmsg(descriptor(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// If the kernel had no room for all bytes, the sender waits for the rest. A case that has won a select does not wait:
// its rest follows by the driver.
bool stream_core::note_sent_now(sending& s, ssize_t taken, int error, bool may_wait) noexcept {
  if (taken < 0 && error != EAGAIN && error != EINTR && error != ENOBUFS && error != ENOMEM) {
    s.failure = is_open() ? error : own_side_closed;
    note_error(error);
    return true;
  }
  if (worker* w = current_worker(); w != nullptr && taken > 0) w->counts.bytes_sent.add(taken);
  for (auto n = static_cast<std::size_t>(std::max<ssize_t>(taken, 0)); n != 0;) n -= s.next_part(n).size();
  if (s.left == 0) return true;
  has_room_ = false;
  if (!is_open()) {
    s.failure = own_side_closed;
  } else if (may_wait) {
    if (taken <= 0) return false;
    s.has_begun = s.goes_first = true;
    progress_ = static_cast<std::size_t>(taken);
    turn_ = turn::at_once;
    return false;
  } else if (!has_memory_for(s)) {
    s.failure = ENOMEM;
    if (taken > 0) fail_to_send(cut_short);
  } else {
    send(gather(s), turn::rest, scheduler_of(*current_worker()));
  }
  return true;
}

void stream_core::end_sending() noexcept {
  bool shuts_down;
  {
    const section here(*this);
    ends_when_sent_ = true;
    // The filter's last words come first.
    if (filter_ != nullptr && here.on() != nullptr && is_open() && turn_ == turn::free) put_off(*here.on());
    shuts_down = begin_shutdown();
  }
  if (shuts_down) finish_shutdown();
}

bool stream_core::begin_shutdown() noexcept {
  if (!ends_when_sent_ || !is_open()) return false;
  // Without a runtime no send is in flight, and no sender goes on.
  if (current_worker() != nullptr && (turn_ != turn::free || !waiting(io_side::out).empty())) return false;
  ends_when_sent_ = false;
  if (kind_ == kind::other || (filter_ != nullptr && !filter_->has_ended_output)) return false;
  fail_to_send(own_side_ended);
  turn_ = turn::at_once;
  ++calls_;
  return true;
}

void stream_core::finish_shutdown() noexcept {
  without_locks("shutdown");
  ::shutdown(descriptor(), SHUT_WR);
  section here(*this);
  --calls_;
  turn_ = turn::free;
  serve_end(here);
  if (here.on() != nullptr) serve_senders(here);
}

}  // namespace ringo::detail
