#include "net/stream_core.hpp"

#include <liburing.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <ringo/detail/foreign_threads.hpp>
#include <ringo/errors.hpp>

#include "net/socket.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

// ---- what the operations call

namespace {

template <class Request>
void take(stream_core& from, Request& r, bool failed, const char* doing) {
  if (!failed) [[likely]]
    return stop_counting(from, r);
  std::string what = std::string("ringo: ") + doing + from.name();
  std::exception_ptr of_filter;
  if (r.error == filter_failed) {
    const worker* w = current_worker();
    const optional_guard guard(from.lock, w->shared);
    of_filter = from.filter_error();
  }
  stop_counting(from, r);
  if (of_filter) std::rethrow_exception(of_filter);
  // Of a connection these mean that the peer has not answered for too long (tcp(7)): the latter two where the last
  // thing that was heard of it was that there is no way to it.
  if (r.error == ETIMEDOUT || r.error == EHOSTUNREACH || r.error == ENETUNREACH) {
    throw disconnected(code_of(r.error), what);
  }
  throw_outside_error(r.error, what);
}

}  // namespace

void enter_stream(stream_core* of, const worker* w, const char* call) {
  if (of == nullptr) throw_empty_or_ended(call, "stream");
  of->enter(w, call);
}
spin_lock* lock_of(stream_core& of) noexcept { return &of.lock; }
bool can_read(stream_core& from, const reading& r, worker& w) noexcept {
  if (from.can_read(r)) return true;
  from.receive(scheduler_of(w));
  return false;
}
bool try_read(stream_core& from, reading& r, waiter& as, worker& w) noexcept {
  if (from.try_read(r, as)) return true;
  from.receive(scheduler_of(w));
  return false;
}
void begin_reading(stream_core& from, reading& r, waiter& as, worker& w) noexcept {
  r.waits = &as;
  from.begin(r, w);
}
bool end_reading(stream_core& from, reading& r) noexcept {
  from.end(r);
  return from.unused();
}
void take_reading(stream_core& from, reading& r, bool failed) { take(from, r, failed, "receiving from "); }
void discard_reading(stream_core& from, reading& r) noexcept {
  if (block* b = std::exchange(r.got, nullptr)) {
    worker* w = current_worker();
    routine_list woken;
    {
      const optional_guard guard(from.lock, w == nullptr || w->shared);
      from.put_back(*b);
      if (w != nullptr && w->runtime_id == from.owner.runtime_id()) from.serve_readers(*w, woken);
    }
    while (routine* each = woken.pop_front()) w->push(*each);
  }
  stop_counting(from, r);
}

bool can_send(stream_core& to, sending& s) noexcept { return to.can_send(s); }
bool try_send(stream_core& to, sending& s, waiter& as, worker& w) noexcept {
  return to.try_send(s, as, scheduler_of(w));
}
void begin_sending(stream_core& to, sending& s, waiter& as, worker& w) noexcept {
  s.waits = &as;
  to.begin(s, w);
}
bool end_sending(stream_core& to, sending& s) noexcept {
  to.end(s);
  return to.unused();
}
void take_sending(stream_core& to, sending& s, bool failed) { take(to, s, failed, "sending to "); }
void discard_sending(stream_core& to, sending& s) noexcept { stop_counting(to, s); }

void delete_stream(stream_core& of) noexcept { of.delete_this(); }
void tell_stream(const stream_core& of, std::string& text) { text += of.name(); }

void close_operation::enter(const worker* w) {
  if (of_ == nullptr) throw_empty_or_ended("close", "object");
  of_->enter(w, call_name);
}
spin_lock* close_operation::lock() noexcept { return &of_->lock; }
bool close_operation::ready(worker&) noexcept { return of_->is_closed(); }
void close_operation::link(worker& w, routine& r) noexcept {
  who = &r;
  stand(progress::waiting);
  of_->closing.push_back(*this);
  of_->use();
  of_->begin_closing(&w);
}
bool close_operation::unlink() noexcept {
  if (where_queued == place::queued) of_->closing.remove(*this);
  if (!won(standing())) stand(progress::idle);
  of_->disuse();
  return of_->unused();
}
void close_operation::dispose() noexcept { of_->delete_this(); }

stream_handle stream_handle::another() const noexcept {
  core_->add_handle();
  return stream_handle(core_);
}
int stream_handle::native_handle() const noexcept { return core_ != nullptr ? core_->descriptor() : -1; }
close_operation stream_handle::close() const { return close_operation(core_); }
void stream_handle::drop(stream_core& of) noexcept { of.drop_handle(); }

stream_handle make_stream(int descriptor, stream_core::kind k, const endpoint& peer, std::string name) {
  return stream_handle(make_core<stream_core>(descriptor, k, peer, std::move(name)));
}

void end_sending_soon(const stream_handle& of) noexcept {
  stream_core& core = *of.get();
  const auto end = [](stream_core& s, worker* w) {
    const optional_guard guard(s.lock, w != nullptr && w->shared);
    s.shut_down_when_sent(w);
  };
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == core.owner.runtime_id()) return end(core, w);
  core.add_handle();
  do_where_used(core.owner, [&core, end](worker* there) {
    end(core, there);
    core.drop_handle();
  });
}

// ---- life

stream_core::~stream_core() {
  while (first_ != nullptr) give_back(pop_block());
  if (own_ != nullptr) give_back(*own_);
  if (piece_ != nullptr) give_back(*piece_);
}

void stream_core::stop(worker* w) noexcept {
  if (send_.in_flight() && !senders_.empty()) was_left_ = true;
  if (filter_ != nullptr && filter_->is_established() && !std::exchange(has_ended_output_, true)) {
    filter_->end_output();
    say_last_words();
  }
  readers_.end_all(w, own_side_closed);
  senders_.end_all(w, own_side_closed);
  if (w == nullptr) return;
  // Their worker may take a while to hear of it.
  if (kind_ != kind::other && !quiet()) ::shutdown(descriptor(), SHUT_RDWR);
  receive_.end_early(scheduler_of(*w));
  send_.end_early(scheduler_of(*w));
}

// ---- receiving

bool stream_core::can_read(const reading& r) const noexcept {
  if (!is_open()) return true;
  if (!readers_.empty() && readers_.front() != &r) return false;
  if (r.what == reading::kind::established) return filter_->is_established() || at_end_ || receive_error_ != 0;
  const std::size_t needed = r.what == reading::kind::exactly                  ? r.into.size()
                             : r.what == reading::kind::some && r.into.empty() ? 0
                                                                               : 1;
  return there_ >= needed || at_end_ || receive_error_ != 0;
}

bool stream_core::try_read(reading& r, waiter& as) noexcept {
  if (!can_read(r)) return false;
  r.waits = &as;
  give(r);
  return true;
}

// To one that can_read().
void stream_core::give(reading& r) noexcept {
  r.error = 0;
  r.count = 0;
  r.got = nullptr;
  const auto fail = [&r](int error) {
    r.error = error;
    r.waits->state = progress::failed;
  };
  const auto fail_to_receive = [&] {
    fail(receive_error_);
    // That passes: the bytes are still in the kernel, if no filter has begun with them.
    if (receive_error_ == ENOMEM && filter_ == nullptr) receive_error_ = 0;
  };
  r.waits->state = progress::done;
  if (!is_open()) return fail(own_side_closed);
  switch (r.what) {
    case reading::kind::a_chunk:
      if (there_ != 0) {
        r.got = &pop_block();
      } else if (!at_end_) {
        fail_to_receive();
      }
      break;
    case reading::kind::some:
      if (r.into.empty()) break;
      if (there_ != 0) {
        r.count = std::min(there_, r.into.size());
        copy_out(r.into.data(), r.count);
      } else if (!at_end_) {
        fail_to_receive();
      }
      break;
    case reading::kind::established:
      if (!filter_->is_established()) fail(at_end_ ? ended_early : receive_error_);
      break;
    case reading::kind::exactly:
      if (there_ < r.into.size()) return at_end_ ? fail(ended_early) : fail_to_receive();
      r.count = r.into.size();
      copy_out(r.into.data(), r.count);
      break;
  }
}

void stream_core::begin(reading& r, worker& w) noexcept {
  r.counts = true;
  use();
  readers_.push_back(r);
  receive(scheduler_of(w));
  receive_.feeds(*r.waits->who);
}

void stream_core::end(reading& r) noexcept {
  if (r.is_listed) {
    readers_.remove(r);
    // What is there may be enough for the next, though it was not for this one.
    worker* w = current_worker();
    if (w != nullptr && is_open()) {
      routine_list woken;
      if (serve_readers(*w, woken)) receive(scheduler_of(*w));
      w->wake_besides(woken);
    }
  }
  if (std::exchange(r.counts, false)) disuse();
}

void stream_core::put_back(block& b) noexcept {
  there_ += b.end - b.begin;
  b.next = first_;
  if (first_ == nullptr) last_ = &b;
  first_ = &b;
}

bool stream_core::serve_readers(worker& w, routine_list& woken) noexcept {
  while (reading* r = readers_.front()) {
    if (!can_read(*r)) return true;
    readers_.remove(*r);
    if (!r->waits->who->claim(w.shared)) continue;  // it takes itself out of the uses
    give(*r);
    woken.push_back(*r->waits->who);
  }
  return false;
}

void stream_core::receive(scheduler& w) noexcept {
  if (receive_.in_flight() || !is_open() || at_end_ || receive_error_ != 0 || w.runtime.done()) return;
  // A peer that makes the filter answer and does not read the answers is not read from either, until it does: sent().
  if (filter_ != nullptr && send_.in_flight() && filter_->coded_size() > most_answers) return;
  if (can_borrow_ && !w.driver_->lends_blocks(false)) can_borrow_ = false;
  if (!can_borrow_ && own_ == nullptr) own_ = w.driver_->blocks.take();  // without memory: fill_receive
  receive_.start(w);
}

void stream_core::fill_receive(io_uring_sqe& entry) noexcept {
  // Without memory it waits until there is something, and tries again then.
  if (!can_borrow_ && own_ == nullptr) return ::io_uring_prep_poll_add(&entry, descriptor(), POLLIN);
  void* const to = can_borrow_ ? nullptr : own_->bytes();
  if (kind_ != kind::other) {
    if (incoming_ != nullptr) {
      ::io_uring_prep_recvmsg(&entry, descriptor(), incoming_->receive(to, block::size), MSG_CMSG_CLOEXEC);
    } else {
      ::io_uring_prep_recv(&entry, descriptor(), to, block::size, 0);
    }
    // Without a sign that there is something, the first attempt would be for nothing.
    if (!more_is_there_) entry.ioprio |= IORING_RECVSEND_POLL_FIRST;
  } else {
    ::io_uring_prep_read(&entry, descriptor(), to, block::size, static_cast<__u64>(-1));
  }
  if (can_borrow_) {
    entry.flags |= IOSQE_BUFFER_SELECT;
    entry.buf_group = 0;
  }
}

void stream_core::received(int result, unsigned flags) noexcept {
  scheduler& w = scheduler_of(*current_worker());
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock, w.shared);
    receive_.over();
    accept_answer(result, flags, w);
    if (filter_ != nullptr) serve_senders(w, woken);  // what it has to say to what has come
    if (serve_readers(w, woken)) receive(w);
    last = settle(w);
  }
  while (routine* r = woken.pop_front()) w.push(*r);
  if (last) delete_this();
}

void stream_core::accept_answer(int result, unsigned flags, scheduler& w) noexcept {
  block* b = w.driver_->filled_block(flags);
  if (!can_borrow_ && own_ == nullptr) {
    own_ = w.driver_->blocks.take();
    if (own_ == nullptr) receive_error_ = ENOMEM;
    return;
  }
  if (b == nullptr && result > 0) b = std::exchange(own_, nullptr);
  if (result > 0) {
    b->begin = 0;
    b->end = static_cast<std::uint32_t>(result);
    if (incoming_ != nullptr) b->passed = incoming_->received().release();
    more_is_there_ = (flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
    if (filter_ == nullptr) return append(*b);
    if (!filter_->put_in({b->bytes(), static_cast<std::size_t>(result)})) receive_error_ = ENOMEM;
    give_back(*b);
    return decode_all(w);
  }
  if (b != nullptr) w.driver_->blocks.give_back(*b);
  more_is_there_ = false;
  switch (-result) {
    case 0:
      if (filter_ != nullptr && filter_->is_established()) {
        receive_error_ = not_ended;
      } else {
        at_end_ = true;
      }
      break;
    case ENOBUFS:
      // As many streams at once had something as there were blocks. Where there are no more of them, this one waits
      // with a block of its own.
      if (can_borrow_ && !w.driver_->lends_blocks(true)) can_borrow_ = false;
      more_is_there_ = true;
      break;
    case EINTR:
      more_is_there_ = true;  // it has been waited for, where that was the reason (operation_of)
      break;
    case ECANCELED:  // by a close, or by one that was meant for an earlier receive
    case EAGAIN:
      break;
    default:
      receive_error_ = -result;
  }
}

void stream_core::append(block& b) noexcept {
  b.next = nullptr;
  (last_ != nullptr ? last_->next : first_) = &b;
  last_ = &b;
  there_ += b.end - b.begin;
}

void stream_core::decode_all(scheduler& w) noexcept {
  filter_->advance();
  while (receive_error_ == 0) {
    block* b = w.driver_->blocks.take();
    if (b == nullptr) {
      receive_error_ = ENOMEM;
      break;
    }
    const std::size_t n = filter_->decode({b->bytes(), block::size});
    if (n == 0) {
      w.driver_->blocks.give_back(*b);
      break;
    }
    b->begin = 0;
    b->end = static_cast<std::uint32_t>(n);
    append(*b);
  }
  if (filter_->has_ended()) at_end_ = true;
  if (filter_->error() != nullptr) {
    say_last_words();
    if (receive_error_ == 0) receive_error_ = filter_failed;
    if (send_error_ == 0) send_error_ = filter_failed;
  }
}

// So that the peer knows that nothing is missing, or what is wrong; where there is no room for them, it does not.
void stream_core::say_last_words() noexcept {
  if (!senders_.empty() || send_.in_flight() || send_error_ != 0 || is_cut_) return;
  coded_.clear();
  if (filter_->take_coded(coded_)) ::send(descriptor(), coded_.data(), coded_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool stream_core::set_filter(std::unique_ptr<stream_filter>& filter, scheduler& w) noexcept {
  if (!is_open() || filter_ != nullptr || !readers_.empty() || !senders_.empty() || send_.in_flight()) return false;
  filter_ = std::move(filter);
  block* came = std::exchange(first_, nullptr);
  last_ = nullptr;
  there_ = 0;
  while (came != nullptr) {
    block& b = *std::exchange(came, came->next);
    if (!filter_->put_in({b.bytes() + b.begin, b.end - b.begin})) receive_error_ = ENOMEM;
    give_back(b);
  }
  decode_all(w);
  send_coded(w);
  return true;
}

block& stream_core::pop_block() noexcept {
  block& b = *first_;
  first_ = b.next;
  if (first_ == nullptr) last_ = nullptr;
  there_ -= b.end - b.begin;
  return b;
}

void stream_core::copy_out(std::byte* to, std::size_t n) noexcept {
  while (n != 0) {
    const std::size_t part = std::min<std::size_t>(n, first_->end - first_->begin);
    std::memcpy(to, first_->bytes() + first_->begin, part);
    to += part;
    n -= part;
    first_->begin += static_cast<std::uint32_t>(part);
    there_ -= part;
    if (first_->begin == first_->end) give_back(pop_block());
  }
}

// ---- sending

int stream_core::error_of(const sending& s) const noexcept {
  if (!is_open()) return own_side_closed;
  if (send_error_ != 0) return send_error_;
  if (is_cut_) return cut_short;
  return is_shut_ && s.what == sending::kind::bytes ? own_side_ended : 0;
}

bool stream_core::can_send(const sending& s) const noexcept {
  if (error_of(s) != 0) return true;
  // A filter's last words have to be given to the kernel.
  if (s.what == sending::kind::shutdown && filter_ != nullptr && !has_ended_output_) return false;
  return senders_.empty() && !send_.in_flight() && (s.left == 0 || can_send_at_once(s));
}

bool stream_core::try_send(sending& s, waiter& as, scheduler& w) noexcept {
  if (!can_send(s)) return false;
  s.error = error_of(s);
  if (s.error == 0 && s.left != 0 && !send_at_once(s, w)) return false;
  if (s.error == 0 && s.what == sending::kind::shutdown) shut_down();
  as.state = s.error != 0 ? progress::failed : progress::done;
  return true;
}

bool stream_core::can_send_at_once(const sending& s) const noexcept {
  return s.among_others && !s.was_refused && kind_ == kind::socket && filter_ == nullptr && s.left <= block::size &&
         s.many.size() <= most_pieces_at_once;
}

bool stream_core::send_at_once(sending& s, scheduler& w) noexcept {
  std::array<iovec, most_pieces_at_once> pieces;
  std::size_t count = 0;
  const auto add = [&](std::span<const std::byte> bytes) {
    pieces[count++] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
  };
  if (s.many.empty()) add(s.one);
  for (const auto& each : s.many) add(each);
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = count;
  const ssize_t sent = ::sendmsg(descriptor(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    s.was_refused = errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM;
    if (!s.was_refused) s.error = send_error_ = errno;
    return !s.was_refused;
  }
  // Where the kernel's memory ran out in the middle, the rest is on its way when it has some again.
  for (auto taken = static_cast<std::size_t>(sent); taken != 0;) taken -= next_part(s, taken).size();
  if (s.left == 0) return true;
  if (!gather(s)) {
    is_cut_ = true;
    s.error = ENOMEM;
    return true;
  }
  was_left_ = false;
  send_.start(w);
  return true;
}

void stream_core::begin(sending& s, worker& w) noexcept {
  s.counts = true;
  use();
  senders_.push_back(s);
  routine_list woken;
  serve_senders(w, woken, &s);  // wakes nobody: it is the only one and begins, or waits for its turn
  send_.feeds(*s.waits->who);
}

void stream_core::end(sending& s) noexcept {
  if (s.is_listed) {
    const bool its_turn = senders_.front() == &s && s.has_begun && send_.in_flight() && !was_left_;
    senders_.remove(s);
    if (its_turn) {
      was_left_ = true;
      if (worker* w = current_worker()) send_.end_early(scheduler_of(*w));
    }
  }
  if (std::exchange(s.counts, false)) disuse();
}

void stream_core::serve_senders(worker& w, routine_list& woken, const sending* linked_now) noexcept {
  while (sending* s = senders_.front()) {
    s->error = error_of(*s);
    if (s->error == 0) {
      if (send_.in_flight()) return;
      if (filter_ != nullptr && send_coded(scheduler_of(w))) return;  // what it has to say itself comes first
      // One whose wait another source has claimed leaves when its routine runs: no more of it is to go out.
      const bool is_lost = s != linked_now && !s->waits->who->is_waiting();
      if (s->left != 0 && !is_lost) {
        if (w.runtime.done()) return;
        if (s == linked_now && filter_ != nullptr) {
          // What a filter has encoded has to be sent, or the peer can decode nothing that follows: so it is encoded
          // when the kernel is next given what it is asked for, and nothing of it if the sender has lost by then.
          is_put_off_ = true;
          send_.start(scheduler_of(w));
          return send_.end_early(scheduler_of(w));
        }
        const bool has_memory = gather(*s);
        if (has_memory || !std::exchange(is_put_off_, true)) {
          if (has_memory && !std::exchange(s->has_begun, true)) progress_ = 0;
          was_left_ = false;
          send_.start(scheduler_of(w));
          return;
        }
        is_put_off_ = false;
        s->error = ENOMEM;
        if (s->has_begun) is_cut_ = true;
      } else if (s->what == sending::kind::shutdown && !is_lost) {
        if (filter_ != nullptr && !std::exchange(has_ended_output_, true)) {
          filter_->end_output();
          continue;
        }
      }
    }
    senders_.remove(*s);
    if (!s->waits->who->claim(w.shared)) {
      if (s->has_begun) note_loss();
      continue;
    }
    if (s->error == 0 && s->what == sending::kind::shutdown) shut_down();
    s->waits->state = s->error != 0 ? progress::failed : progress::done;
    woken.push_back(*s->waits->who);
  }
  if (!send_.in_flight() && filter_ != nullptr) send_coded(scheduler_of(w));
  if (!send_.in_flight()) {
    is_put_off_ = false;
    if (outgoing_ != nullptr) outgoing_->going.reset();
    if (piece_ != nullptr) give_back(*std::exchange(piece_, nullptr));
    if (shut_when_sent_) shut_down();
  }
}

bool stream_core::send_coded(scheduler& w) noexcept {
  if (is_cut_ || send_error_ != 0) {
    filter_->drop_coded();  // it goes on answering to what is received
    return false;
  }
  coded_.clear();
  if (!filter_->take_coded(coded_)) {
    send_error_ = ENOMEM;
    return false;
  }
  if (coded_.empty() || w.runtime.done()) return false;
  is_put_off_ = false;
  in_flight_ = coded_.data();
  in_flight_size_ = coded_.size();
  send_.start(w);
  return true;
}

// The next of its bytes, that many at the most, which count as given to the kernel. None of a piece that is empty.
std::span<const std::byte> stream_core::next_part(sending& s, std::size_t most) noexcept {
  const std::span<const std::byte> rest = (s.many.empty() ? s.one : s.many[s.index]).subspan(s.offset);
  const std::span<const std::byte> part = rest.first(std::min(most, rest.size()));
  s.offset += part.size();
  s.left -= part.size();
  if (part.size() == rest.size()) {
    ++s.index;
    s.offset = 0;
  }
  return part;
}

bool stream_core::gather(sending& s) noexcept {
  if (filter_ != nullptr) {
    coded_.clear();
    for (std::size_t wanted = std::min(most_at_once, s.left); wanted != 0;) {
      const auto part = next_part(s, wanted);
      if (!part.empty()) filter_->encode(part);
      wanted -= part.size();
    }
    if (!filter_->take_coded(coded_)) return false;
    in_flight_ = coded_.data();
    in_flight_size_ = coded_.size();
    is_put_off_ = false;
    return true;
  }
  if (s.left > block::size && (piece_ == nullptr || piece_->room == block::size)) {
    if (block* const big = block_pool::allocate(most_at_once)) {
      if (piece_ != nullptr) give_back(*piece_);
      piece_ = big;
    }
  }
  if (piece_ == nullptr) piece_ = scheduler_of(*current_worker()).driver_->blocks.take();
  if (piece_ == nullptr) return false;
  std::byte* to = piece_->bytes();
  if (outgoing_ != nullptr && !s.has_begun) outgoing_->going = s.passed;
  in_flight_ = to;
  in_flight_size_ = std::min<std::size_t>(piece_->room, s.left);
  for (std::size_t wanted = in_flight_size_; wanted != 0;) {
    const auto part = next_part(s, wanted);
    if (!part.empty()) std::memcpy(to, part.data(), part.size());
    to += part.size();
    wanted -= part.size();
  }
  is_put_off_ = false;
  return true;
}

void stream_core::fill_send(io_uring_sqe& entry) noexcept {
  if (is_put_off_) {
    ::io_uring_prep_nop(&entry);
  } else if (outgoing_ != nullptr && outgoing_->going != nullptr) {
    ::io_uring_prep_sendmsg(&entry, descriptor(), outgoing_->send(in_flight_, in_flight_size_),
                            MSG_NOSIGNAL | MSG_WAITALL);
  } else if (kind_ != kind::other) {
    ::io_uring_prep_send(&entry, descriptor(), in_flight_, in_flight_size_, MSG_NOSIGNAL | MSG_WAITALL);
  } else {
    ::io_uring_prep_write(&entry, descriptor(), in_flight_, static_cast<unsigned>(in_flight_size_),
                          static_cast<__u64>(-1));
  }
}

void stream_core::sent(int result, unsigned) noexcept {
  scheduler& w = scheduler_of(*current_worker());
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock, w.shared);
    send_.over();
    if (!is_put_off_) note_sent(result);
    if (is_open() && send_error_ == 0 && !is_cut_ && !is_put_off_ && in_flight_size_ != 0 && !w.runtime.done()) {
      send_.start(w);  // the rest
    } else {
      serve_senders(w, woken);
      if (!readers_.empty()) receive(w);  // which may have waited for the filter's answers to be sent
    }
    last = settle(w);
  }
  while (routine* r = woken.pop_front()) w.push(*r);
  if (last) delete_this();
}

// Leaves in `in_flight_size_` what is to be sent again: none if its sender has gone.
void stream_core::note_sent(int result) noexcept {
  if (result > 0) {
    in_flight_ += result;
    in_flight_size_ -= static_cast<std::size_t>(result);
    progress_ += static_cast<std::size_t>(result);
    if (outgoing_ != nullptr) outgoing_->going.reset();  // with the first of the bytes
  } else if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    send_error_ = -result;
  }
  if (!std::exchange(was_left_, false)) return;
  note_loss();
  in_flight_size_ = 0;
}

// If all of it has gone out, too: whoever sent it believes that nothing has.
void stream_core::note_loss() noexcept {
  if (progress_ != 0 || filter_ != nullptr) is_cut_ = true;
}

void stream_core::shut_down() noexcept {
  shut_when_sent_ = false;
  if (std::exchange(is_shut_, true)) return;
  // Of a connection that is gone already there is nothing to shut down.
  if (kind_ != kind::other) ::shutdown(descriptor(), SHUT_WR);
}

void stream_core::shut_down_when_sent(worker* w) noexcept {
  if (!is_open()) return;
  shut_when_sent_ = true;
  if (w != nullptr && (!senders_.empty() || send_.in_flight())) return;
  shut_down();
}

}  // namespace ringo::detail
