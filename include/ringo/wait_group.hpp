// wait_group: waits for a collection of routines (Go: sync.WaitGroup).
#pragma once
#include <ringo/detail/cpp20.hpp>
#include <ringo/detail/mistakes.hpp>

#include <atomic>
#include <cstddef>
#include <source_location>
#include <string>
#include <utility>

#include <ringo/detail/machine_code.hpp>
#include <ringo/detail/source.hpp>
#include <ringo/detail/started.hpp>
#include <ringo/detail/starting.hpp>
#include <ringo/task.hpp>

namespace ringo {

namespace detail {

// The counter of a wait_group. The wait_group refers to it, and so does each routine that its go() has started, until
// the routine has ended; the last of them deletes it. So a member that ends touches no destroyed wait_group.
//
// Members that begin and end are most of its changes. Where the counter is above zero before and after, nobody is woken
// and nothing is deleted, so such a change takes no lock; with several workers it is a compare-and-exchange. Between
// zero and one the counter changes under the lock only, so whoever holds the lock knows whether the gate is open.
// Memory order: each change releases what its routine has done before, and continues the releases of the ones before
// it; the change to zero acquires all of them, for the waiters that it wakes and for the deletion. A member does not
// touch the counter after its change, for the next one may delete it.
class wait_group_core final : public gate {
 public:
  void add(std::ptrdiff_t n) {
    worker* const w = current_worker();
    if (w == nullptr || !change_by_hand(*w, n)) [[unlikely]]
      add_locked(n);
  }
  void done() {
    worker* const w = current_worker();
    if (w == nullptr || !change_by_hand(*w, -1)) [[unlikely]]
      done_locked();
  }
  void start(routine& r, std::source_location where);  // a member; takes it, also if it throws
  void member_ended(worker& w) noexcept {
    if (!change_without_lock(w, -1)) [[unlikely]]
      change(&w, -1, "done", true);
  }
  void refuse_running_members() noexcept;  // the wait_group is about to be destroyed

  bool is_open() const noexcept override { return count() == 0; }
  bool unused() const noexcept override { return gate::unused() && count() == 0; }
  void describe(wait_report& text) const override;
  void check() const override;

 private:
  void add_locked(std::ptrdiff_t n);
  void done_locked();
  void change(worker* w, std::ptrdiff_t n, const char* call, bool of_member);
  // add() or done() with one worker, if that wakes nobody. Else false, and nothing has changed.
  bool change_by_hand(const worker& w, std::ptrdiff_t n) noexcept {
    const std::ptrdiff_t now = count() + n;
    if (w.shared || owner.runtime_id() != w.runtime_id || now < 0 || (now == 0 && !queue_.empty())) return false;
    add_as_only_writer(count_, n);
    by_hand_ += n;
    return true;
  }
  // A member begins or ends, and the counter stays above zero. Else false, and nothing has changed.
  bool change_without_lock(const worker& w, std::ptrdiff_t n) noexcept {
    if (w.shared) [[unlikely]]
      return change_beside_others(w, n);
    // With one worker a member may begin at zero: nobody waits at an open gate.
    if (owner.runtime_id() != w.runtime_id || count() + n <= 0) [[unlikely]]
      return false;
    add_as_only_writer(count_, n);
    return true;
  }
  bool change_beside_others(const worker& w, std::ptrdiff_t n) noexcept;
  std::ptrdiff_t count() const noexcept { return count_.load(std::memory_order_relaxed); }
  std::ptrdiff_t members() const noexcept { return count() - by_hand_; }
  void end_waits(section& in) noexcept override;

  std::atomic<std::ptrdiff_t> count_ = 0;
  std::ptrdiff_t by_hand_ = 0;  // counted by add() and done(); the rest are members that have not ended
};

// A routine that counts in a wait_group.
template <class T>
struct counted_record : record<T> {
  void at_end(worker& w) noexcept override { group->member_ended(w); }
  const void* member_of() const noexcept override { return group; }

  wait_group_core* group = nullptr;
};

}  // namespace detail

/// A counter that routines wait on to become zero. It may be destroyed as soon as a wait has returned, and used again
/// once all have. Waits that are pending when it is destroyed end with `cancelled`. It must outlive the routines that
/// its go() has started: if one of them still runs, the destructor ends the process, with a message that says where
/// that routine was started; unless the runtime ends, or the routine has been cancelled, as where one context cancels
/// both.
///
///   wait_group wg;
///   for (auto& file : files) wg.go(compress, file);
///   co_await wg.wait();
///
/// Thread: workers, or one thread while no runtime runs. done(): any; from a thread that is no worker it happens soon
/// after.
class wait_group : private detail::mistaken_starts {
 public:
  using mistaken_starts::go;

  wait_group() : core_(new detail::wait_group_core) {}
  explicit wait_group(const detail::object_name& name) : wait_group() { core_->set_name(name); }
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;
  ~wait_group() {
    core_->refuse_running_members();
    detail::end_of(core_);
  }

  /// Changes the counter. Throws: std::logic_error if it would go below zero, and changes nothing then; where a runtime
  /// runs and the thread is no worker, that error is unhandled (runtime_options::on_unhandled).
  void add(std::ptrdiff_t n = 1) { core("wait_group::add").add(n); }
  void done() { core("wait_group::done").done(); }

  /// go(f, args...), go(task): counts, starts a routine as ringo::go does, and calls done() when the routine has ended,
  /// however. The routine's exception is unhandled (runtime_options::on_unhandled).
  RINGO_STARTS(detail::startable, go, , start)

  /// Waits until the counter is zero; does not suspend if it is. All waiters go on. Throws: cancelled. Cancel safety:
  /// waiting changes nothing.
  detail::gate_operation wait() { return detail::gate_operation(core("wait_group::wait")); }

 private:
  template <class F, class... A>
  void start(std::source_location where, F&& f, A&&... args) {
    auto& r = *detail::make_routine<detail::counted_record>(std::forward<F>(f), std::forward<A>(args)...);
    r.group = core_;
    core_->start(r, where);
  }
  detail::wait_group_core& core(const char* call) const {
    core_->owner.refuse_if_destroyed(call);
    return *core_;
  }

  detail::wait_group_core* core_;
};

}  // namespace ringo
