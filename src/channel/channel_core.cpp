#include <ringo/detail/channel_core.hpp>
#include <ringo/detail/channel_operation.hpp>

#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/parking.hpp"

namespace ringo::detail {

std::size_t checked_capacity(std::size_t capacity, std::size_t value_size) {
  // Half of the address space is what the standard containers hold; a negative number that became a size is beyond it.
  const std::size_t most = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()) / value_size;
  if (capacity > most) {
    throw std::length_error("ringo: a channel of capacity " + std::to_string(capacity) + ": at most " +
                            std::to_string(most) + " values of this size can be held (was it a negative number?)");
  }
  return capacity;
}

namespace {

// Under the lock: false means that a commit would find nothing. That needs no call of the operation's.
bool looks_ready(const channel_core& core, bool receives) noexcept {
  return receives ? core.looks_receivable() : core.looks_sendable();
}

}  // namespace

bool begin_otherwise(untyped_operation o, worker& w, channel_core* core, const char* call, bool receives) {
  try {
    if (core != nullptr) core->enter(&w, call);
  } catch (...) {
    return refuse(o, w, std::current_exception());
  }
  if (w.current->is_cancelled()) [[unlikely]]
    return refuse_cancelled(o, w);
  if (core == nullptr) return false;
  if (!w.shared) return commit(o, w) && w.turn_lasts();
  const bool committed = commit_under(&core->lock, w, [&](routine*& woken) {
    const bool done = looks_ready(*core, receives) && o.its->commit(o.of, w, true, woken);
    if (checked_build || w.simulated) [[unlikely]]
      core->check();
    return done;
  });
  return committed && w.turn_lasts();
}

// As park_locked(), without calls by the table.
std::coroutine_handle<> park_at(untyped_operation o, waiter& as, channel_core* core, bool receives,
                                std::coroutine_handle<> coroutine) {
  worker& w = *current_worker();
  if (core == nullptr) return park_locked(o, w, coroutine);
  routine& r = *w.current;
  r.resume_at = coroutine;
  const auto commits = [&](routine*& woken) {
    return looks_ready(*core, receives) && o.its->commit(o.of, w, true, woken);
  };
  const auto link = [&] {
    as.blocked = &r;
    as.state = progress::waiting;
    (receives ? core->receivers : core->senders).push_back(as);
    if constexpr (checked_build) core->check();
  };
  return park_under(o, w, r, &core->lock, commits, link) ? w.switch_away() : coroutine;
}

progress attempt_otherwise(untyped_operation o, worker& w, channel_core* core, const char* call) {
  if (core == nullptr) return progress::idle;
  core->enter(&w, call);
  (void)commit(o, w);
  return o.state();
}

void throw_send_on_closed() { throw channel_closed("ringo: send on a closed channel"); }
void throw_not_resumed_at_once() {
  throw std::logic_error(
      "ringo: an await of a channel was ready, and other code used the channel before the await was resumed: call "
      "await_resume() directly after an await_ready() that returns true");
}
void throw_close_of_nil() { throw channel_closed("ringo: close of a nil channel"); }

void block_until(channel_core* core, const char* call, const std::function<progress(bool, routine*&)>& attempt,
                 const std::function<task<void>()>& operation, std::source_location where) {
  const auto attempt_unused = [&](bool used) {
    if (!used && !core->closed()) return false;
    routine* woken = nullptr;
    switch (attempt(false, woken)) {
      case progress::done:
        return true;
      case progress::closed:
        if (call == std::string_view("send_blocking")) throw_send_on_closed();
        return true;
      case progress::failed:
        std::rethrow_exception(core->error);
      default:
        return false;
    }
  };
  block_until(core != nullptr ? &core->owner : nullptr, call, attempt_unused, operation, where);
}

channel_core::channel_core(std::size_t capacity_of) noexcept : limit(capacity_of), capacity_(capacity_of) {}

void channel_core::close(std::exception_ptr with) {
  worker* w = current_worker();
  if (w != nullptr) owner.enter(w, "close");
  if (closing_.exchange(true, std::memory_order_acq_rel)) {
    throw channel_closed("ringo: close of a closed channel (" + name() + ")");
  }
  w != nullptr ? close_here(w, std::move(with)) : close_from_outside(with);
}

bool channel_core::try_close(std::exception_ptr with) {
  worker* w = current_worker();
  if (w != nullptr) owner.enter(w, "try_close");
  if (closing_.exchange(true, std::memory_order_acq_rel)) return false;
  w != nullptr ? close_here(w, std::move(with)) : close_from_outside(with);
  return true;
}

// From a thread that is no worker: a worker of the runtime that uses the channel does it, or, if there is none, this
// thread.
void channel_core::close_from_outside(const std::exception_ptr& with) {
  retain();
  try {
    do_where_used(owner, [this, with](worker* w) {
      close_here(w, with);
      release();
    });
  } catch (...) {  // there is no memory to post it: another close may come
    closing_.store(false, std::memory_order_release);
    release();
    throw;
  }
}

void channel_core::close_here(worker* w, std::exception_ptr with) noexcept {
  section_of here(*this, w);
  error = std::move(with);
  end(here);
  here.end_behind_queue();
}

void delete_channel(channel_core* core) noexcept { delete core; }

// Takes all waiters out as closed, or as failed.
void channel_core::wake_all(section& in) noexcept {
  while (waiter* const receiver = receivers.take_open(in.shared(), detach_lost{*this})) {
    receiver->state = progress::closed;
    if (error) fail_receiver(*receiver);
    in.wake(*receiver->blocked);
  }
  senders.claim_all(in, progress::closed, detach_lost{*this});
}

void channel_core::end(section& in) noexcept {
  closed_.store(true, std::memory_order_release);  // closed() without the lock sees what came before
  limit = 0;
  wake_all(in);
}

void channel_core::last_handle_gone() noexcept {
  // acquire, here and in the exchange: what the feeder did to the channel is done before the channel goes.
  if (feeder_.load(std::memory_order_acquire) != nullptr) {
    handles_.set(2);  // the feeder's and this call's, before the feeder can know of it
    if (channel_feeder* const feeder = feeder_.exchange(nullptr, std::memory_order_acq_rel)) {
      feeder->nobody_receives(*this);
      return release();
    }
    handles_.set(0);  // the feeder has ended in between: this call is the last user
  }
  worker* w = current_worker();
  if (w == nullptr || w->runtime_id != owner.runtime_id()) {
    // Routines of its runtime may wait here: one of its workers must wake them.
    if (owner.runtime_id() != 0 && post(owner.runtime_id(), [this](worker* there) { end_here(there); })) return;
    return end_here(nullptr);
  }
  end_here(w);
}

void channel_core::end_here(worker* w) noexcept {
  section_of here(*this, w);
  end(here);
  note_end();
  here.end_behind_queue();
}

void channel_core::check() const {
  const std::size_t filled = size();
  invariant(filled <= capacity_, "a channel holds at most as many values as its capacity");
  invariant(first < capacity_ || (first == 0 && capacity_ == 0), "the oldest value has a place in the buffer");
  invariant(limit == (closed() ? 0 : capacity_), "a channel's limit is its capacity, and 0 once it is closed");
  invariant(!closed() || closing_.load(std::memory_order_relaxed) || ended() || handles_.value() == 0,
            "a channel is closed by a close() or by its last handle");
  receivers.check();
  senders.check();
  const waiter* const receiver = receivers.first_open();
  const waiter* const sender = senders.first_open();
  invariant(!closed() || (receiver == nullptr && sender == nullptr), "no routine waits at a closed channel");
  invariant(receiver == nullptr || filled == 0, "a receiver waits only while the buffer is empty");
  invariant(sender == nullptr || filled == capacity_, "a sender waits only while the buffer is full");
  invariant(receiver == nullptr || sender == nullptr || receiver->blocked == sender->blocked,
            "a receiver and a sender wait at once only if they are cases of one select");
  invariant(!ended() || handles_.value() == 0, "a channel ends with its last handle");
}

void channel_core::append_to(wait_report& report) const {
  report += reported_object{.at = this,
                            .kind = "channel",
                            .state = "capacity " + std::to_string(capacity_) + (closed() ? ", closed" : ", open"),
                            .length = size(),
                            .capacity = capacity_,
                            .handles = feeder() != nullptr ? reported_object::unknown : handles_.value()};
}

std::string channel_core::name() const {
  wait_report report;
  append_to(report);
  return report.text();
}

}  // namespace ringo::detail
