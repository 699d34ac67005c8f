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
  try_when_it_runs(r);
  w.push(r);
  return w.switch_away();
}

void permit_request::try_when_it_runs(routine& r) noexcept {
  try_again = [](parked_operation& p, worker& there) {
    return static_cast<permit_request&>(static_cast<operation&>(p)).try_or_wait(there);
  };
  r.resumed_as = routine::kind::tries_again;
}

// False if it waits: then the frame may be gone.
bool permit_request::try_or_wait(worker& w) noexcept {
  routine& r = *blocked;
  if (r.is_cancelled()) {  // await_resume tells
    leave();
    note_cancelled(*this);
    set_state(progress::refused);
    return true;
  }
  return w.shared ? !park_locked(w, r) : commit_alone(w) || !park_alone(w, r);
}

// A request for more than there is waits for its routine's cancellation only, and holds up no other waiter (semantics
// 128).
wait_queue& permit_core::queue_of(const waiter& w) noexcept {
  return static_cast<const permit_request&>(w).amount_ > total_ ? apart_ : queue_;
}

void permit_core::link(waiter& w) noexcept { passed_ == &w ? queue_.push_front(w) : queue_of(w).push_back(w); }

bool permit_core::unlink(waiter& w) noexcept {
  if (woken_ == &w) woken_ = nullptr;
  if (passed_ == &w) passed_ = nullptr;
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

// Its routine runs.
void permit_core::note_arrival(permit_request& woken) noexcept {
  woken_ = nullptr;
  take_out(queue_, woken);
}

// Or, of a mutex, wakes its routine to try. A case of a select and a foreign coroutine cannot try: once woken, they
// have won. False if its wait was claimed by another source, or by a cancellation.
bool permit_core::grant(permit_request& request, section& in) noexcept {
  queue_.remove(request);
  routine& r = *request.blocked;
  if (!r.claim(in.shared())) {
    detach(request);
    return false;
  }
  const bool was_passed = std::exchange(passed_, nullptr) == &request;
  if (kind_ == kind::mutex && !was_passed && r.parked == &request && r.resumed_as == routine::kind::plain) {
    detach(request);
    woken_ = &request;
    request.try_when_it_runs(r);
    in.wake(r);
    return true;
  }
  available_ -= request.amount_;
  ++uses_;
  note_taker(r);
  in.wake(request, progress::done);
  return true;
}

void permit_core::serve(section& in) noexcept {
  while (must_serve()) {
    auto& request = static_cast<permit_request&>(*queue_.front());
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
  return section_of<permit_core>::change_alone(*this, w, w != nullptr && w->shared, [&] {
    if (!take(amount)) return false;
    // Outside of routines no number is known, and the last taker's may be another routine's by now.
    w != nullptr && w->current != nullptr ? note_taker(*w->current) : taker_.store(0, std::memory_order_relaxed);
    return true;
  });
}

bool permit_core::take_locked(const worker& w, std::size_t amount) noexcept {
  lock.lock();
  const bool taken = take(amount);
  if (taken) note_taker(*w.current);
  check_in_place(*this);
  lock.unlock();
  return taken;
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
  if (used_by(w)) {
    if (!w->shared || w->simulated || !give_back_locked(*w, amount)) give_back_here(w, amount);
    return;
  }
  do_where_used(owner, [this, amount](worker* there) { give_back_here(there, amount); });
}

// With several workers: what a section would do, if there is no waiter to serve and the source stays. Else false.
bool permit_core::give_back_locked(const worker& w, std::size_t amount) noexcept {
  if (kind_ != kind::mutex && !queue_.looks_empty()) return false;
  lock.lock();
  const bool is_enough = !must_serve() && uses_ > 1;
  if (is_enough) {
    note_giver(w, amount);
    available_ += amount;
    --uses_;
    check_in_place(*this);
  }
  lock.unlock();
  return is_enough;
}

void permit_core::note_giver(const worker& w, std::size_t amount) noexcept {
  if (amount != total_ || w.current == nullptr) return;
  passes_on_ |= w.current->number.load(std::memory_order_relaxed) != taker_.load(std::memory_order_relaxed);
}

void permit_core::give_back_here(worker* w, std::size_t amount) noexcept {
  section_of here(*this, w);
  if (w != nullptr) note_giver(*w, amount);
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
  invariant(first == nullptr || !first->blocked->is_waiting() || first->amount_ > available_ || woken_ != nullptr,
            "the first waiter asks for more than is available, or a woken one is on its way");
  invariant(woken_ == nullptr || kind_ == kind::mutex, "only a waiter of a mutex is woken to try");
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
