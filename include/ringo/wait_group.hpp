// wait_group: waits for a collection of routines (Go: sync.WaitGroup).
#pragma once
#include <ringo/detail/cpp20.hpp>
#include <ringo/detail/mistakes.hpp>

#include <cstddef>
#include <source_location>
#include <string>
#include <utility>

#include <ringo/detail/mortal_source.hpp>
#include <ringo/detail/overloads.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/started.hpp>

namespace ringo {

namespace detail {

// The counter of a wait_group. The wait_group has it, and so has each routine that its go() has started, until that has
// ended: the last of them frees it. So a member's end touches nothing of a wait_group that is gone.
class wait_group_core {
 public:
  wait_group_core() noexcept = default;
  wait_group_core(const wait_group_core&) = delete;
  wait_group_core& operator=(const wait_group_core&) = delete;
  static void* operator new(std::size_t size) { return allocate_block(size); }
  static void operator delete(void* block, std::size_t size) noexcept { free_block(block, size); }

  void add(std::ptrdiff_t n);
  void done();
  void start(routine& r, std::source_location where);  // a member; takes it, also where it throws
  void member_ended(worker& w) noexcept {
    if (!change_alone(w, -1)) [[unlikely]]
      change(&w, -1, "done", true);
  }
  void drop() noexcept;  // the wait_group is destroyed

 private:
  friend class wait_group_operation;

  void change(worker* w, std::ptrdiff_t n, const char* call, bool of_member);
  // Of a member, with one worker, where no waiter is to be woken: a change is no more than this. Else false, and
  // nothing has changed.
  bool change_alone(const worker& w, std::ptrdiff_t n) noexcept {
    if (w.shared || owner_.runtime_id() != w.runtime_id || count_ + n <= 0) [[unlikely]]
      return false;
    count_ += n;
    return true;
  }
  std::ptrdiff_t members() const noexcept { return count_ - by_hand_; }  // under the lock
  void refuse_running_members() const noexcept;

  spin_lock lock_;  // guards the rest
  ownership owner_;
  std::ptrdiff_t count_ = 0;
  std::ptrdiff_t by_hand_ = 0;  // of these, by add() and done(): the rest are members that have not ended
  bool is_dropped_ = false;
  mortal_queue waiting_;
};

// The awaitable of wait_group::wait. Throws: cancelled. Cancel safety: waiting changes nothing.
class RINGO_AWAITABLE wait_group_operation final : public mortal_operation<wait_group_operation, void> {
 public:
  static constexpr const char* call_name = "wait for a wait_group";
  explicit wait_group_operation(wait_group_core& of) noexcept : of_(&of) {}

  void enter(worker* w);
  spin_lock* lock() noexcept { return &of_->lock_; }
  mortal_queue& queue() noexcept { return of_->waiting_; }
  bool ready(worker&) noexcept { return of_->count_ == 0; }
  void tell(std::string& text) const;

 private:
  wait_group_core* of_;
};

// A routine that counts in a wait_group.
template <class T>
struct counted_record : record<T> {
  void at_end(worker& w) noexcept override { group->member_ended(w); }
  const wait_group_core* counted_in() const noexcept override { return group; }

  wait_group_core* group = nullptr;
};

}  // namespace detail

// A counter that is waited on to become zero. It may be destroyed as soon as a wait has returned, and used again once
// all have. When it is destroyed, pending waits throw `cancelled`. It must outlive the routines that its go() has
// started: if one of them still runs when it is destroyed, the process ends, with a message that says where that
// routine was started; unless the runtime ends, or the routine has been cancelled, as where one context cancels both.
// Thread: workers, or one thread while no runtime runs; done() any thread, and from one that is no worker it has
// happened soon after.
class wait_group : private detail::mistaken_starts {
 public:
  using mistaken_starts::go;

  wait_group() : core_(new detail::wait_group_core) {}
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;
  ~wait_group() {
    std::exchange(core_, nullptr)->drop();
    detail::keep_mark(core_);
  }

  // Throws std::logic_error if the counter would go below zero, and changes nothing then; where a runtime runs and the
  // thread is no worker, that is unhandled (options::on_unhandled).
  void add(std::ptrdiff_t n = 1) { core("wait_group::add").add(n); }
  void done() { core("wait_group::done").done(); }

  // Counts, starts a routine that runs f(args...), and is done() when it ends, whichever way. What it throws is
  // unhandled (options::on_unhandled).
  template <class T>
  void go(task<T>&& t, std::source_location where = std::source_location::current()) {
    count_in<T>(where, *detail::make_routine_of<detail::counted_record>(std::move(t)));
  }
#define RINGO_OVERLOAD(N)                                                                       \
  template <RINGO_CLASSES_##N>                                                                  \
  requires detail::startable<RINGO_TYPES_##N>                                                   \
  void go(RINGO_PARAMETERS_##N, std::source_location where = std::source_location::current()) { \
    start(where, RINGO_FORWARDED_##N);                                                          \
  }
  RINGO_OVERLOADS(RINGO_OVERLOAD)
#undef RINGO_OVERLOAD
  template <RINGO_CLASSES_6, class A7, class... More>
  requires detail::startable<RINGO_TYPES_6, A7, More...>
  void go(RINGO_PARAMETERS_6, A7&& a7, More&&... more) {
    start({}, RINGO_FORWARDED_6, std::forward<A7>(a7), std::forward<More>(more)...);
  }

  // When the counter is zero; without suspending if it is already. All who wait go on.
  detail::wait_group_operation wait() { return detail::wait_group_operation(core("wait_group::wait")); }

 private:
  template <class F, class... A>
  void start(std::source_location where, F&& f, A&&... args) {
    count_in<detail::started<F, A...>>(
        where, *detail::make_routine<detail::counted_record>(std::forward<F>(f), std::forward<A>(args)...));
  }
  template <class T>
  void count_in(std::source_location where, detail::counted_record<T>& r) {
    if (core_ == nullptr) [[unlikely]] {
      delete &r;
      detail::throw_used_after_end("wait_group::go");
    }
    r.group = core_;
    core_->start(r, where);
  }
  detail::wait_group_core& core(const char* call) const {
    if (core_ == nullptr) [[unlikely]]
      detail::throw_used_after_end(call);
    return *core_;
  }

  detail::wait_group_core* core_;
};

}  // namespace ringo
