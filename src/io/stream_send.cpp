// The sending direction of a stream (stream_core.hpp).
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "io/stream_core.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

// Bytes that are copied, and given to the kernel, at once. So many make the system call small beside the copy; the lock
// is held for some 10 us.
constexpr std::size_t most_at_once = 128 * 1024;

// From so many bytes on, a system call of the routine's own is cheaper than a copy of them for the ring.
constexpr std::size_t dear_to_copy = 8 * 1024;

bool is_of_connection(int error) noexcept {
  return error == ECONNRESET || error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH;
}

}  // namespace

std::span<const std::byte> sending::next_part(std::size_t most) noexcept {
  const std::span<const std::byte> rest = (many.empty() ? one : many[index]).subspan(offset);
  const std::span<const std::byte> part = rest.first(std::min(most, rest.size()));
  offset += part.size();
  left -= part.size();
  if (part.size() == rest.size()) {
    ++index;
    offset = 0;
  }
  return part;
}

int stream_core::error_of(const sending& s) const noexcept {
  return send_error_ == own_side_ended && s.what == sending::kind::shutdown ? 0 : send_error_;
}

bool stream_core::can_send(const sending& s) const noexcept {
  if (error_of(s) != 0) return true;
  if (turn_ != turn::free) return false;
  // The filter's last words go first.
  if (s.what == sending::kind::shutdown) return filter_ == nullptr || filter_->has_ended_output;
  return s.left == 0 || can_send_at_once(s);
}

bool stream_core::can_send_at_once(const sending& s) const noexcept {
  return has_room_ && kind_ == kind::socket && filter_ == nullptr && s.left <= buffer::size &&
         s.many.size() <= most_pieces &&
         (s.in_select || s.left >= dear_to_copy || scheduler_of(*current_worker()).driver_->makes_calls);
}

void stream_core::begin_sending(sending& s, scheduler& w) noexcept {
  if ((turn_ != turn::free && !s.goes_first) || w.runtime.done()) return;
  s.goes_first = false;
  // All that the filter encodes has to be sent, or the peer cannot decode what follows. So the filter encodes after the
  // next submission to the kernel, and only if the sender has not lost by then.
  if (filter_ != nullptr) {
    put_off(w);
    return send_.end_early(w);
  }
  if (!has_memory_for(s)) return put_off(w);
  send(gather(s), turn::sends, w);
}

void stream_core::put_off(scheduler& w) noexcept {
  turn_ = turn::put_off;
  send_.start(w, waiting(io_side::out));
}

void stream_core::send(std::span<const std::byte> bytes, turn of, scheduler& w) noexcept {
  in_flight_ = bytes.data();
  in_flight_size_ = bytes.size();
  turn_ = of;
  send_.start(w, waiting(io_side::out));
}

void stream_core::serve_senders(section& here) noexcept {
  scheduler& w = *here.on();
  wait_queue& senders = waiting(io_side::out);
  while (waiter* const first = senders.front()) {
    auto& s = static_cast<sending&>(*first);
    int error = error_of(s);
    const bool is_sent = s.has_begun && s.left == 0 && turn_ == turn::free && filter_ == nullptr;
    if (error == 0 && !is_sent) {
      if (turn_ != turn::free) return;
      if (filter_ != nullptr && send_coded(w)) return;  // its own words come first
      if (s.left != 0 && s.blocked->is_waiting()) {     // no bytes of a sender that another source has woken
        if (w.runtime.done()) return;
        if (has_memory_for(s)) return filter_ == nullptr ? send(gather(s), turn::sends, w) : void();
        error = ENOMEM;
        if (s.has_begun) fail_to_send(cut_short);
      } else if (filter_sender() != nullptr) {
        return;
      }
    }
    senders.pop_front(s);
    if (!s.blocked->claim(w.shared)) {
      if (s.has_begun) note_loss();
      continue;
    }
    if (error == 0 && is_sent) [[likely]] {
      s.acts = false;  // as give_or_refuse() and give_turn(), in short
      s.failure = 0;
      here.wake(s, progress::done);
      continue;
    }
    error != 0 ? refuse(s, error) : give_or_refuse(s);
    here.wake(*s.blocked);
  }
  if (turn_ == turn::free && filter_ != nullptr) send_coded(w);
  if (turn_ != turn::free) return;
  if (piece_ != nullptr) w.driver_->buffers.give_back(*std::exchange(piece_, nullptr));
}

sending* stream_core::filter_sender() noexcept {
  if (filter_ == nullptr || turn_ != turn::free || !filter_->coded.empty() || send_error_ != 0) return nullptr;
  waiter* const first = waiting(io_side::out).front();
  if (first == nullptr || !first->blocked->is_waiting() || current_worker()->runtime.done()) return nullptr;
  auto& s = static_cast<sending&>(*first);
  const bool has_work =
      s.what == sending::kind::shutdown ? !filter_->has_ended_output : s.left != 0 && piece_ != nullptr;
  return has_work ? &s : nullptr;
}

bool stream_core::send_coded(scheduler& w) noexcept {
  filtering& f = *filter_;
  if (!may_flush()) f.coded.clear();  // the filter still answers to what is received
  if (f.coded.empty() || !is_open() || w.runtime.done()) return false;
  std::swap(f.in_flight, f.coded);
  f.coded.clear();
  const waiter* const first = waiting(io_side::out).front();
  const bool is_of_first = first != nullptr && static_cast<const sending&>(*first).has_begun;
  send(f.in_flight, is_of_first ? turn::sends : turn::rest, w);
  return true;
}

bool stream_core::has_memory_for(const sending& s) noexcept {
  if (s.left > buffer::size && (piece_ == nullptr || piece_->room == buffer::size)) {
    if (buffer* const big = buffer_pool::allocate(most_at_once)) {
      if (piece_ != nullptr) give_back(*piece_);
      piece_ = big;
    }
  }
  if (piece_ == nullptr) piece_ = scheduler_of(*current_worker()).driver_->buffers.take();
  return piece_ != nullptr;
}

std::span<const std::byte> stream_core::gather(sending& s) noexcept {
  if (!std::exchange(s.has_begun, true)) {
    progress_ = 0;
    if (outgoing_ != nullptr) outgoing_->going = s.passed;
  }
  const std::size_t size = std::min<std::size_t>(piece_->room, s.left);
  std::byte* to = piece_->bytes();
  if (s.many.empty()) {
    std::memcpy(to, s.one.data() + s.offset, size);
    s.offset += size;
    s.left -= size;
    return {to, size};
  }
  for (std::size_t wanted = size; wanted != 0;) {
    const auto part = s.next_part(wanted);
    if (!part.empty()) std::memcpy(to, part.data(), part.size());
    to += part.size();
    wanted -= part.size();
  }
  return {piece_->bytes(), size};
}

void stream_core::fill_send(kernel_call& call) noexcept {
  if (turn_ == turn::put_off) {
    call.set_nothing();
  } else if (outgoing_ != nullptr && outgoing_->going) {
    call.set_send(descriptor(), *outgoing_->send(in_flight_, in_flight_size_), MSG_NOSIGNAL | MSG_WAITALL);
  } else if (kind_ != kind::other) {
    call.set_send(descriptor(), in_flight_, in_flight_size_, MSG_NOSIGNAL | MSG_WAITALL);
  } else {
    call.set_write(descriptor(), in_flight_, in_flight_size_, kernel_call::current_position);
    call.needs_thread = waits_when_ready_;
  }
}

void stream_core::sent(const kernel_answer& answer) noexcept {
  const int result = answer.result;
  bool in_turn, shuts_down;
  shared<passed_descriptors> gone;  // if its sender has gone, too, they are closed here, without the lock
  {
    section here(*this);
    send_.over();
    const bool goes_on = note_sent(result) && !here.on()->runtime.done();
    if (outgoing_ != nullptr && (result > 0 || !goes_on)) gone = std::exchange(outgoing_->going, {});  // with a byte
    if (goes_on) return send_.start(*here.on(), waiting(io_side::out));
    turn_ = turn::free;
    serve_end(here);
    if (filter_ == nullptr) [[likely]] {
      serve_senders(here);
      in_turn = false;
    } else {
      in_turn = go_on(here);
    }
    shuts_down = begin_shutdown();
  }
  if (in_turn) run_filter(current_worker());
  if (shuts_down) finish_shutdown();
}

bool stream_core::note_sent(int result) noexcept {
  if (turn_ == turn::put_off) return false;
  if (result > 0) {
    current_worker()->counts.bytes_sent.add(result);
    in_flight_ += result;
    in_flight_size_ -= static_cast<std::size_t>(result);
    progress_ += static_cast<std::size_t>(result);
    has_room_ = in_flight_size_ == 0;
  } else if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    note_error(-result);
  }
  if (turn_ == turn::left) note_loss();
  return turn_ != turn::left && is_open() && may_flush() && in_flight_size_ != 0;
}

// The same if all bytes have gone out: the sender believes that none have.
void stream_core::note_loss() noexcept {
  if (progress_ != 0 || filter_ != nullptr) fail_to_send(cut_short);
}

// If some bytes of a send have gone out before a reset, io_uring takes the error, and answers the number of bytes; the
// next send is told EPIPE.
void stream_core::note_error(int error) noexcept {
  fail_to_send(error);
  if (kind_ == kind::other) return;
  worker* const w = current_worker();
  if (is_of_connection(error)) {
    broken_ = static_cast<std::uint8_t>(error);
  } else if (error == EPIPE && kind_ == kind::socket && !has_room_ && w != nullptr &&
             !scheduler_of(*w).driver_->makes_calls) {
    broken_ = ECONNRESET;
  }
}

void stream_core::leave_sending(sending& s) noexcept {
  if (std::exchange(s.goes_first, false)) turn_ = turn::free;
  if (!s.has_begun) return;
  if (turn_ != turn::sends && turn_ != turn::encodes) return note_loss();
  turn_ = turn::left;
  if (worker* w = current_worker()) send_.end_early(scheduler_of(*w));
}

}  // namespace ringo::detail
