#include <ringo/detail/wait_for_many.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace ringo::detail {

lock_set::lock_set(std::size_t places) {
  if (places <= usual) return;
  many_.resize(places);
  first_ = many_.data();
}

void lock_set::lock_each() noexcept {
  std::sort(first_, first_ + count_);
  count_ = static_cast<std::size_t>(std::unique(first_, first_ + count_) - first_);
  for (std::size_t i = 0; i < count_; ++i) first_[i]->lock();
}

// Returns the index of a case that is ready, each with the same probability; `none` if there is none. The cases of a
// select are at most 64, so it draws once; those of a select_any may be more.
template <class Ready>
std::size_t wait_for_many::choose(worker& w, const case_range& cases, bool first, Ready ready) {
  if (cases.are_listed()) {
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < cases.size(); ++i) {
      if (ready(cases.of(i), cases.its(i))) seen |= std::uint64_t{1} << i;
    }
    if (seen == 0) return none;
    return first ? static_cast<unsigned>(__builtin_ctzll(seen)) : pick(w, seen);
  }
  random_choice choice;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (ready(cases.of(i), cases.its(i))) choice.offer(w, i);
  }
  return choice.is_empty() ? none : choice.chosen();
}

// All locks are held, so the ready cases are ready at one instant (semantics 57). A choice fails only if a source
// outside this select has claimed the waiter that it met; then the choice is repeated.
bool wait_for_many::commit_one(worker& w, bool shared, routine*& woken, const case_range& cases,
                               const wait_shape& its) {
  for (;;) {
    const std::size_t choice =
        choose(w, cases, its.prefers_first, [&w](void* c, const case_functions& that) { return that.ready(c, w); });
    if (choice == none) {
      if (its.never_waits) chosen_ = cases.size();
      return its.never_waits;
    }
    if (cases.its(choice).commit(cases.of(choice), w, shared, woken)) {
      chosen_ = choice;
      return true;
    }
  }
}

// Commits a case that looks ready, under its own lock only. Returns waiting if none looks ready, idle if one did and
// then was not.
progress wait_for_many::commit_seen(worker& w, const case_range& cases) {
  const std::size_t choice =
      choose(w, cases, false, [&w](void* c, const case_functions& that) { return that.looks_ready(c, w); });
  if (choice == none) return progress::waiting;
  void* const c = cases.of(choice);
  const case_functions& its = cases.its(choice);
  const bool committed = commit_under(its.lock(c), w, [&](routine*& woken) {
    const bool done = its.commit(c, w, true, woken);
    if constexpr (checked_build) its.check(c);
    return done;
  });
  if (!committed) return progress::idle;
  chosen_ = choice;
  return progress::done;
}

namespace {

void check_each([[maybe_unused]] const case_range& cases) {
  if constexpr (checked_build) cases.each([](void* c, const case_functions& that) { that.check(c); });
}

std::size_t places_of_each(const case_range& cases, const wait_shape& its) {
  if (its.has_one_lock_each) return cases.size();
  std::size_t sum = 0;
  cases.each([&sum](void* c, const case_functions& that) { sum += that.lock != nullptr ? 1 : that.places(c); });
  return sum;
}
void add_locks_of_each(const case_range& cases, lock_set& locks) noexcept {
  cases.each([&locks](void* c, const case_functions& that) {
    that.lock != nullptr ? locks.add(that.lock(c)) : that.add_locks(c, locks);
  });
}
void enter_each(const case_range& cases, worker* w) {
  cases.each([w](void* c, const case_functions& that) { that.enter(c, w); });
}
// The cases of a select in random order, so that the first of several cases on one channel has no advantage
// (semantics 54).
void link_each(const case_range& cases, bool in_order, worker& w, routine& r) {
  const std::size_t size = cases.size();
  const std::size_t start =
      in_order || !cases.are_listed() || size < 2 ? 0 : w.random_below(static_cast<std::uint32_t>(size));
  for (std::size_t i = 0; i < size; ++i) {
    const std::size_t at = start + i < size ? start + i : start + i - size;
    cases.its(at).link(cases.of(at), w, r);
  }
}
void unlink_each(const case_range& cases) noexcept {
  cases.each([](void* c, const case_functions& that) { that.unlink(c); });
}
void discard_each(const case_range& cases) noexcept {
  cases.each([](void* c, const case_functions& that) { (won(that.current_state(c)) ? that.discard : that.leave)(c); });
}

}  // namespace

bool wait_for_many::await_ready_otherwise(worker& w, const wait_shape& its) {
  room_for_cases room;
  const case_range cases = its.cases(*this, room);
  try {
    enter_each(cases, &w);
  } catch (...) {
    throw_or_note(*this, w, std::current_exception());
    chosen_ = refusal;
    return false;
  }
  if (w.current->is_cancelled()) [[unlikely]] {
    throw_or_note(*this, w, nullptr);
    chosen_ = refusal;
    return false;
  }
  return try_cases(w, its.never_waits, cases, its) && w.turn_lasts();
}

bool wait_for_many::try_once(worker& w, bool for_sure, const wait_shape& its) {
  room_for_cases room;
  return try_cases(w, for_sure, its.cases(*this, room), its);
}

// With several workers it is most often decided without all the locks: by a case that looks ready, or, if none does, by
// parking, which looks again. Not with prefer_first, which must see all cases at one instant.
bool wait_for_many::try_cases(worker& w, bool for_sure, const case_range& cases, const wait_shape& its) {
  if (!w.shared) {
    routine* woken = nullptr;
    const bool committed = commit_one(w, false, woken, cases, its);
    check_each(cases);
    if (woken != nullptr) w.make_next(*woken);
    return committed;
  }
  if (!its.prefers_first && its.each_looks_without_lock) {
    const progress seen = commit_seen(w, cases);
    if (seen == progress::done) return true;
    if (seen == progress::waiting && !for_sure) return false;
  }
  return try_locked(w, cases, its);
}
bool wait_for_many::try_locked(worker& w, const wait_shape& its) {
  room_for_cases room;
  return try_locked(w, its.cases(*this, room), its);
}
bool wait_for_many::try_locked(worker& w, const case_range& cases, const wait_shape& its) {
  routine* woken = nullptr;
  bool committed;
  {
    lock_set locks(places_of_each(cases, its));
    add_locks_of_each(cases, locks);
    locks.lock();
    committed = commit_one(w, true, woken, cases, its);
    check_each(cases);
  }
  w.wake(woken);
  return committed;
}

bool wait_for_many::park(worker& w, routine& r, const wait_shape& its) {
  room_for_cases room;
  const case_range cases = its.cases(*this, room);
  if (!w.shared) {
    link_each(cases, its.prefers_first, w, r);
    return open(w, r, false, its);
  }
  routine* woken = nullptr;
  {
    lock_set locks(places_of_each(cases, its));
    add_locks_of_each(cases, locks);
    locks.lock();
    // It may have become ready since await_ready.
    if (!commit_one(w, true, woken, cases, its)) {
      link_each(cases, its.prefers_first, w, r);
      if (open(w, r, true, its)) return true;  // from the last unlock on, the frame may be gone
    }
  }
  w.wake(woken);
  return false;
}
std::coroutine_handle<> wait_for_many::park(worker& w, std::coroutine_handle<> coroutine, const wait_shape& its) {
  routine& r = *w.current;
  r.resume_at = coroutine;
  return park(w, r, its) ? w.switch_away() : coroutine;
}

void wait_for_many::refuse_to_park(const wait_shape& its) noexcept {
  parked_ = nullptr;
  unlink(its);
}

void wait_for_many::abandon_parked(const wait_shape& its) noexcept {
  const worker* const w = current_worker();
  const bool claimed_here = parked_->claim(w == nullptr || w->shared);
  if (chosen_ == refusal) {
    chosen_ = none;
    drop_noted(*this);
  } else {
    discard(its);
  }
  forget(*parked_, !claimed_here);
}

void wait_for_many::throw_refusal() {
  chosen_ = none;
  throw_noted(*this);
}

void wait_for_many::enter(worker* w, const wait_shape& its) {
  room_for_cases room;
  enter_each(its.cases(*this, room), w);
}
std::size_t wait_for_many::places(const wait_shape& its) noexcept {
  room_for_cases room;
  return places_of_each(its.cases(*this, room), its);
}
void wait_for_many::add_locks(lock_set& locks, const wait_shape& its) noexcept {
  room_for_cases room;
  add_locks_of_each(its.cases(*this, room), locks);
}
bool wait_for_many::ready(worker& w, const wait_shape& its) {
  room_for_cases room;
  const case_range cases = its.cases(*this, room);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (cases.its(i).ready(cases.of(i), w)) return true;
  }
  return false;
}
bool wait_for_many::commit(worker& w, bool shared, routine*& woken, const wait_shape& its) {
  room_for_cases room;
  return commit_one(w, shared, woken, its.cases(*this, room), its);
}
void wait_for_many::link(worker& w, routine& r, const wait_shape& its) {
  room_for_cases room;
  link_each(its.cases(*this, room), its.prefers_first, w, r);
}
void wait_for_many::unlink(const wait_shape& its) noexcept {
  room_for_cases room;
  unlink_each(its.cases(*this, room));
}
void wait_for_many::leave(const wait_shape& its) noexcept {
  room_for_cases room;
  its.cases(*this, room).each([](void* c, const case_functions& that) { that.leave(c); });
}
void wait_for_many::discard(const wait_shape& its) noexcept {
  room_for_cases room;
  discard_each(its.cases(*this, room));
}
progress wait_for_many::current_state(const wait_shape& its) noexcept {
  room_for_cases room;
  const case_range cases = its.cases(*this, room);
  progress any = progress::idle;
  cases.each([&any](void* c, const case_functions& that) {
    if (const progress p = that.current_state(c); won(p)) any = p;
  });
  return any;
}
void wait_for_many::check_source(const wait_shape& its) {
  room_for_cases room;
  check_each(its.cases(*this, room));
}

void wait_for_many::append_each(const case_range& cases, wait_report& text, const char* name, const char* first) {
  text += name;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    i == 0 ? void(text += first) : text.next_case();
    cases.its(i).append_to(cases.of(i), text);
  }
}

}  // namespace ringo::detail
