// wait_group: waits for a collection of routines (Go: sync.WaitGroup).
#pragma once
#include <ringo/detail/cpp20.hpp>
#include <ringo/detail/mistakes.hpp>

#include <cstddef>
#include <source_location>
#include <string>
#include <utility>

#include <ringo/detail/mortal_source.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/started.hpp>

namespace ringo {

class wait_group;

namespace detail {

// The awaitable of wait_group::wait. Throws: cancelled. Cancel safety: waiting changes nothing.
class RINGO_AWAITABLE wait_group_operation final : public mortal_operation<wait_group_operation, void> {
 public:
  static constexpr const char* call_name = "wait for a wait_group";
  explicit wait_group_operation(wait_group& of) noexcept : of_(&of) {}

  void enter(worker* w);
  spin_lock* lock() noexcept;
  mortal_queue& queue() noexcept;
  bool ready(worker&) noexcept;
  void tell(std::string& text) const;

 private:
  wait_group* of_;
};

// A routine that counts in a wait_group.
template <class T>
struct counted_record : record<T> {
  void at_end(worker&) noexcept override;
  wait_group** counted_in() noexcept override { return &group; }

  wait_group* group = nullptr;
};

}  // namespace detail

// A counter that is waited on to become zero. It may be destroyed as soon as a wait has returned, and used again once
// all have. When it is destroyed, who still waits ends with `cancelled`. It must outlive the routines that its go() has
// started: if one of them still runs when it is destroyed, the process ends, with a message that says where it was
// started. (A routine whose wait() was cancelled and that goes on to destroy the wait_group does that: use scope() or a
// group where routines are cancelled.) Thread: workers, or one thread while no runtime runs; done() any thread, and from one that is no worker it
// has happened soon after.
class wait_group : private detail::mistaken_starts {
 public:
  using mistaken_starts::go;

  wait_group() noexcept = default;
  wait_group(const wait_group&) = delete;
  wait_group& operator=(const wait_group&) = delete;
  ~wait_group();

  // Throws std::logic_error if the counter would go below zero, and changes nothing then; where a runtime runs and the
  // thread is no worker, that is unhandled (options::on_unhandled).
  void add(std::ptrdiff_t n = 1);
  void done();

  // Counts, starts a routine that runs f(args...), and is done() when it ends, whichever way. What it throws is
  // unhandled (options::on_unhandled).
  template <class T>
  void go(task<T>&& t, std::source_location where = std::source_location::current()) {
    count_in<T>(where, *detail::make_routine_of<detail::counted_record>(std::move(t)));
  }
  template <class F>
  requires detail::startable<F>
  void go(F&& f, std::source_location where = std::source_location::current()) { start(where, std::forward<F>(f)); }
  template <class F, class A>
  requires detail::startable<F, A>
  void go(F&& f, A&& a, std::source_location where = std::source_location::current()) {
    start(where, std::forward<F>(f), std::forward<A>(a));
  }
  template <class F, class A, class B>
  requires detail::startable<F, A, B>
  void go(F&& f, A&& a, B&& b, std::source_location where = std::source_location::current()) {
    start(where, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C, class... More>
  requires detail::startable<F, A, B, C, More...>
  void go(F&& f, A&& a, B&& b, C&& c, More&&... more) {
    start({}, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b), std::forward<C>(c),
          std::forward<More>(more)...);
  }

  // When the counter is zero; without suspending if it is already. All who wait go on.
  detail::wait_group_operation wait() noexcept { return detail::wait_group_operation(*this); }

 private:
  friend class detail::wait_group_operation;
  template <class T>
  friend struct detail::counted_record;

  template <class F, class... A>
  void start(std::source_location where, F&& f, A&&... args) {
    count_in<detail::started<F, A...>>(
        where, *detail::make_routine<detail::counted_record>(std::forward<F>(f), std::forward<A>(args)...));
  }
  template <class T>
  void count_in(std::source_location where, detail::counted_record<T>& r) {
    r.group = this;
    count_and_start(where, r);
  }
  void look_for_members() noexcept;
  void count_and_start(std::source_location where, detail::routine& r);
  void change(detail::worker* w, std::ptrdiff_t n, const char* call);
  // With one worker, where nobody is to be woken, a change is no more than this; else false, and nothing has changed.
  bool change_alone(const detail::worker& w, std::ptrdiff_t n) noexcept {
    if (w.shared || owner_.runtime_id() != w.runtime_id || count_ + n <= 0) [[unlikely]]
      return false;
    count_ += n;
    return true;
  }
  void ended(detail::worker& w) noexcept {
    if (!change_alone(w, -1)) [[unlikely]]
      change(&w, -1, "done");
  }

  detail::spin_lock lock_;
  detail::ownership owner_;
  std::ptrdiff_t count_ = 0;
  detail::mortal_queue waiting_;
};

namespace detail {

template <class T>
void counted_record<T>::at_end(worker& w) noexcept {
  group->ended(w);
}

}  // namespace detail
}  // namespace ringo
