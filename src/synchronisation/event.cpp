#include <ringo/event.hpp>

#include <atomic>

#include <ringo/detail/foreign_threads.hpp>
#include <ringo/detail/ownership.hpp>

namespace ringo {

namespace detail {

// Invariant, whenever the lock is free: set => no open wait is queued.
class event_core {
 public:
  explicit event_core(bool is_set) noexcept : set_(is_set) {}

  bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }

  void set(worker* w) {
    owner.enter(w, "event::set");
    const bool shared = w != nullptr && w->shared;
    routine_list woken;
    {
      const optional_guard guard(lock, shared);
      set_.store(true, std::memory_order_release);  // is_set(), without the lock, sees what came before
      if (w != nullptr) waiting.claim_all(shared, woken);
    }
    if (!woken.empty()) w->make_ready(woken);
  }
  void reset(worker* w) {
    owner.enter(w, "event::reset");
    const optional_guard guard(lock, w != nullptr && w->shared);
    set_.store(false, std::memory_order_relaxed);
  }

  void end_waits() noexcept { waiting.end_waits(lock, owner); }

  spin_lock lock;
  ownership owner;
  mortal_queue waiting;

 private:
  std::atomic<bool> set_;
};

void event_operation::enter(const worker* w) { of_->owner.enter(w, call_name); }
spin_lock* event_operation::lock() noexcept { return &of_->lock; }
mortal_queue& event_operation::queue() noexcept { return of_->waiting; }
bool event_operation::ready(worker&) noexcept { return of_->is_set(); }

}  // namespace detail

event::event(bool set) : core_(std::make_shared<detail::event_core>(set)) {}

event::~event() {
  const detail::worker* w = detail::current_worker();
  if (w != nullptr && w->runtime_id == core_->owner.runtime_id()) {
    core_->end_waits();
  } else {
    detail::do_where_used(core_->owner, [core = core_](detail::worker*) { core->end_waits(); });
  }
  static auto& destroyed = *new detail::event_core(false);
  destroyed.owner.mark_destroyed();
  core_ = std::shared_ptr<detail::event_core>(std::shared_ptr<void>(), &destroyed);
  detail::keep_mark(core_);
}

void event::set() {
  core_->owner.refuse_if_destroyed("event::set");
  if (detail::worker* w = detail::current_worker()) return core_->set(w);
  detail::do_where_used(core_->owner, [core = core_](detail::worker* there) { core->set(there); });
}

void event::reset() { core_->reset(detail::worker_or_alone("event::reset")); }
bool event::is_set() const noexcept { return core_->is_set(); }

}  // namespace ringo
