// The cases of a wait, and the queue of a source's waiters.
#pragma once
#include <atomic>
#include <cstdint>

#include <ringo/detail/compilers.hpp>

namespace ringo::detail {

class section;
struct routine;

// The state of a case. Its routine writes it; while the routine waits, the thread that has claimed its wait does. So it
// is not atomic, and a resumed routine reads it without a lock. docs/invariants.md has the table.
enum class progress : std::uint8_t {
  idle,     // not awaited, or its result has been taken
  waiting,  // linked into its source; or its wait was claimed by another source or a cancellation
  ended,    // its source has ended: the await throws `cancelled`, and does not touch the source
  refused,  // in no source: the await throws parked_operation::refusal
  done,     // won, with its result
  closed,   // won: the source is closed
  failed,   // won, with an error
};

inline bool won(progress p) noexcept { return p >= progress::done; }
// It has its result, or its refusal.
inline bool is_over(progress p) noexcept { return p >= progress::refused; }

// One case of a wait.
struct wait_case {
  wait_case() noexcept {}                  // `blocked` is set when it waits
  wait_case(const wait_case&) noexcept {}  // a copy does not wait
  wait_case& operator=(const wait_case&) noexcept { return *this; }

  routine* blocked;
  progress state = progress::idle;
};

// A case that is linked into the queue of its source.
struct waiter : wait_case {
  enum class place : std::uint8_t { out, queued, detached };

  waiter() noexcept {}  // the links are written when it enters a queue
  waiter(const waiter& from) noexcept : wait_case(from) {}
  waiter& operator=(const waiter&) noexcept { return *this; }

  // Under the source's lock. detached: taken out by a waker that found the wait claimed; its source still counts it.
  place where_queued = place::out;
  waiter* next;
  waiter* previous;
};

// The waiters of one source, oldest first (semantics 5). The source's lock guards it.
class wait_queue {
 public:
  struct uncounted {  // for a source that does not count the waiters that have lost
    void operator()(waiter&) const noexcept {}
  };

  bool empty() const noexcept { return front() == nullptr; }
  waiter* front() const noexcept { return head_.load(std::memory_order_relaxed); }
  // Without the lock: whether no routine waits at this instant.
  bool looks_empty() const noexcept { return head_.load(std::memory_order_acquire) == nullptr; }
  waiter* back() const noexcept { return tail_; }
  // Under the source's lock: the first waiter whose wait is unclaimed; null if there is none.
  const waiter* first_open() const noexcept;
  bool anyone_open() const noexcept { return first_open() != nullptr; }
  // Under the source's lock: checks the links of the first 64 waiters.
  void check() const;

  void push_back(waiter& w) noexcept {
    w.next = nullptr;
    w.previous = tail_;
    set_next(tail_, &w);
    tail_ = &w;
    w.where_queued = waiter::place::queued;
  }
  void push_front(waiter& w) noexcept {
    waiter* const first = front();
    w.next = first;
    w.previous = nullptr;
    (first != nullptr ? first->previous : tail_) = &w;
    head_.store(&w, std::memory_order_release);
    w.where_queued = waiter::place::queued;
  }
  // Claims the wait of the first waiter that is still open, and takes it out; null if there is none. Waiters before it
  // have lost to another source or a cancellation: they are taken out, and given to `lost`.
  template <class Lost = uncounted>
  waiter* take_open(bool shared, Lost lost = {}) noexcept;
  // The same; the waiter gets `result`, and is woken.
  template <class Lost = uncounted>
  waiter* claim_first(section& in, progress result, Lost lost = {}) noexcept;
  template <class Lost = uncounted>
  void claim_all(section& in, progress result = progress::done, Lost lost = {}) noexcept;

  // Takes out the first waiter, w.
  RINGO_ALWAYS_INLINE void pop_front(waiter& w) noexcept {
    waiter* const next = w.next;
    head_.store(next, std::memory_order_release);
    (next != nullptr ? next->previous : tail_) = nullptr;
    w.where_queued = waiter::place::out;
  }
  void remove(waiter& w) noexcept {
    set_next(w.previous, w.next);
    (w.next ? w.next->previous : tail_) = w.previous;
    w.where_queued = waiter::place::out;
  }

 private:
  void set_next(waiter* of, waiter* to) noexcept {  // null `of`: sets the first
    if (of != nullptr) {
      of->next = to;
    } else {
      head_.store(to, std::memory_order_release);
    }
  }

  std::atomic<waiter*> head_ = nullptr;  // written under the lock
  waiter* tail_ = nullptr;
};

// The same in one pointer: each routine has one, for the routines that join it. The first waiter's `previous` is the
// last waiter.
class joiner_queue {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  void push_back(waiter& w) noexcept {
    w.next = nullptr;
    w.where_queued = waiter::place::queued;
    if (first_ == nullptr) {
      w.previous = &w;
      first_ = &w;
      return;
    }
    w.previous = first_->previous;
    w.previous->next = &w;
    first_->previous = &w;
  }
  void remove(waiter& w) noexcept {
    (&w == first_ ? first_ : w.previous->next) = w.next;
    if (waiter* const linked = w.next != nullptr ? w.next : first_) linked->previous = w.previous;
    w.where_queued = waiter::place::out;
  }
  // As wait_queue::take_open().
  waiter* take_open(bool shared) noexcept;

 private:
  waiter* first_ = nullptr;
};

}  // namespace ringo::detail
