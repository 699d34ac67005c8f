// How the first of several operations is awaited: the common part of select and select_any.
#pragma once
#include <array>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <limits>
#include <utility>
#include <vector>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/untyped_case.hpp>

namespace ringo::detail {

// The locks of a wait's sources, taken in the order of their addresses, each once. It has a place for each case.
class lock_set {
 public:
  explicit lock_set(std::size_t places);  // throws std::bad_alloc beyond `usual`
  lock_set(const lock_set&) = delete;
  lock_set& operator=(const lock_set&) = delete;
  ~lock_set() { unlock(); }

  void add(spin_lock* l) noexcept {
    if (l != nullptr) first_[count_++] = l;
  }
  void lock() noexcept {
    if constexpr (checked_build) note_lock(lock_rank::source, this);  // one lock, since the addresses have an order
    lock_each();
  }
  void unlock() noexcept {
    while (count_ > 0) first_[--count_]->unlock();  // after the last one, nothing but this object is read
    if constexpr (checked_build) note_unlock(this);
  }

 private:
  void lock_each() noexcept;

  static constexpr std::size_t usual = 16;  // locks that need no allocation: selects of more cases are rare
  std::size_t count_ = 0;
  std::array<raw_spin_lock*, usual> few_;
  std::vector<raw_spin_lock*> many_;
  raw_spin_lock** first_ = few_.data();
};

// How many locks guard a case: one, for most.
template <class C>
constexpr std::size_t places_of(C& c) noexcept {
  if constexpr (requires { c.places(); }) {
    return c.places();
  } else {
    return 1;
  }
}
template <class C>
void add_locks_of(C& c, lock_set& locks) noexcept {
  if constexpr (requires { c.add_locks(locks); }) {
    c.add_locks(locks);
  } else {
    locks.add(c.lock());
  }
}

// Picks one of the set bits, each with the same probability.
RINGO_ALWAYS_INLINE inline unsigned pick(worker& w, std::uint64_t ready) noexcept {
  if (const std::uint64_t others = ready & (ready - 1); others != 0) {  // saves the call if only one bit is set
    const auto count = 1 + static_cast<unsigned>(__builtin_popcountll(others));
    for (unsigned skip = w.random_below(count); skip > 0; --skip) ready &= ready - 1;
  }
  return static_cast<unsigned>(__builtin_ctzll(ready));
}

// The same for any number of indices, one by one: the n-th replaces the choice with probability 1/n.
class random_choice {
 public:
  RINGO_ALWAYS_INLINE void offer(worker& w, std::size_t index) noexcept {
    count_ += 1;
    if (count_ == 1 || w.random_below(count_) == 0) chosen_ = index;
  }
  bool is_empty() const noexcept { return count_ == 0; }
  std::size_t chosen() const noexcept { return chosen_; }  // of one that is not empty

 private:
  std::uint32_t count_ = 0;
  std::size_t chosen_ = 0;
};

inline constexpr std::size_t most_cases = 64;  // of a select
using room_for_cases = std::array<void*, most_cases>;

// The cases of a wait: those of a select, which differ; or those of a select_any, which lie in a row and are of a type.
// Addresses and tables are two arrays: a pair that is stored in two parts and loaded as a whole stalls the load.
class case_range {
 public:
  case_range(const room_for_cases& listed, const case_functions* const* its, std::size_t size) noexcept
      : listed_(listed.data()), its_(its), size_(size) {}
  template <class C>
  case_range(C* first, std::size_t size) noexcept
      : row_its_(&case_functions_of<typename protocol_of<C>::type>), stride_(sizeof(C)), size_(size) {
    if (size > 0) first_ = static_cast<std::byte*>(untyped(*first).of);
  }

  bool are_listed() const noexcept { return listed_ != nullptr; }
  std::size_t size() const noexcept { return size_; }
  void* of(std::size_t i) const noexcept { return listed_ != nullptr ? listed_[i] : first_ + i * stride_; }
  const case_functions& its(std::size_t i) const noexcept { return listed_ != nullptr ? *its_[i] : *row_its_; }
  template <class F>
  RINGO_ALWAYS_INLINE void each(F&& f) const {
    for (std::size_t i = 0; i < size_; ++i) f(of(i), its(i));
  }

 private:
  void* const* listed_ = nullptr;
  const case_functions* const* its_ = nullptr;
  std::byte* first_ = nullptr;
  const case_functions* row_its_ = nullptr;
  std::size_t stride_ = 0;
  std::size_t size_;
};

class wait_for_many;

// What a type of wait is. It is a constant of the type, so that all but the hot paths is in the library.
struct wait_shape {
  case_range (*cases)(wait_for_many&, room_for_cases&);
  void (*describe)(const parked_operation&, wait_report&);
  bool prefers_first;
  bool never_waits;  // it has an `otherwise`, and must know for sure that no case is ready
  bool has_one_lock_each;
  bool each_looks_without_lock;
};

// A wait, without its type. chosen_ is the index of the case that has committed, or of the winner; the number of cases
// means `otherwise`.
class wait_for_many : public parked_operation {
 public:
  bool has_chosen() const noexcept { return chosen_ != none; }

 protected:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t refusal = none - 1;

  wait_for_many() = default;
  // NOLINTNEXTLINE(bugprone-copy-constructor-init): a copy has not parked
  wait_for_many(const wait_for_many&) noexcept : parked_operation() {}
  wait_for_many& operator=(const wait_for_many&) = delete;
  ~wait_for_many() = default;

  // In await_ready, when the await has been spent.
  bool await_ready_otherwise(worker& w, const wait_shape& its);
  bool try_once(worker& w, bool for_sure, const wait_shape& its);
  bool try_locked(worker& w, const wait_shape& its);
  void enter(worker* w, const wait_shape& its);
  // Off the hot path: with several workers, or in the record of a foreign coroutine. True: it waits, and its frame may
  // be gone.
  bool park(worker& w, routine& r, const wait_shape& its);
  std::coroutine_handle<> park(worker& w, std::coroutine_handle<> coroutine, const wait_shape& its);
  // Under all locks, if there are others: the cases are linked.
  RINGO_ALWAYS_INLINE bool open(worker& w, routine& r, bool shared, const wait_shape& its) {
    if constexpr (checked_build) check_source(its);
    parked_ = &r;
    r.parked = this;
    describe = its.describe;
    r.waits_since = w.coarse_now;
    w.counts.waits.add();
    if (shared && w.observed != nullptr) [[unlikely]]
      w.note_park(r);
    if (r.open_wait(shared)) [[likely]]
      return true;
    refuse_to_park(its);
    return false;
  }
  [[gnu::cold]] void refuse_to_park(const wait_shape& its) noexcept;
  [[gnu::cold]] void abandon_parked(const wait_shape& its) noexcept;
  [[noreturn, gnu::cold]] void throw_refusal();

  // As a case of another.
  std::size_t places(const wait_shape& its) noexcept;
  void add_locks(lock_set& locks, const wait_shape& its) noexcept;
  bool ready(worker& w, const wait_shape& its);
  bool commit(worker& w, bool shared, routine*& woken, const wait_shape& its);
  void link(worker& w, routine& r, const wait_shape& its);
  void unlink(const wait_shape& its) noexcept;
  void leave(const wait_shape& its) noexcept;
  void discard(const wait_shape& its) noexcept;
  progress current_state(const wait_shape& its) noexcept;
  void check_source(const wait_shape& its);

  static void append_each(const case_range& cases, wait_report& text, const char* name, const char* first);

  std::size_t chosen_ = none;
  routine* parked_ = nullptr;

 private:
  bool try_cases(worker& w, bool for_sure, const case_range& cases, const wait_shape& its);
  bool try_locked(worker& w, const case_range& cases, const wait_shape& its);
  progress commit_seen(worker& w, const case_range& cases);
  bool commit_one(worker& w, bool shared, routine*& woken, const case_range& cases, const wait_shape& its);
  template <class Ready>
  static std::size_t choose(worker& w, const case_range& cases, bool first, Ready ready);
};

// A Derived provides:
//   static const wait_shape& shape()
//   note_winner()     notes the case that won while the routine was parked, and takes the others out
//   link_all(worker&, routine&)   links its cases, with one worker
// With take(), the result of the noted case or of the winner, and append_to(), it is itself a case (case_protocol.hpp).
template <class Derived>
class wait_for_some : public wait_for_many {
 public:
  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker("select");
    (void)w.spend();
    return await_ready_otherwise(w);
  }

  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    worker& w = *current_worker();
    note_where<P>(derived());
    if (has_chosen()) [[unlikely]]
      return end_turn(w, coroutine, is_own_promise<P>, parked_);
    if (!waits_as_itself<P>(w)) [[unlikely]]
      return suspend_in_record(w, coroutine, is_own_promise<P>, {this, [](void* it, routine& r) {
                                                                   return static_cast<wait_for_some*>(it)->park(
                                                                       *current_worker(), r, Derived::shape());
                                                                 }});
    return park_in_place(w, coroutine);
  }

  // Commits a case that is ready at this instant, if there is one. With `for_sure`, false means that there was none.
  bool try_once(worker& w, bool for_sure) { return wait_for_many::try_once(w, for_sure, Derived::shape()); }

  void enter(worker* w) { wait_for_many::enter(w, Derived::shape()); }
  std::size_t places() noexcept { return wait_for_many::places(Derived::shape()); }
  void add_locks(lock_set& locks) noexcept { wait_for_many::add_locks(locks, Derived::shape()); }
  bool ready(worker& w) { return wait_for_many::ready(w, Derived::shape()); }
  bool commit(worker& w, bool shared, routine*& woken) {
    return wait_for_many::commit(w, shared, woken, Derived::shape());
  }
  void link(worker& w, routine& r) { wait_for_many::link(w, r, Derived::shape()); }
  void check_source() { wait_for_many::check_source(Derived::shape()); }
  bool unlink() noexcept {
    wait_for_many::unlink(Derived::shape());
    return false;
  }
  void leave() noexcept { wait_for_many::leave(Derived::shape()); }
  void discard() noexcept { wait_for_many::discard(Derived::shape()); }
  progress current_state() noexcept { return wait_for_many::current_state(Derived::shape()); }

 protected:
  bool await_ready_otherwise(worker& w) { return wait_for_many::await_ready_otherwise(w, Derived::shape()); }

  // First thing in await_resume.
  RINGO_ALWAYS_INLINE void come_back() {
    if (std::exchange(parked_, nullptr) != nullptr) {
      if (!has_chosen()) {
        derived().note_winner();
      } else if (chosen_ == refusal) [[unlikely]] {
        throw_refusal();
      }
    }
    if (!has_chosen()) throw_cancelled();
  }

  // Derived's destructor calls it last: the frame may be destroyed while the wait is parked, or before its result was
  // taken.
  RINGO_ALWAYS_INLINE void abandon() noexcept {
    if (parked_ != nullptr) [[unlikely]]
      abandon_parked(Derived::shape());
  }

 private:
  Derived& derived() noexcept { return static_cast<Derived&>(*this); }

  // As operation's.
  std::coroutine_handle<> park_in_place(worker& w, std::coroutine_handle<> coroutine) {
    if (w.shared) return park(w, coroutine, Derived::shape());
    routine& r = *w.current;
    r.resume_at = coroutine;
    derived().link_all(w, r);
    return open(w, r, false, Derived::shape()) ? w.switch_away() : coroutine;
  }
};

}  // namespace ringo::detail
