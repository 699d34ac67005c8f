// What a lock, a semaphore and a condition have in common: those who wait, and a life that goes on after the object's
// end, until nobody refers to it: no guard or permit, and no case of a routine that has lost or been cancelled there
// and has yet to run.
//
// So a guard may outlive its mutex, on whichever thread; and a routine may take its lost case out of a source whose
// object another routine has destroyed in the meantime.
#pragma once
#include <atomic>
#include <cstdint>

#include <ringo/detail/operation.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/section.hpp>

namespace ringo::detail {

class source_core {
 public:
  source_core(const source_core&) = delete;
  source_core& operator=(const source_core&) = delete;

  void enter(const worker* w, const char* call) { owner.enter(w, call); }

  // The object is destroyed: who waits ends with `cancelled`. Any thread; from one that is no worker it has happened
  // soon after.
  void orphan() noexcept;
  bool orphaned() const noexcept { return orphaned_.load(std::memory_order_relaxed); }

  // Counts somebody who refers to it. Worker.
  void retain() noexcept;
  void let_go() noexcept;  // any thread

  // Under the lock: a waiter is out of its queue without having won.
  void acknowledge(wait_queue& in, waiter& w) noexcept {
    if (w.where_queued == waiter::place::queued) {
      in.remove(w);
    } else if (w.where_queued == waiter::place::detached) {
      w.where_queued = waiter::place::out;
      --detached_;
    }
    w.state = progress::idle;
  }
  bool unused() const noexcept {  // under the lock: to be deleted by whoever finds it so
    return orphaned() && holds_ == 0 && detached_ == 0 && queue_.empty() && apart_.empty();
  }
  virtual void check() const {
    queue_.check();
    apart_.check();
  }
  bool used_by(const worker* w) const noexcept { return w != nullptr && w->runtime_id == owner.runtime_id(); }

  spin_lock lock;
  ownership owner;

  virtual ~source_core() = default;

 protected:
  source_core() noexcept = default;

  // Under the lock: out of its queue, though its routine, which has lost or been cancelled, has yet to run.
  void detach(wait_queue& from, waiter& w) noexcept {
    from.remove(w);
    w.where_queued = waiter::place::detached;
    ++detached_;
  }
  // Under the lock: the first whose wait can be claimed, claimed and out of the queue; null if there is none.
  waiter* claim_first(bool shared) noexcept {
    while (waiter* w = queue_.front()) {
      if (w->who->claim(shared)) {
        queue_.remove(*w);
        return w;
      }
      detach(queue_, *w);
    }
    return nullptr;
  }

  wait_queue queue_;
  wait_queue apart_;         // of those whose turn never comes, and who are not to hold up the others
  std::uint32_t holds_ = 0;  // guards, permits and others that have called retain()

 private:
  void orphan_here(worker* w) noexcept;
  void let_go_here(worker* w) noexcept;

  std::uint32_t detached_ = 0;
  std::atomic<bool> orphaned_ = false;  // written under the lock
};

// Keeps a source_core.
class source_reference {
 public:
  explicit source_reference(source_core& of) noexcept : of_(of) { of_.retain(); }
  source_reference(const source_reference&) = delete;
  source_reference& operator=(const source_reference&) = delete;
  ~source_reference() { of_.let_go(); }

 private:
  source_core& of_;
};

}  // namespace ringo::detail
