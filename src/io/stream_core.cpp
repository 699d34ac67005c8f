#include "io/stream_core.hpp"

#include <sys/socket.h>

#include <cerrno>

#include <ringo/detail/foreign_threads.hpp>
#include <ringo/errors.hpp>

#include "runtime/outside_error.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

stream_core::stream_core(int descriptor, kind k, const endpoint& peer, std::string name)
    : descriptor_core(descriptor, k == kind::other && waits_when_ready(descriptor)),
      kind_(k),
      peer_(peer),
      name_(std::move(name)) {
  if (k != kind::unix_socket) return;
  incoming_ = std::make_unique<message_in_flight>();
  outgoing_ = std::make_unique<message_in_flight>();
}

stream_core::~stream_core() {
  if (own_ != nullptr) give_back(*own_);
  if (piece_ != nullptr) give_back(*piece_);
}

stream_handle make_stream(int descriptor, stream_core::kind k, const endpoint& peer, std::string name) {
  return stream_handle(make_core<stream_core>(descriptor, k, peer, std::move(name)));
}

// ---- what the operations ask for

bool stream_core::can(const io_request& r) const noexcept {
  return r.side == io_side::in ? can_read(static_cast<const reading&>(r)) : can_send(static_cast<const sending&>(r));
}

void stream_core::ask(io_request& r, worker& w) noexcept {
  if (r.side == io_side::in) {
    receive(scheduler_of(w));
    if (r.state == progress::waiting) receive_.feeds(*r.blocked);
  } else if (r.state == progress::waiting) {
    begin_sending(static_cast<sending&>(r), scheduler_of(w));
    send_.feeds(*r.blocked);
  }
}

void stream_core::give(io_request& r) noexcept {
  r.side == io_side::in ? give_bytes(static_cast<reading&>(r)) : give_turn(static_cast<sending&>(r));
}

void stream_core::left(io_request& r) noexcept {
  if (r.side == io_side::out) return leave_sending(static_cast<sending&>(r));
  worker* const w = current_worker();
  if (w == nullptr) return;
  inner_section here(*w);
  serve(io_side::in, here);  // the bytes that are there may be enough for the next reader
  if (!waiting(io_side::in).empty()) receive(scheduler_of(*w));
}

void stream_core::put_back(io_request& r) noexcept {
  if (r.side == io_side::in && r.acts) act(r, false);
  if (r.side == io_side::out) {
    auto& s = static_cast<sending&>(r);
    if (!s.acts && !s.goes_first) return;
    if (s.what == sending::kind::shutdown) return void(act(r, false));  // later sends have been refused
    bool shuts_down;
    {
      section here(*this);
      if (s.acts) --calls_;
      if (s.goes_first) note_loss();
      turn_ = turn::free;
      serve_end(here);
      if (here.on() != nullptr) serve_senders(here);
      shuts_down = begin_shutdown();
    }
    if (shuts_down) finish_shutdown();
  } else if (buffer* const b = std::exchange(static_cast<reading&>(r).got, nullptr)) {
    section here(*this);
    there_.push_front(*b);
    serve(io_side::in, here);
  }
}

bool stream_core::go_on(section& here) noexcept {
  if (here.on() == nullptr) return begin_filter_turn();
  serve_readers(here);
  serve_senders(here);
  return begin_filter_turn();
}

std::string stream_core::doing(const io_request& r) const {
  return (r.side == io_side::in ? "receiving from " : "sending to ") + name();
}

void stream_core::fail(const io_request& r) {
  // For a connection these mean that the peer has not answered for too long (tcp(7)). The latter two say that, by the
  // last news, no route led to it.
  if (r.failure == ETIMEDOUT || r.failure == EHOSTUNREACH || r.failure == ENETUNREACH) {
    throw disconnected(code_of(r.failure), "ringo: " + doing(r));
  }
  if (r.failure == filter_failed) {
    const worker* w = current_worker();
    const optional_guard guard(lock, w->shared);
    std::rethrow_exception(filter_->error);
  }
  descriptor_core::fail(r);
}

// ---- life

void stream_core::check() const {
  descriptor_core::check();
  const bool in_turn = filter_ != nullptr && filter_->in_turn;
  switch (turn_) {
    case turn::put_off:
    case turn::sends:
    case turn::rest:
      invariant(send_.in_flight(), "put off, sends or rest => a send is in flight");
      break;
    case turn::left:
      invariant(send_.in_flight() || in_turn, "left => a send is in flight, or the filter's turn is on");
      break;
    default:
      invariant(!send_.in_flight(), "free, encodes or at once => no send is in flight");
      invariant(turn_ != turn::encodes || in_turn, "encodes => the filter's turn is on");
  }
  there_.check();
  if (!is_open() || has_ended()) return;
  const wait_queue& readers = waiting(io_side::in);
  if (!readers.empty()) {
    invariant(!can(static_cast<const io_request&>(*readers.front())), "a reader waits => it is not satisfied");
    invariant(
        receive_.in_flight() || end_waits_ || in_turn || (filter_ != nullptr && filter_->coded.size() > most_answers),
        "a reader waits => a receive is in flight, or the filter's turn is on, or its answers have to go out first, or "
        "the end waits for a send's answer");
    invariant(!end_waits_ || send_.in_flight() || calls_ != 0, "the end waits => a send or a call is under way");
  }
  invariant(waiting(io_side::out).empty() || turn_ != turn::free || in_turn,
            "a sender waits => its side is not free, or the filter's turn is on");
}

bool stream_core::quiet() const noexcept {
  return !receive_.in_flight() && !send_.in_flight() && calls_ == 0 && (filter_ == nullptr || !filter_->in_turn);
}

bool stream_core::stop(worker* w) noexcept {
  bool has_last_words = kind_ != kind::other && (receive_.in_flight() || send_.in_flight());
  if (filter_ != nullptr) {
    filtering& f = *filter_;
    // If a send is cut off, TLS must not end as if nothing were missing.
    const bool may_end = waiting(io_side::out).empty() && (turn_ == turn::free || turn_ == turn::encodes) &&
                         f.coded.empty() && send_error_ == 0;
    f.has_ended_output |= !may_end;
    has_last_words |= f.is_established && !f.has_ended_output;
    f.has_last_words = has_last_words;
  }
  if (turn_ == turn::sends) turn_ = turn::left;
  if (w != nullptr) {
    receive_.end_early(scheduler_of(*w));
    send_.end_early(scheduler_of(*w));
  }
  return has_last_words;
}

// Ends operations on another worker's ring at once: that worker may take a while to hear that it should end them.
void stream_core::farewell(worker* w) noexcept {
  if (filter_ == nullptr) {
    without_locks("shutdown");
    ::shutdown(descriptor(), SHUT_RDWR);
    return;
  }
  bool in_turn;
  {
    const optional_guard guard(lock, w != nullptr && w->shared);
    in_turn = begin_filter_turn();  // false: the worker in turn does it
  }
  if (in_turn) run_filter(w);
}

}  // namespace ringo::detail
