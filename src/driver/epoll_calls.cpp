#include "driver/epoll_calls.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include <ringo/detail/checked.hpp>

#include "driver/attempt.hpp"

namespace ringo::detail {
namespace {

using place = begun_call::place;

// After so many attempts in vain, each after an event, a call pauses before the next: the event says nothing about it
// (a socket's queue of errors, for example), and epoll would report it again at once.
constexpr int most_attempts_in_vain = 16;
constexpr duration pause_in_vain = std::chrono::milliseconds(1);
// The kernel was out of memory for a registration, or has no event for what a send waits for.
constexpr duration pause_without_event = std::chrono::milliseconds(5);

}  // namespace

void epoll_calls::submit(kernel_request& r) noexcept {
  in_flight_.store(in_flight() + 1, std::memory_order_relaxed);
  kernel_call call;
  fill(r, call);
  r.position = 0;
  const bool waits = table_.is_known_empty(call);
  if (waits && table_.wait_idle(r, call)) return waits_.store(true, std::memory_order_release);
  begun_call* const c = record(r);
  if (c == nullptr) return keep_unrecorded(r, kernel_request::unrecorded::starved);
  c->call = call;
  if (waits) {
    table_.wait(*c);
    waits_.store(true, std::memory_order_release);
    return;
  }
  asks_.store(true, std::memory_order_relaxed);
  c->where = place::submitted;
  submitted_.push_back(*c);
  ++submitted_count_;
}

// Null if there is no memory.
begun_call* epoll_calls::record(kernel_request& r) noexcept {
  begun_call* const c = calls_.take();
  r.record = c;
  if (c == nullptr) return nullptr;
  c->request = &r;
  c->has_connected = false;
  c->in_vain = 0;
  return c;
}

void epoll_calls::keep_unrecorded(kernel_request& r, kernel_request::unrecorded as) noexcept {
  asks_.store(true, std::memory_order_relaxed);
  r.stage = as;
  unrecorded_.push_back(r);
}

void epoll_calls::end_early(kernel_request& r) noexcept {
  if (r.record == nullptr) {
    if (r.stage == kernel_request::unrecorded::is_ready) r.stage = kernel_request::unrecorded::ended;
    if (r.stage != kernel_request::unrecorded::waits) return;
    kernel_call call;
    r.fill(call);
    table_.stop_waiting_idle(call.descriptor);
    return keep_unrecorded(r, kernel_request::unrecorded::ended);
  }
  begun_call& c = *static_cast<begun_call*>(r.record);
  switch (c.where) {
    case place::submitted:
      submitted_.remove(c);
      --submitted_count_;
      break;
    case place::on_descriptor:
      table_.stop_waiting(c);
      break;
    case place::pausing:
      pauses_.remove(c);
      break;
    case place::tried_next:
      ready_.remove(c);
      break;
    case place::on_thread:
      if (threads_->withdraw(c)) break;
      interrupts_ = true;
      return;
    default:
      return;
  }
  keep_answer(c, {.result = -ECANCELED});
}

void epoll_calls::complete(kernel_request& r, const kernel_answer& answer) noexcept {
  driver::answer(r, answer);
  // release: a thread that sees 0 in flight sees what the completion has made ready.
  in_flight_.store(in_flight() - 1, std::memory_order_release);
}
void epoll_calls::complete(begun_call& c, const kernel_answer& answer) noexcept {
  kernel_request& r = *c.request;
  r.record = nullptr;
  calls_.give_back(c);
  complete(r, answer);
}
void epoll_calls::keep_answer(begun_call& c, const kernel_answer& answer) noexcept {
  asks_.store(true, std::memory_order_relaxed);
  c.answer = answer;
  if (buffer* const lent = std::exchange(c.lent, nullptr)) {
    answer.result > 0 ? void(c.answer.filled = lent) : buffers.give_back(*lent);
  }
  c.where = place::answered;
  answered_.push_back(c);
}

bool epoll_calls::serve() noexcept {
  bool any = give_answers();
  if (threads_->has_done()) any = take_done() || any;
  if (interrupts_) [[unlikely]]
    interrupts_ = threads_->interrupt();
  if (!pauses_.empty()) any = end_pauses() || any;
  if (!ready_.empty()) any = try_ready() || any;
  if (!unrecorded_.empty()) any = go_on_unrecorded() || any;
  if (submitted_count_ != 0) any = begin_submitted() || any;
  tell_others();
  if (checked_build) check();
  return any;
}

bool epoll_calls::give_answers() noexcept {
  begun_list these = std::exchange(answered_, {});
  const bool any = !these.empty();
  while (!these.empty()) {
    begun_call& c = these.pop_front();
    complete(c, c.answer);
  }
  return any;
}

bool epoll_calls::take_done() noexcept {
  begun_list done = threads_->take_done();
  const bool any = !done.empty();
  while (!done.empty()) {
    begun_call& c = done.pop_front();
    keep_answer(c, c.answer);
  }
  return any && give_answers();
}

bool epoll_calls::end_pauses() noexcept {
  bool any = false;
  for (const time_point time = now(); !pauses_.empty() && pauses_.first_due() <= time;) {
    begun_call& c = pauses_.pop_first();
    if (c.call.what == kernel_call::kind::pause) {
      complete(c, {.result = -ETIME});
      any = true;
    } else {
      c.where = place::tried_next;
      ready_.push_back(c);
    }
  }
  return any;
}

// Those that were submitted before: a completion may submit again, also the same request.
bool epoll_calls::begin_submitted() noexcept {
  bool any = false;
  for (std::size_t left = submitted_count_; left != 0 && submitted_count_ != 0; --left) {
    begun_call& c = submitted_.pop_front();
    --submitted_count_;
    kernel_answer answer;
    if (!begin(c, answer)) continue;
    complete(c, answer);
    any = true;
  }
  return any;
}

bool epoll_calls::go_on_unrecorded() noexcept {
  bool any = false;
  for (request_backlog these = std::exchange(unrecorded_, {}); !these.empty();) {
    kernel_request& r = *these.front();
    these.pop_front();  // before the call, which may submit it again
    if (r.stage == kernel_request::unrecorded::is_ready) {
      any = try_unrecorded(r) || any;
    } else {
      complete(r, {.result = r.stage == kernel_request::unrecorded::ended ? -ECANCELED : -ENOMEM});
      any = true;
    }
  }
  return any;
}

bool epoll_calls::try_unrecorded(kernel_request& r) noexcept {
  kernel_call call;
  r.fill(call);
  kernel_answer answer;
  if (try_now(call, false, answer) == attempted::answered) {
    complete(r, answer);
    return true;
  }
  if (r.position < most_attempts_in_vain) ++r.position;
  if (r.position < most_attempts_in_vain && table_.wait_idle(r, call)) return false;
  pause_unrecorded(r, pause_in_vain);
  return false;
}

void epoll_calls::pause_unrecorded(kernel_request& r, duration length) noexcept {
  begun_call* const c = record(r);
  if (c == nullptr) return keep_unrecorded(r, kernel_request::unrecorded::starved);
  r.fill(c->call);
  c->in_vain = most_attempts_in_vain;
  pause(*c, length);
}

// Whether it is answered.
bool epoll_calls::begin(begun_call& c, kernel_answer& answer) noexcept {
  using kind = kernel_call::kind;
  kernel_call& call = c.call;
  if (call.what == kind::nothing) return true;
  attempted how = attempted::must_wait;
  if (call.what == kind::pause) {
    const auto& length = *static_cast<const pause_length*>(call.from);
    pause(c, delay(std::chrono::seconds(length.seconds) + std::chrono::nanoseconds(length.nanoseconds)).value());
    return false;
  }
  if (call.what == kind::close) {
    table_.forget(call.descriptor);
    if (!may_wait_to_close(call.descriptor)) {
      answer.result = carry_out(call);
      return true;
    }
    how = attempted::needs_thread;
  } else if (call.what >= kind::sync) {
    how = attempted::needs_thread;
  } else {
    answer.result = -table_.prepare(call);
    if (answer.result != 0) return true;
    if (table_.is_worth_trying(call)) how = try_now(call, false, answer);
    if (how == attempted::answered) return true;
    c.has_connected = call.what == kind::connect;
  }
  go_on(c, how);
  return false;
}

attempted epoll_calls::try_now(kernel_call& call, bool has_connected, kernel_answer& answer) noexcept {
  const attempted how = attempt(call, has_connected, buffers, answer);
  if (how != attempted::needs_thread) table_.note(call, how == attempted::answered ? &answer : nullptr);
  return how;
}

void epoll_calls::go_on(begun_call& c, attempted how) noexcept {
  if (how == attempted::needs_thread) return give_to_thread(c);
  if (c.in_vain >= most_attempts_in_vain) return pause(c, pause_in_vain);
  if (has_no_event(c.call)) return pause(c, pause_without_event);
  if (!table_.wait_idle(*c.request, c.call)) return table_.wait(c);
  c.request->record = nullptr;
  c.request->position = c.in_vain;
  calls_.give_back(c);
}

void epoll_calls::give_to_thread(begun_call& c) noexcept {
  if (c.call.lends) {
    c.lent = buffers.take();
    if (c.lent == nullptr) return keep_answer(c, {.result = -ENOBUFS});
    put_in(c.call, *c.lent);
  }
  threads_->add(c);
}

void epoll_calls::pause(begun_call& c, duration length) noexcept {
  const time_point time = now();
  if (!pauses_.add(c, length > time_point::max() - time ? time_point::max() : time + length)) {
    keep_answer(c, {.result = -ENOMEM});
  }
}

bool epoll_calls::try_ready() noexcept {
  bool any = false;
  while (!ready_.empty()) {
    begun_call& c = ready_.pop_front();
    kernel_answer answer;
    const attempted how = try_now(c.call, c.has_connected, answer);
    if (how == attempted::answered) {
      complete(c, answer);
      any = true;
    } else {
      if (c.in_vain < most_attempts_in_vain) ++c.in_vain;
      go_on(c, how);
    }
  }
  return any;
}

void epoll_calls::prepare_to_look() noexcept {
  if (!table_.has_to_arm()) return;
  begun_list refused;
  request_backlog idle_refused;
  table_.arm(refused, idle_refused);
  while (!idle_refused.empty()) {
    kernel_request& r = *idle_refused.front();
    idle_refused.pop_front();
    pause_unrecorded(r, pause_without_event);
    // No attempt was in vain: the next one may wait for an event again.
    if (r.record != nullptr) static_cast<begun_call*>(r.record)->in_vain = static_cast<std::uint8_t>(r.position);
  }
  while (!refused.empty()) {
    begun_call& c = refused.pop_front();
    const int error = -c.answer.result;
    kernel_answer answer;
    const attempted how = try_now(c.call, c.has_connected, answer);
    if (how == attempted::answered) {
      keep_answer(c, answer);
    } else if (how == attempted::needs_thread || error == EPERM) {
      give_to_thread(c);  // epoll does not watch files on a disk
    } else {
      pause(c, pause_without_event);
    }
  }
  tell_others();
}

void epoll_calls::tell_others() noexcept {
  asks_.store(
      submitted_count_ != 0 || !unrecorded_.empty() || !answered_.empty() || !ready_.empty() || table_.has_to_arm(),
      std::memory_order_relaxed);
  waits_.store(table_.waiting() != 0, std::memory_order_release);
}

void epoll_calls::check() noexcept {
  std::size_t counted = calls_.used() + table_.waiting_idle();
  for (const kernel_request* r = unrecorded_.front(); r != nullptr; r = r->next) ++counted;
  invariant(counted == in_flight(), "a request in flight has one begun_call, or is idle, or in the list of those");
  for (const begun_call* c = answered_.front(); c != nullptr; c = c->next) {
    invariant(c->where == place::answered, "the list of answers has calls with an answer only");
  }
  if (table_.waiting() < 256 || ++checks_ % 256 == 0) table_.check();
}

}  // namespace ringo::detail
