#include "net/datagram_core.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "net/socket.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

void check_datagrams(int descriptor, bool of_unix, const char* call) {
  check_adopted(descriptor, false, call);
  const bool is_unix = option_of(descriptor, SO_DOMAIN) == AF_UNIX;
  if (option_of(descriptor, SO_TYPE) == SOCK_DGRAM && is_unix == of_unix) return;
  throw_outside_error(no_datagrams, std::string("ringo: ") + call + ": descriptor " + std::to_string(descriptor));
}

datagram_handle make_datagrams(int descriptor, std::size_t largest, std::string name, socket_file file) {
  return datagram_handle(make_core<datagram_core>(descriptor, largest, std::move(name), std::move(file)));
}

// ---- life

datagram_core::~datagram_core() {
  for (const datagram& each : there_) {
    if (each.bytes != nullptr) give_back(*each.bytes);
  }
}

bool datagram_core::stop(worker* w) noexcept {
  of_in_flight_ = nullptr;
  if (w != nullptr) {
    receive_.end_early(scheduler_of(*w));
    send_.end_early(scheduler_of(*w));
  }
  return file_.exists();
}

void datagram_core::check() const {
  descriptor_core::check();
  if (!is_open() || has_ended()) return;
  const bool receives = !waiting(io_side::in).empty(), sends = !waiting(io_side::out).empty();
  invariant(!receives || (there_.empty() && pending_error_ == 0),
            "a routine that receives waits only if nothing is there");
  invariant(!receives || receive_.in_flight(), "a routine waits to receive => a receive is in flight");
  invariant(!sends || send_.in_flight(), "a routine waits to send => a send is in flight");
  invariant(of_in_flight_ == nullptr || waiting(io_side::out).front() == of_in_flight_,
            "the first sender's datagram is in flight");
}

// ---- receiving

void datagram_core::give(io_request& r) noexcept {
  if (r.side == io_side::out) return;
  auto& to = static_cast<datagram_reading&>(r);
  if (there_.empty()) {
    to.failure = std::exchange(pending_error_, 0);
    return;
  }
  datagram& next = there_.back();
  to.got = next.bytes;
  to.is_truncated = next.is_truncated;
  to.from = std::move(next.from);
  there_.pop_back();
}

void datagram_core::ask(io_request& r, worker& w) noexcept {
  if (r.side == io_side::in) receive(scheduler_of(w));
  if (r.state != progress::waiting) return;
  if (r.side == io_side::in) return receive_.feeds(*r.blocked);
  if (!send_.in_flight()) send(scheduler_of(w));
  send_.feeds(*r.blocked);
}

void datagram_core::left(io_request& r) noexcept {
  if (r.side != io_side::out || &r != of_in_flight_) return;
  of_in_flight_ = nullptr;
  if (worker* w = current_worker()) send_.end_early(scheduler_of(*w));
}

void datagram_core::put_back(io_request& r) noexcept {
  if (r.side == io_side::out) return;
  auto& from = static_cast<datagram_reading&>(r);
  datagram back{std::exchange(from.got, nullptr), from.is_truncated, std::move(from.from)};
  section here(*this);
  if (from.failure != 0) {
    if (is_open()) pending_error_ = from.failure;
  } else if (!is_open() || !keep(back, true)) {
    if (back.bytes != nullptr) give_back(*back.bytes);
  }
  serve(io_side::in, here);
}

std::string datagram_core::doing(const io_request& r) const {
  if (r.side == io_side::in) return "receiving on " + name_;
  const datagram_peer& to = static_cast<const datagram_sending&>(r).to;
  const std::string peer = to.address ? to.address.to_string() : to.name;
  return "sending on " + name_ + (peer.empty() ? "" : " to " + peer);
}

// The next one is the last in the vector.
bool datagram_core::keep(datagram& d, bool as_next) noexcept {
  try {
    there_.insert(as_next ? there_.end() : there_.begin(), std::move(d));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void datagram_core::receive(scheduler& w) noexcept {
  if (receive_.in_flight() || !is_open() || w.runtime.done()) return;
  if (incoming_ == nullptr) incoming_.reset(new (std::nothrow) std::byte[largest_]);
  receive_.start(w, waiting(io_side::in));
}

void datagram_core::fill_receive(kernel_call& call) noexcept {
  if (incoming_ == nullptr) return call.set_nothing();  // its answer finds that there is no memory
  incoming_bytes_ = {incoming_.get(), largest_};
  incoming_header_ = {};
  incoming_header_.msg_iov = &incoming_bytes_;
  incoming_header_.msg_iovlen = 1;
  incoming_header_.msg_name = incoming_from_.get();
  incoming_header_.msg_namelen = sizeof incoming_from_.storage;
  call.set_receive(descriptor(), incoming_header_);
  // Without a sign that there is something, the first attempt would be for nothing.
  call.waits_first = !more_is_there_;
}

// Without the lock: while the receive is in flight, nothing else touches these buffers. An errno says that the datagram
// is lost.
int datagram_core::take_in(std::size_t size, datagram& into) noexcept {
  if (incoming_ == nullptr) return ENOMEM;
  try {
    incoming_from_.length = incoming_header_.msg_namelen;
    if (incoming_from_.length != 0 && incoming_from_.storage.ss_family == AF_UNIX) {
      into.from.name = unix_name(incoming_from_);
    } else if (incoming_from_.length != 0) {
      into.from.address = to_endpoint(incoming_from_.get());
    }
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  }
  into.is_truncated = (incoming_header_.msg_flags & MSG_TRUNC) != 0;
  if (size == 0) return 0;
  auto& buffers = scheduler_of(*current_worker()).driver_->buffers;
  into.bytes = size <= buffer::size ? buffers.take() : buffer_pool::allocate(size);
  if (into.bytes == nullptr) return ENOMEM;
  into.bytes->begin = 0;
  into.bytes->end = static_cast<std::uint32_t>(size);
  std::memcpy(into.bytes->bytes(), incoming_.get(), size);
  return 0;
}

void datagram_core::received(const kernel_answer& answer) noexcept {
  const int result = answer.result;
  datagram come;
  int error = result >= 0 ? take_in(static_cast<std::size_t>(result), come) : -result;
  // The receive has been ended early (for a close, or for an earlier receive), or it has been waited for
  // (operation_of).
  const bool is_void = result == -ECANCELED || result == -EINTR || result == -EAGAIN;
  section here(*this);
  receive_.over();
  if (result > 0) current_worker()->counts.bytes_received.add(result);
  more_is_there_ = result == -EINTR || (result >= 0 && answer.more_is_there);
  // Behind the datagrams that have been put back.
  if (error == 0 && !keep(come, false)) {
    error = ENOMEM;
    if (come.bytes != nullptr) give_back(*come.bytes);
  }
  if (error != 0 && !is_void) pending_error_ = error;
  serve(io_side::in, here);
  if (!waiting(io_side::in).empty()) receive(*here.on());
}

// ---- sending

void datagram_core::send(scheduler& w) noexcept {
  waiter* const first = waiting(io_side::out).front();
  if (first == nullptr || !is_open() || w.runtime.done()) return;
  const auto& s = static_cast<const datagram_sending&>(*first);
  of_in_flight_ = &s;
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
  send_.start(w, waiting(io_side::out));
}

void datagram_core::fill_send(kernel_call& call) noexcept {
  if (is_starved_) return call.set_nothing();  // its answer is the failure
  call.set_send(descriptor(), outgoing_header_, MSG_NOSIGNAL);
}

void datagram_core::sent(const kernel_answer& answer) noexcept {
  section here(*this);
  scheduler& w = *here.on();
  send_.over();
  const int result = is_starved_ ? -ENOMEM : answer.result;
  const bool is_over = result != -ECANCELED && result != -EINTR && result != -EAGAIN;
  if (result > 0) w.counts.bytes_sent.add(result);
  if (std::exchange(of_in_flight_, nullptr) != nullptr && is_over) {
    auto& s = static_cast<datagram_sending&>(*waiting(io_side::out).front());
    waiting(io_side::out).pop_front(s);
    if (s.blocked->claim(w.shared)) {
      result < 0 ? refuse(s, -result) : give_or_refuse(s);
      here.wake(*s.blocked);
    }
  }
  send(w);
}

}  // namespace ringo::detail
