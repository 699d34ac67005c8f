#include <ringo/detail/timer_queue.hpp>

#include <bit>
#include <cstddef>
#include <limits>

#include "runtime/observer.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

// The lists of this level cover 16 us. When such a list moves down, the routines that will run are prefetched.
constexpr std::size_t soon = 2;

std::int64_t ticks(time_point t) noexcept { return t.time_since_epoch().count(); }

}  // namespace

timer_queue::~timer_queue() { let_go(); }

void timer_queue::let_go() noexcept {
  const auto empty = [this](list& l) {
    while (timer_entry* e = l.first) {
      remove(*e);
      e->queue_gone();
    }
  };
  empty(fresh_);
  empty(endless_);
  empty(resting_);
  for (auto& level : lists_) {
    for (list& l : level) empty(l);
  }
}

void timer_queue::add(timer_entry& e, time_point deadline) noexcept {
  e.when_ = ticks(deadline);
  armed_.add();
  place(e);
  if (!is_plain_) [[unlikely]]
    after_add();
}

void timer_queue::add(timer_entry& e, duration length) noexcept {
  e.when_ = length.count();
  e.place_ = timer_entry::fresh;
  armed_.add();
  append(fresh_, e);
  if (!is_plain_) [[unlikely]]
    after_add();
}

// If its worker has something else to run, that may compute until long after the deadline: another worker is to watch.
void timer_queue::after_add() noexcept {
  if (checks_) check();
  if (!of_.shared || watch_was_asked_) return;
  if (&of_ == current_worker() && !scheduler_of(of_).has_work()) return;
  watch_was_asked_ = true;
  std::atomic_thread_fence(std::memory_order_seq_cst);  // runtime_core::ask_to_watch: the adder's fence
  of_.runtime.ask_to_watch();
}

void timer_queue::wake_owner() noexcept { scheduler_of(of_).wake(); }

bool timer_queue::set(timer_entry& e, time_point deadline) noexcept {
  // With many timers, the neighbours in a list are in no cache, so the timer alone is touched if that will do.
  if (e.place_ >= 0 && ticks(deadline) >= e.when_ && ticks(deadline) != never) {
    e.when_ = ticks(deadline);
    return false;
  }
  remove(e);
  add(e, deadline);
  return true;
}

void timer_queue::rest(timer_entry& e) noexcept {
  if (e.place_ == timer_entry::resting) return;
  remove(e);
  e.place_ = timer_entry::resting;
  append(resting_, e);
}

void timer_queue::remove(timer_entry& e) noexcept {
  if (e.place_ == timer_entry::out) return;
  if (has_deadline(e)) {
    armed_.add(-1);
    if (empty()) watch_was_asked_ = false;  // a worker that goes to sleep now sees no reason to watch
  }
  list& l = list_of(e.place_);
  unlink(l, e);
  if (e.place_ >= 0 && l.first == nullptr) {
    occupied_[static_cast<std::size_t>(e.place_ / digits)].remove(static_cast<unsigned>(e.place_ % digits));
  }
  e.place_ = timer_entry::out;
  if (!is_plain_ && checks_) [[unlikely]]
    check();
}

bool timer_queue::advance(time_point now, time_point due, int at_most, routine_list& woken) noexcept {
  watch_was_asked_ = false;
  const std::int64_t from = ticks(now);
  while (timer_entry* e = fresh_.first) {
    unlink(fresh_, *e);
    e->when_ = e->when_ > never - from ? never : from + e->when_;
    place(*e);
  }
  const std::int64_t at = ticks(due);
  for (;;) {
    std::size_t level = 0;
    while (level < levels && occupied_[level].empty()) ++level;
    if (level == levels) return false;
    const int digit = occupied_[level].first();
    list& l = lists_[level][static_cast<std::size_t>(digit)];
    if (l.earliest > at) return false;
    if (level == 0) {  // all entries have one deadline, but those that were put off, whose expire() looks
      base_ = l.earliest;
      while (timer_entry* e = l.first) {
        if (at_most-- == 0) return true;
        remove(*e);
        const routine* const before = woken.back();
        e->expire(*this, now, woken);
        if (of_.observed != nullptr && woken.back() != before) [[unlikely]]
          current_worker()->observed->will_end_timer(base_);
      }
      continue;
    }
    // Moves the entries to lower levels; entries of this moment go to level 0. One that was put off may move to a
    // higher one.
    list moving = l;
    l = {};
    occupied_[level].remove(static_cast<unsigned>(digit));
    base_ = moving.earliest;
    while (timer_entry* e = moving.first) {
      moving.first = e->next_;
      __builtin_prefetch(e->ahead_);  // with many timers, no entry is in the cache
      if (level == soon) fetch_what_runs(*e);
      place(*e);
    }
  }
}

void timer_queue::fetch_what_runs(const timer_entry& e) noexcept {
  constexpr std::ptrdiff_t line = 64;  // of the cache
  // The entry is in the frame that its routine resumes, after the frame's head.
  const char* const frame = reinterpret_cast<const char*>(&e);
  for (std::ptrdiff_t on = -2; on <= 1; ++on) __builtin_prefetch(frame + on * line);
  const char* const record = reinterpret_cast<const char*>(e.runs_next);
  if (record == nullptr) return;
  for (std::ptrdiff_t on = 0; on <= 2; ++on) __builtin_prefetch(record + on * line);
}

time_point timer_queue::next() noexcept {
  for (std::size_t level = 0; level < levels; ++level) {
    if (occupied_[level].empty()) continue;
    const list& l = lists_[level][static_cast<std::size_t>(occupied_[level].first())];
    return time_point(duration(l.earliest));
  }
  return time_point::max();
}

void timer_queue::append(list& l, timer_entry& e) noexcept {
  e.next_ = nullptr;
  e.previous_ = l.last;
  (l.last ? l.last->next_ : l.first) = &e;
  l.last = &e;
}

void timer_queue::append_to_long(list& l, timer_entry& e) noexcept {
  append(l, e);
  if (l.first == &e) {
    l.trailing = &e;
    l.followers = 0;
  } else if (++l.followers >= lead) {
    l.trailing->ahead_ = &e;
    l.trailing = l.trailing->next_;
  }
}

void timer_queue::unlink(list& l, timer_entry& e) noexcept {
  if (l.trailing == &e) l.trailing = e.next_ ? e.next_ : e.previous_;
  (e.previous_ ? e.previous_->next_ : l.first) = e.next_;
  (e.next_ ? e.next_->previous_ : l.last) = e.previous_;
}

void timer_queue::place(timer_entry& e) noexcept {
  if (e.when_ == never) {
    e.place_ = timer_entry::endless;
    return append(endless_, e);
  }
  // A deadline before base_ is due already. It counts as base_: the order among overdue entries does not matter.
  if (e.when_ < base_) e.when_ = base_;
  const std::uint64_t differs = static_cast<std::uint64_t>(e.when_) ^ static_cast<std::uint64_t>(base_);
  const auto level = differs == 0 ? 0U : static_cast<unsigned>(std::bit_width(differs) - 1) / bits;
  const auto digit = static_cast<unsigned>(e.when_ >> (level * bits)) & (digits - 1);
  list& l = lists_[level][digit];
  if (l.first == nullptr || e.when_ < l.earliest) l.earliest = e.when_;
  append_to_long(l, e);
  occupied_[level].add(digit);
  e.place_ = static_cast<std::int16_t>(level * digits + digit);
}

// Of each list the first entries only: a queue may be long, and each change of it is checked.
void timer_queue::check() const {
  constexpr int most_looked_at = 8;
  std::int64_t seen = 0;
  bool all = true;
  const auto check_list = [&](const list& l, std::int16_t place, bool counts) {
    int left = most_looked_at;
    for (const timer_entry* e = l.first; e != nullptr; e = e->next_) {
      if (left-- == 0) {
        all = false;
        return;
      }
      if (counts) ++seen;
      invariant(e->place_ == place, "a timer is in the list that it names");
      invariant(e->next_ == nullptr || e->next_->previous_ == e, "a list of timers is linked in both directions");
      if (place < 0) continue;
      invariant(e->when_ >= l.earliest && e->when_ >= base_, "no timer is earlier than its list's bound and the base");
    }
    if (place < 0 || l.first == nullptr) return;
    const auto level = static_cast<unsigned>(place / digits);
    const std::uint64_t differs = static_cast<std::uint64_t>(l.earliest) ^ static_cast<std::uint64_t>(base_);
    invariant(differs >> (level * bits) < digits || level + 1 == levels,
              "a list's bound differs from the base in no digit above that of its level");
  };
  check_list(fresh_, timer_entry::fresh, true);
  check_list(endless_, timer_entry::endless, true);
  check_list(resting_, timer_entry::resting, false);
  for (std::size_t level = 0; level < levels; ++level) {
    for (digit_set left = occupied_[level]; !left.empty(); left.remove(static_cast<unsigned>(left.first()))) {
      const auto digit = static_cast<unsigned>(left.first());
      const list& l = lists_[level][digit];
      invariant(l.first != nullptr, "a list that its level counts as occupied has a timer");
      check_list(l, static_cast<std::int16_t>(level * digits + digit), true);
    }
  }
  // There are over a thousand lists, so each call looks at one of those that should be empty.
  static thread_local std::size_t looked_at = 0;
  looked_at = (looked_at + 1) % (levels * digits);
  const std::size_t level = looked_at / digits, digit = looked_at % digits;
  invariant(occupied_[level].has(static_cast<unsigned>(digit)) == (lists_[level][digit].first != nullptr),
            "a level knows which of its lists have timers");
  invariant(!all || seen == armed_.value(), "as many timers are armed as are in the lists");
}

timer_queue::list& timer_queue::list_of(std::int16_t at) noexcept {
  if (at == timer_entry::fresh) return fresh_;
  if (at == timer_entry::endless) return endless_;
  if (at == timer_entry::resting) return resting_;
  return lists_[static_cast<std::size_t>(at / digits)][static_cast<std::size_t>(at % digits)];
}

}  // namespace ringo::detail
