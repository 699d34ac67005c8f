// The receiving direction of a stream (stream_core.hpp).
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "io/stream_core.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

bool is_hung_up(int descriptor) noexcept {
  pollfd one{descriptor, 0, 0};
  return ::poll(&one, 1, 0) == 1 && (one.revents & POLLHUP) != 0;
}

}  // namespace

bool stream_core::can_read(const reading& r) const noexcept {
  if (r.what == reading::kind::established) return filter_->is_established || at_end_ || receive_error_ != 0;
  const std::size_t needed = r.what == reading::kind::exactly                  ? r.into.size()
                             : r.what == reading::kind::some && r.into.empty() ? 0
                                                                               : 1;
  return there_.size() >= needed || at_end_ || receive_error_ != 0;
}

void stream_core::give_bytes(reading& r) noexcept {
  const bool all = r.what == reading::kind::exactly;
  r.count = 0;
  r.got = nullptr;
  if (r.what == reading::kind::established) {
    if (!filter_->is_established) r.failure = at_end_ ? ended_early : receive_error_;
    return;
  }
  if (r.what == reading::kind::some && r.into.empty()) return;
  if (all ? there_.size() < r.into.size() : there_.empty()) {
    if (at_end_) {
      r.failure = all ? ended_early : 0;
      return;
    }
    r.failure = receive_error_;
    // This error passes, since the bytes are still in the kernel, if no filter has begun with them.
    if (receive_error_ == ENOMEM && filter_ == nullptr) receive_error_ = 0;
  } else if (r.what == reading::kind::a_chunk) {
    r.got = &there_.pop_front();
  } else {
    r.count = std::min(there_.size(), r.into.size());
    there_.copy_out(r.into.data(), r.count, r.dropped);
    r.acts = r.dropped != nullptr;
  }
}

// If the first one has to wait on, asks the kernel for more.
void stream_core::serve_readers(section& here) noexcept {
  wait_queue& readers = waiting(io_side::in);
  while (waiter* const first = readers.front()) {
    auto& r = static_cast<reading&>(*first);
    if (!can_read(r)) return receive(*here.on());
    readers.pop_front(r);
    if (!r.blocked->claim(here.shared())) continue;  // another source has claimed it; its routine ends the use
    if (r.what == reading::kind::a_chunk && !there_.empty()) [[likely]] {
      r.acts = false;  // as give_or_refuse() and give_bytes(), in short
      r.failure = 0;
      r.got = &there_.pop_front();
      here.wake(r, progress::done);
      continue;
    }
    give_or_refuse(r);
    here.wake(*r.blocked);
  }
}

void stream_core::receive(scheduler& w) noexcept {
  if (receive_.in_flight() || !is_open() || at_end_ || end_waits_ || receive_error_ != 0 || w.runtime.done()) return;
  if (filter_ != nullptr) {
    if (filter_->in_turn || !filter_->received.empty()) return;  // the bytes that have come may be enough
    // The stream does not read from a peer that makes the filter answer and does not read the answers; see sent().
    if (send_.in_flight() && filter_->coded.size() > most_answers) return;
  }
  if (can_borrow_ && !w.driver_->lends_buffers(false)) can_borrow_ = false;
  if (!can_borrow_ && own_ == nullptr) own_ = w.driver_->buffers.take();  // if there is no memory, fill_receive polls
  receive_.start(w, waiting(io_side::in));
}

void stream_core::fill_receive(kernel_call& call) noexcept {
  // Without memory it waits until bytes have come, and tries again then.
  if (!can_borrow_ && own_ == nullptr) return call.set_poll(descriptor(), POLLIN);
  void* const to = can_borrow_ ? nullptr : own_->bytes();
  if (kind_ != kind::other) {
    if (incoming_ != nullptr) {
      call.set_receive(descriptor(), *incoming_->receive(to, buffer::size), MSG_CMSG_CLOEXEC);
    } else {
      call.set_receive(descriptor(), to, buffer::size);
    }
    // Without a sign that bytes are there, a first attempt would be in vain.
    call.waits_first = !more_is_there_;
    call.can_ask_again = true;  // all that this reads is changed between two receives only
  } else {
    call.set_read(descriptor(), to, buffer::size, kernel_call::current_position);
  }
  call.lends = can_borrow_;
}

void stream_core::received(const kernel_answer& answer) noexcept {
  const bool is_gone = answer.result == 0 && kind_ != kind::other && is_hung_up(descriptor());
  bool in_turn;
  {
    section here(*this);
    receive_.over();
    accept_answer(answer, is_gone, *here.on());
    if (filter_ == nullptr) [[likely]]
      return serve_readers(here);  // without a filter the directions have nothing to do with each other
    in_turn = go_on(here);
  }
  if (in_turn) run_filter(current_worker());
}

void stream_core::accept_answer(const kernel_answer& answer, bool is_gone, scheduler& w) noexcept {
  const int result = answer.result;
  buffer* b = answer.filled;
  if (!can_borrow_ && own_ == nullptr) {  // there was no memory
    own_ = w.driver_->buffers.take();
    if (own_ == nullptr) receive_error_ = ENOMEM;
    return;
  }
  if (b == nullptr && result > 0) b = std::exchange(own_, nullptr);
  if (result > 0) {
    w.counts.bytes_received.add(result);
    b->begin = 0;
    b->end = static_cast<std::uint32_t>(result);
    if (incoming_ != nullptr) b->passed = incoming_->received().release();
    more_is_there_ = answer.more_is_there;
    return (filter_ != nullptr ? filter_->received : there_).push_back(*b);
  }
  if (b != nullptr) w.driver_->buffers.give_back(*b);
  more_is_there_ = false;
  switch (-result) {
    case 0:
      if (filter_ != nullptr && filter_->is_established) {
        receive_error_ = not_ended;
      } else if (is_gone && (send_.in_flight() || calls_ != 0)) {
        end_waits_ = true;
      } else {
        note_end();
      }
      break;
    case ENOBUFS:
      // The kernel has filled all buffers at once. If it cannot have more, this stream waits with a buffer of its own.
      if (can_borrow_ && !w.driver_->lends_buffers(true)) can_borrow_ = false;
      more_is_there_ = true;
      break;
    case EINTR:
      more_is_there_ = true;  // the operation has polled (operation_of)
      break;
    case ECANCELED:  // by a close, or by an early end that was meant for an earlier receive
    case EAGAIN:
      break;
    default:
      receive_error_ = -result;
  }
}

void stream_core::note_end() noexcept { broken_ != 0 ? void(receive_error_ = broken_) : void(at_end_ = true); }

void stream_core::serve_end(section& here) noexcept {
  if (!end_waits_ || send_.in_flight() || calls_ != 0) [[likely]]
    return;
  end_waits_ = false;
  note_end();
  if (here.on() != nullptr) serve_readers(here);
}

}  // namespace ringo::detail
