#include "net/datagram_core.hpp"

#include <liburing.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {

// ---- what the operations call

void enter_datagrams(datagram_core* of, const worker* w, const char* call) {
  if (of == nullptr) throw_empty_or_ended(call, "socket");
  of->enter(w, call);
}
spin_lock* lock_of(datagram_core& of) noexcept { return &of.lock; }

bool can_receive(datagram_core& from, worker& w) noexcept {
  if (from.can_receive()) return true;
  from.receive(scheduler_of(w));
  return false;
}
bool try_receive(datagram_core& from, datagram_reading& r, waiter& as, worker& w) noexcept {
  if (from.try_receive(r, as)) return true;
  from.receive(scheduler_of(w));
  return false;
}
void begin_receiving(datagram_core& from, datagram_reading& r, waiter& as, worker& w) noexcept {
  r.waits = &as;
  from.begin(r, w);
}
bool end_receiving(datagram_core& from, datagram_reading& r) noexcept {
  from.end(r);
  return from.unused();
}
void take_received(datagram_core& from, datagram_reading& r, bool failed) {
  if (!failed) return stop_counting(from, r);
  const std::string what = "ringo: receiving on " + from.name();
  stop_counting(from, r);
  throw_outside_error(r.error, what);
}
void discard_received(datagram_core& from, datagram_reading& r) noexcept {
  worker* w = current_worker();
  routine_list woken;
  {
    const optional_guard guard(from.lock, w == nullptr || w->shared);
    from.put_back(r);
    if (w != nullptr && w->runtime_id == from.owner.runtime_id()) from.serve_readers(*w, woken);
  }
  while (routine* each = woken.pop_front()) w->push(*each);
  stop_counting(from, r);
}

bool can_send(const datagram_core& to) noexcept { return !to.is_open(); }
bool try_send(datagram_core& to, datagram_sending& s, waiter& as) noexcept {
  if (to.is_open()) return false;  // what has to be given to the kernel is never done at once
  s.error = own_side_closed;
  as.state = progress::failed;
  return true;
}
void begin_sending(datagram_core& to, datagram_sending& s, waiter& as, worker& w) noexcept {
  s.waits = &as;
  to.begin(s, w);
}
bool end_sending(datagram_core& to, datagram_sending& s) noexcept {
  to.end(s);
  return to.unused();
}
void take_sent(datagram_core& to, datagram_sending& s, bool failed) {
  if (!failed) return stop_counting(to, s);
  const std::string& peer = s.to.name;
  const std::string what = "ringo: sending on " + to.name() +
                           (s.to.address   ? " to " + s.to.address.to_string()
                            : peer.empty() ? ""
                                           : " to " + peer);
  stop_counting(to, s);
  throw_outside_error(s.error, what);
}
void datagram_send_operation::discard() noexcept {
  stand(progress::idle);
  stop_counting(*through_, request_);
}

void delete_datagrams(datagram_core& of) noexcept { of.delete_this(); }
void tell_datagrams(const datagram_core& of, std::string& text) { text += of.name(); }

int datagram_handle::native_handle() const noexcept { return core_ != nullptr ? core_->descriptor() : -1; }
close_operation datagram_handle::close() const { return close_operation(core_); }
void datagram_handle::drop(datagram_core& of) noexcept { of.drop_handle(); }

datagram_handle make_datagrams(int descriptor, std::size_t largest, std::string name, socket_file file) {
  return datagram_handle(make_core<datagram_core>(descriptor, largest, std::move(name), std::move(file)));
}

// ---- life

datagram_core::~datagram_core() {
  for (const datagram& each : there_) {
    if (each.bytes != nullptr) give_back(*each.bytes);
  }
}

void datagram_core::stop(worker* w) noexcept {
  file_.remove();
  was_left_ = true;
  waiting_.end_all(w, own_side_closed);
  senders_.end_all(w, own_side_closed);
  if (w == nullptr) return;
  receive_.end_early(scheduler_of(*w));
  send_.end_early(scheduler_of(*w));
}

// ---- receiving

bool datagram_core::try_receive(datagram_reading& r, waiter& as) noexcept {
  if (!can_receive()) return false;
  r.waits = &as;
  give(r);
  return true;
}

// Where can_receive(), but for others that wait.
void datagram_core::give(datagram_reading& r) noexcept {
  r.error = 0;
  if (!is_open()) {
    r.error = own_side_closed;
  } else if (there_.empty()) {
    r.error = std::exchange(pending_error_, 0);
  } else {
    datagram& next = there_.back();
    r.got = next.bytes;
    r.is_truncated = next.is_truncated;
    r.from = std::move(next.from);
    there_.pop_back();
  }
  r.waits->state = r.error != 0 ? progress::failed : progress::done;
}

void datagram_core::begin(datagram_reading& r, worker& w) noexcept {
  r.counts = true;
  use();
  waiting_.push_back(r);
  receive(scheduler_of(w));
  receive_.feeds(*r.waits->who);
}

void datagram_core::end(datagram_reading& r) noexcept {
  if (r.is_listed) waiting_.remove(r);
  if (std::exchange(r.counts, false)) disuse();
}

void datagram_core::put_back(datagram_reading& r) noexcept {
  block* const b = std::exchange(r.got, nullptr);
  if (r.error != 0) {
    pending_error_ = r.error;
    return;
  }
  try {
    if (is_open()) {
      there_.push_back(datagram{b, r.is_truncated, std::move(r.from)});
      return;
    }
  } catch (const std::bad_alloc&) {
  }
  if (b != nullptr) give_back(*b);
}

void datagram_core::receive(scheduler& w) noexcept {
  if (receive_.in_flight() || !is_open() || w.runtime.done()) return;
  if (incoming_ == nullptr) incoming_.reset(new (std::nothrow) std::byte[largest_]);
  receive_.start(w);
}

void datagram_core::fill_receive(io_uring_sqe& entry) noexcept {
  if (incoming_ == nullptr) return ::io_uring_prep_nop(&entry);  // its answer finds that there is no memory
  incoming_bytes_ = {incoming_.get(), largest_};
  incoming_header_ = {};
  incoming_header_.msg_iov = &incoming_bytes_;
  incoming_header_.msg_iovlen = 1;
  incoming_header_.msg_name = incoming_from_.get();
  incoming_header_.msg_namelen = sizeof incoming_from_.storage;
  ::io_uring_prep_recvmsg(&entry, descriptor(), &incoming_header_, 0);
  // Without a sign that there is something, the first attempt would be for nothing.
  if (!more_is_there_) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
}

void datagram_core::received(int result, unsigned flags) noexcept {
  scheduler& w = scheduler_of(*current_worker());
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock, w.shared);
    receive_.over();
    accept_answer(result, flags, w);
    serve_readers(w, woken);
    if (!waiting_.empty()) receive(w);
    last = settle(w);
  }
  while (routine* r = woken.pop_front()) w.push(*r);
  if (last) delete_this();
}

void datagram_core::accept_answer(int result, unsigned flags, scheduler& w) noexcept {
  // EINTR: it has been waited for, where that was the reason (operation_of).
  more_is_there_ = result == -EINTR || (result >= 0 && (flags & IORING_CQE_F_SOCK_NONEMPTY) != 0);
  if (incoming_ == nullptr) {
    pending_error_ = ENOMEM;
    return;
  }
  if (result < 0) {
    // ECANCELED: by a close, or by one that was meant for an earlier receive.
    if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) pending_error_ = -result;
    return;
  }
  const auto size = static_cast<std::size_t>(result);
  block* b = nullptr;
  if (size != 0) {
    b = size <= block::size ? w.driver_->blocks.take() : block_pool::allocate(size);
    if (b == nullptr) {
      pending_error_ = ENOMEM;  // that datagram is lost
      return;
    }
    b->begin = 0;
    b->end = static_cast<std::uint32_t>(size);
    std::memcpy(b->bytes(), incoming_.get(), size);
  }
  try {
    datagram_peer from;
    incoming_from_.length = incoming_header_.msg_namelen;
    if (incoming_from_.length != 0 && incoming_from_.storage.ss_family == AF_UNIX) {
      from.name = unix_name(incoming_from_);
    } else if (incoming_from_.length != 0) {
      from.address = to_endpoint(incoming_from_.get());
    }
    // Behind those that were there before, and have been put back.
    there_.insert(there_.begin(), datagram{b, (incoming_header_.msg_flags & MSG_TRUNC) != 0, std::move(from)});
  } catch (const std::bad_alloc&) {
    pending_error_ = ENOMEM;
    if (b != nullptr) give_back(*b);
  }
}

void datagram_core::serve_readers(worker& w, routine_list& woken) noexcept {
  while (!there_.empty() || pending_error_ != 0) {
    datagram_reading* r = waiting_.claim_first(w.shared);
    if (r == nullptr) return;
    give(*r);
    woken.push_back(*r->waits->who);
  }
}

// ---- sending

void datagram_core::begin(datagram_sending& s, worker& w) noexcept {
  s.counts = true;
  use();
  senders_.push_back(s);
  if (!send_.in_flight()) send(scheduler_of(w));
  send_.feeds(*s.waits->who);
}

void datagram_core::end(datagram_sending& s) noexcept {
  if (s.is_listed) {
    const bool its_turn = senders_.front() == &s && send_.in_flight() && !was_left_;
    senders_.remove(s);
    if (its_turn) {
      was_left_ = true;
      if (worker* w = current_worker()) send_.end_early(scheduler_of(*w));
    }
  }
  if (std::exchange(s.counts, false)) disuse();
}

// Of the first, if there is one.
void datagram_core::send(scheduler& w) noexcept {
  was_left_ = false;
  if (senders_.empty() || !is_open() || w.runtime.done()) return;
  const datagram_sending& s = *senders_.front();
  is_starved_ = false;
  if (s.bytes.size() > outgoing_room_) {
    outgoing_room_ = std::max<std::size_t>(s.bytes.size(), 2048);
    outgoing_.reset(new (std::nothrow) std::byte[outgoing_room_]);
    is_starved_ = outgoing_ == nullptr;
    if (is_starved_) outgoing_room_ = 0;
  }
  if (!is_starved_ && !s.bytes.empty()) std::memcpy(outgoing_.get(), s.bytes.data(), s.bytes.size());
  outgoing_bytes_ = {outgoing_.get(), s.bytes.size()};
  outgoing_header_ = {};
  outgoing_header_.msg_iov = &outgoing_bytes_;
  outgoing_header_.msg_iovlen = 1;
  if (s.to.address || !s.to.name.empty()) {
    try {
      outgoing_to_ = s.to.address ? to_socket_address(s.to.address) : to_unix_address(s.to.name, "ringo");
      outgoing_header_.msg_name = outgoing_to_.get();
      outgoing_header_.msg_namelen = outgoing_to_.length;
    } catch (...) {  // for want of memory: the name has been looked at before
      is_starved_ = true;
    }
  }
  send_.start(w);
}

void datagram_core::fill_send(io_uring_sqe& entry) noexcept {
  if (is_starved_) return ::io_uring_prep_nop(&entry);  // its answer is the failure
  ::io_uring_prep_sendmsg(&entry, descriptor(), &outgoing_header_, MSG_NOSIGNAL);
}

void datagram_core::sent(int result, unsigned) noexcept {
  scheduler& w = scheduler_of(*current_worker());
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock, w.shared);
    send_.over();
    if (is_starved_) result = -ENOMEM;
    const bool is_over = result != -ECANCELED && result != -EINTR && result != -EAGAIN;
    datagram_sending* s = was_left_ ? nullptr : senders_.front();
    if (s != nullptr && is_over) {
      senders_.remove(*s);
      if (s->waits->who->claim(w.shared)) {
        s->error = result < 0 ? -result : 0;
        s->waits->state = s->error != 0 ? progress::failed : progress::done;
        woken.push_back(*s->waits->who);
      }
    }
    send(w);
    last = settle(w);
  }
  while (routine* r = woken.pop_front()) w.push(*r);
  if (last) delete_this();
}

}  // namespace ringo::detail
