// The cases of a wait, and the queue of those that wait on one source.
#pragma once
#include <atomic>
#include <cstdint>

namespace ringo::detail {

class routine_list;
struct routine;

// What a case has come to, as its own routine sees it. Written by that routine, and while it waits by the one who has
// claimed its wait: so it needs no lock and is no atomic.
enum class progress : std::uint8_t {
  idle,      // not awaited, or its result has been taken
  waiting,   // in a wait
  orphaned,  // its source has let go of it, and is not to be touched (source_core.hpp, mortal_source.hpp)
  leaving,   // its routine is about to take it out of such a source
  refused,   // in no source; its routine is about to hear why: parked_operation::refusal
  done,      // won, with its result
  closed,    // won: the source is closed
  failed,    // won, with an error
};

inline bool won(progress p) noexcept { return p >= progress::done; }
// Whether nothing is left to wait for: it has its result, or its refusal.
inline bool is_over(progress p) noexcept { return p >= progress::refused; }

// One case of a wait.
struct lone_case {
  lone_case() noexcept {}                  // whose it is means nothing until it waits
  lone_case(const lone_case&) noexcept {}  // a copy does not wait
  lone_case& operator=(const lone_case&) noexcept { return *this; }

  routine* who;
  progress state = progress::idle;
};

// One that is linked into the queue of its source.
struct waiter : lone_case {
  enum class place : std::uint8_t { out, queued, detached };

  waiter() noexcept {}  // the links mean nothing until it is in a queue, and are not written before
  waiter(const waiter&) noexcept : lone_case() {}
  waiter& operator=(const waiter&) noexcept { return *this; }

  // Under the source's lock. detached: taken out by a waker that found the wait claimed; its source still counts it.
  place where_queued = place::out;
  waiter* next;
  waiter* previous;
};

// The cases that wait on one source, oldest first (semantics 5). Guarded by the source's lock.
class wait_queue {
 public:
  bool empty() const noexcept { return front() == nullptr; }
  waiter* front() const noexcept { return head_.load(std::memory_order_relaxed); }
  // Without the lock: whether somebody waits at this instant.
  bool looks_empty() const noexcept { return head_.load(std::memory_order_acquire) == nullptr; }
  waiter* back() const noexcept { return tail_; }
  // Under the source's lock: the first waiter whose wait is unclaimed; null if there is none.
  const waiter* first_open() const noexcept;
  bool anyone_open() const noexcept { return first_open() != nullptr; }
  // Under the source's lock: that the links agree, of the first 64 waiters.
  void check() const;

  void push_back(waiter& w) noexcept {
    w.next = nullptr;
    w.previous = tail_;
    set_next(tail_, &w);
    tail_ = &w;
    w.where_queued = waiter::place::queued;
  }
  // Under the source's lock: takes all out; those whose wait could be claimed have won, and are to be made ready.
  void claim_all(bool shared, routine_list& woken) noexcept;
  // The same for the first whose wait can be claimed; null if there is none.
  waiter* claim_first(bool shared) noexcept;

  // The first, which is there.
  void pop_front(waiter& w) noexcept {
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

 protected:
  void restore(waiter& w) noexcept {  // undoes the remove() just before
    set_next(w.previous, &w);
    (w.next ? w.next->previous : tail_) = &w;
    w.where_queued = waiter::place::queued;
  }

 private:
  void set_next(waiter* of, waiter* to) noexcept {  // of none: the first
    if (of != nullptr) {
      of->next = to;
    } else {
      head_.store(to, std::memory_order_release);
    }
  }

  std::atomic<waiter*> head_ = nullptr;  // written under the lock
  waiter* tail_ = nullptr;
};

}  // namespace ringo::detail
