#include <ringo/detail/permit_core.hpp>

#include <optional>
#include <stdexcept>

#include <ringo/detail/foreign_threads.hpp>

namespace ringo::detail {

void throw_nothing_held(const char* call) {
  throw std::logic_error(std::string("ringo: ") + call +
                         ", which holds nothing: it was moved from or emptied before, or what it was of has been "
                         "destroyed");
}

void end_of(permit_core*& core) noexcept { end_of<permit_core>(core, permit_core::kind::mutex, std::size_t{0}); }

std::coroutine_handle<> permit_request::try_in_next_turn(worker& w) noexcept {
  routine& r = *w.current;
  blocked = &r;
  r.parked = this;
  try_again = [](parked_operation& p, worker& there) {
    auto& self = static_cast<permit_request&>(static_cast<operation&>(p));
    routine& of = *self.blocked;
    if (of.is_cancelled()) {  // await_resume tells
      note_cancelled(self);
      self.set_state(progress::refused);
      return true;
    }
    return self.commit_alone(there) || !self.park_alone(there, of);
  };
  r.resumed_as = routine::kind::tries_again;
  w.push(r);
  return w.switch_away();
}

// A request for more than there is waits for its routine's cancellation only, and holds up no other waiter (semantics
// 128).
wait_queue& permit_core::queue_of(const waiter& w) noexcept {
  return static_cast<const permit_request&>(w).amount_ > total_ ? apart_ : queue_;
}

void permit_core::link(waiter& w) noexcept { queue_of(w).push_back(w); }

bool permit_core::unlink(waiter& w) noexcept {
  take_out(queue_of(w), w);
  worker* on = current_worker();
  if (on != nullptr && !queue_.empty()) {  // the waiters behind it may be able to go on (semantics 127)
    inner_section here(*on);
    serve(here);
  }
  return unused();
}

void permit_core::end_waits(section& in) noexcept {
  end_all(queue_, in);
  end_all(apart_, in);
}

// False if its wait was claimed by another source, or by a cancellation.
bool permit_core::grant(permit_request& request, section& in) noexcept {
  queue_.remove(request);
  if (!request.blocked->claim(in.shared())) {
    detach(request);
    return false;
  }
  available_ -= request.amount_;
  ++uses_;
  note_taker(*request.blocked);
  in.wake(request, progress::done);
  return true;
}

void permit_core::serve(section& in) noexcept {
  while (waiter* first = queue_.front()) {
    auto& request = static_cast<permit_request&>(*first);
    if (request.amount_ <= available_) {
      (void)grant(request, in);
    } else if (request.blocked->is_waiting()) {
      return;  // those behind it wait their turn, though there may be enough for them (semantics 123)
    } else {
      queue_.remove(request);
      detach(request);
    }
  }
}

// When a writer has gone, the readers that wait now come before the writers that do (semantics 116).
void permit_core::serve_readers(section& in) noexcept {
  for (waiter* each = queue_.front(); each != nullptr;) {
    auto& request = static_cast<permit_request&>(*each);
    each = each->next;
    if (request.amount_ < total_) (void)grant(request, in);
  }
}

bool permit_core::try_take(std::size_t amount, const char* call) {
  worker* w = worker_or_unused(call);
  enter(w, call);
  const section_of here(*this, w);
  if (!take(amount)) return false;
  // Outside of routines no number is known, and the last taker's may be another routine's by now.
  w != nullptr && w->current != nullptr ? note_taker(*w->current) : taker_.store(0, std::memory_order_relaxed);
  return true;
}

std::size_t permit_core::available(const char* call) {
  const worker* w = worker_or_unused(call);
  owner.refuse_if_destroyed(call);
  const optional_guard guard(lock, w != nullptr && w->shared);
  return available_;
}

void permit_core::delete_if_unused() noexcept {
  if (unused()) delete this;
}

void permit_core::give_back_slowly(worker* w, std::size_t amount) noexcept {
  if (used_by(w)) return give_back_here(w, amount);
  do_where_used(owner, [this, amount](worker* there) { give_back_here(there, amount); });
}

void permit_core::give_back_here(worker* w, std::size_t amount) noexcept {
  section_of here(*this, w);
  if (amount == total_ && w != nullptr && w->current != nullptr) {
    const std::uint32_t giver = w->current->number.load(std::memory_order_relaxed);
    passes_on_ |= giver != taker_.load(std::memory_order_relaxed);
  }
  available_ += amount;
  --uses_;
  if (w == nullptr) return;  // no runtime runs, and no routine can go on
  if (kind_ == kind::shared_mutex && amount == total_) serve_readers(here);
  serve(here);
}

void permit_core::check() const {
  object_source::check();
  invariant(available_ <= total_, "no more permits are available than there are");
  invariant(uses_ > (ended() ? 0U : 1U) || available_ == total_, "what is not available is held");
  for (const waiter* w = apart_.front(); w != nullptr; w = w->next) {
    invariant(static_cast<const permit_request*>(w)->amount_ > total_,
              "a request of apart_ asks for more than there is");
  }
  // A lost waiter at the front holds up the others until its routine leaves.
  const auto* const first = static_cast<const permit_request*>(queue_.front());
  invariant(first == nullptr || first->amount_ <= total_, "a queued request asks for no more than there is");
  invariant(first == nullptr || !first->blocked->is_waiting() || first->amount_ > available_,
            "the first waiter asks for more than is available");
}

// It must not wait for the lock: the thread that has it may be about to claim the wait that is reported (routine.hpp).
void permit_core::append_to(wait_report& report, std::size_t amount) const {
  constexpr int attempts = 100;
  reported_object o{.at = this, .kind = "mutex"};
  std::optional<std::size_t> free;
  for (int i = 0; i < attempts && !free; ++i) {
    if (!lock.raw_spin_lock::try_lock()) {
      pause_processor();
      continue;
    }
    free = available_;
    const bool has_one_holder = available_ == 0 && (total_ == 1 || kind_ == kind::shared_mutex);
    if (has_one_holder && !passes_on_) o.owner = taker_.load(std::memory_order_relaxed);
    lock.raw_spin_lock::unlock();
  }
  if (kind_ == kind::semaphore) {
    report += std::to_string(amount) + " of the " + std::to_string(total_) + " permits of ";
    o.kind = "semaphore";
    o.capacity = total_;
    o.length = free.value_or(reported_object::unknown);
  } else if (kind_ == kind::shared_mutex) {
    report += amount == total_ ? "the lock of " : "a shared lock of ";
    o.kind = "shared_mutex";
    if (free && *free < total_) {
      const std::size_t readers = total_ - *free;
      o.state =
          *free == 0 ? "locked" : "locked by " + std::to_string(readers) + (readers == 1 ? " reader" : " readers");
    }
  } else {
    report += "the lock of ";
  }
  report += std::move(o);
}

}  // namespace ringo::detail
