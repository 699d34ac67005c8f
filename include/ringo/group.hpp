// group: routines that are waited for together, and end together (Go: errgroup). scope: a group that nothing outlives.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/context.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/group_core.hpp>
#include <ringo/detail/mistakes.hpp>
#include <ringo/detail/overloads.hpp>
#include <ringo/task.hpp>

namespace ringo {

// The members run under a context of the group's own, a child of `parent`. The first error, by time, cancels that
// context with the error as its cause, unless the policy is keep_going, and wait() rethrows it; the others are counted,
// and options::on_warning hears of them.
//
// A member that ends with `cancelled` is an error only where the group's context has been cancelled, by its parent or
// through ctx(), and then wait() throws `cancelled`. One that has met with it elsewhere, as where it joins a routine
// that was cancelled, or where a group inside of it was ended early, ends alone: the other members run on.
//
// Thread: workers, or one thread while no runtime runs.
class group : private detail::mistaken_starts {
 public:
  using mistaken_starts::go, mistaken_starts::try_go, mistaken_starts::background;

  explicit group(const context& parent = current_context(), on_error policy = on_error::cancel_rest,
                 std::source_location made = std::source_location::current())
      : core_(new detail::group_core(parent, policy, made)) {}
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  // Cancels the members that still run, and does not wait for them: they may use what is gone by then, so
  // options::on_warning hears of it. Await wait() on every way out, or use scope(). Those that are queued never start.
  // A routine that waits in wait() ends with `cancelled` when all have ended.
  ~group() {
    core_->leave();
    core_ = nullptr;
    detail::keep_mark(core_);
  }

  // At most n members run at a time. Throws std::logic_error while there are any (semantics 154).
  void limit(std::size_t n) { core().limit(n); }

  // Starts a member that runs f(args...); at the limit it is queued, and starts when another ends. After the first
  // error or cancel(), what is queued never starts, and a new member is cancelled from its beginning.
  template <class T>
  void go(task<T>&& t, std::source_location where = std::source_location::current()) {
    add(where, *detail::make_routine_of<detail::member_record>(std::move(t)));
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

  // The same, but at the limit it does nothing and returns false; f and args are then as they were.
#define RINGO_OVERLOAD(N)                                                                                           \
  template <RINGO_CLASSES_##N>                                                                                      \
  requires detail::startable<RINGO_TYPES_##N>                                                                       \
  bool try_go(RINGO_PARAMETERS_##N, std::source_location where = std::source_location::current()) {                 \
    return start_reserved(where, [&] { return detail::make_routine<detail::member_record>(RINGO_FORWARDED_##N); }); \
  }
  RINGO_OVERLOADS(RINGO_OVERLOAD)
#undef RINGO_OVERLOAD
  template <RINGO_CLASSES_6, class A7, class... More>
  requires detail::startable<RINGO_TYPES_6, A7, More...>
  bool try_go(RINGO_PARAMETERS_6, A7&& a7, More&&... more) {
    return start_reserved({}, [&] {
      return detail::make_routine<detail::member_record>(RINGO_FORWARDED_6, std::forward<A7>(a7),
                                                         std::forward<More>(more)...);
    });
  }
  template <class T>
  bool try_go(task<T>&& t, std::source_location where = std::source_location::current()) {
    return start_reserved(where, [&] { return detail::make_routine_of<detail::member_record>(std::move(t)); });
  }

  // Starts a background member, such as a health check or a progress bar: wait() does not wait for it to end by itself.
  // Once wait() is awaited and no other member runs or is queued, the background members are cancelled, and wait()
  // joins them. In a scope, that is when the body and all other members have ended. What a background member throws
  // counts as any member's error. It takes no place of the limit, and starts at once.
  template <class T>
  void background(task<T>&& t, std::source_location where = std::source_location::current()) {
    add_background(where, *detail::make_routine_of<detail::member_record>(std::move(t)));
  }
#define RINGO_OVERLOAD(N)                                                                               \
  template <RINGO_CLASSES_##N>                                                                          \
  requires detail::startable<RINGO_TYPES_##N>                                                           \
  void background(RINGO_PARAMETERS_##N, std::source_location where = std::source_location::current()) { \
    start_background(where, RINGO_FORWARDED_##N);                                                       \
  }
  RINGO_OVERLOADS(RINGO_OVERLOAD)
#undef RINGO_OVERLOAD
  template <RINGO_CLASSES_6, class A7, class... More>
  requires detail::startable<RINGO_TYPES_6, A7, More...>
  void background(RINGO_PARAMETERS_6, A7&& a7, More&&... more) {
    start_background({}, RINGO_FORWARDED_6, std::forward<A7>(a7), std::forward<More>(more)...);
  }

  // Waits until one more member would start at once: for a producer that makes work faster than the group does it. It
  // reserves nothing: as long as the place is free, the next routine that waits goes on as well. A routine that awaits
  // it alone looks again when it runs, and waits on, ahead of the others, if the place has been taken meanwhile. In a
  // cancelled group, places come free as the members end, so look at ctx() too before you make work without end.
  // Throws: cancelled. Fairness: first come, first served.
  detail::group_slot_operation slot() { return detail::group_slot_operation(core()); }

  // Ends the group early, without an error: cancels all members, and returns at once. Those that are still queued never
  // start. wait() and scope then join the members and return normally, unless a member has thrown something else than
  // `cancelled`, or `parent` is cancelled as well. In a scope the body is cancelled, too. Members that are started
  // before a wait() is over are cancelled from their beginning; after that, the group can be used anew. Once or more
  // often; from a thread that is no worker, cancel a copy of ctx() instead: wait() then throws `cancelled`.
  void cancel() { core().stop(); }

  // Until all members have ended; then rethrows the first error. Throws cancelled if the parent has been cancelled. If
  // the caller is cancelled, the members are, too, and are joined before it throws.
  // As a case of a select that loses it has done nothing but what background() says. In the body of a scope it is a
  // stage on the way: background members run on, and the body and the group go on as before.
  // When all members have ended and no error is kept, the next go() begins a new use of the group, under a new ctx().
  // A routine that has waited for the old use does not touch the new one, though it may run later.
  detail::group_wait wait() { return detail::group_wait(core()); }

  // The context of the members; of the next use of the group it is another one.
  context ctx() const { return core().ctx(); }

 private:
  template <class F>
  friend task<> detail::run_scope(F f, std::source_location where);

  template <class F, class... A>
  void start(std::source_location where, F&& f, A&&... args) {
    add(where, *detail::make_routine<detail::member_record>(std::forward<F>(f), std::forward<A>(args)...));
  }
  template <class T>
  void add(std::source_location where, detail::member_record<T>& r) {
    join(r, where);
    core().add(r);
  }
  template <class F, class... A>
  void start_background(std::source_location where, F&& f, A&&... args) {
    add_background(where, *detail::make_routine<detail::member_record>(std::forward<F>(f), std::forward<A>(args)...));
  }
  template <class T>
  void add_background(std::source_location where, detail::member_record<T>& r) {
    join(r, where);
    r.kind = detail::group_core::member::background;
    core().add_background(r);
  }
  template <class Make>
  bool start_reserved(std::source_location where, Make make) {
    if (!core().reserve()) return false;
    try {
      auto* r = make();
      join(*r, where);
      core().start_reserved(*r);
    } catch (...) {
      core().give_back_reserved();
      throw;
    }
    return true;
  }
  template <class T>
  void join(detail::member_record<T>& r, std::source_location where) {
    if (core_ == nullptr) [[unlikely]] {
      delete &r;
      detail::throw_used_after_end("group::go");
    }
    r.of = core_;
    r.started = where;
  }

  detail::group_core& core() const {
    if (core_ == nullptr) [[unlikely]]
      detail::throw_used_after_end("group");
    return *core_;
  }

  detail::group_core* core_;
};

namespace detail {

template <class F>
concept scope_body = can_be_kept<F> && requires(std::decay_t<F>& f, group& g) {
  { f(g) };
  requires awaitable<decltype(f(g))>;
};

template <class F>
task<> run_scope(F f, std::source_location where) {
  group members(current_context(), on_error::cancel_rest, where);
  members.core_->body_begins();
  task<> ended =
      wait_for_group(*members.core_, where);  // made before there are members, so that nothing keeps from joining them
  std::exception_ptr error;
  {
    const entered_context in(context_access::core(members.ctx()));
    try {
      co_await in_name_of(where, f(members));
    } catch (...) {
      error = std::current_exception();
    }
  }
  members.core_->body_ended(error);
  co_await std::move(ended);
}

}  // namespace detail

// Calls f(group&), awaits the task that it returns, and joins all members of the group, whichever way f ends: nothing
// outlives it. f runs under the group's context, as a member does: the first error, f's own or a member's, cancels the
// rest, and is rethrown when all have ended. After group::cancel() it returns normally, although f may have ended with
// `cancelled`; any other `cancelled` of f is an error as every other. Throws: cancelled.
template <class F>
RINGO_RETURNS_TASK task<> scope(F&& f, std::source_location where = std::source_location::current()) {
  static_assert(!RINGO_DESTROYS_AGGREGATES_TWICE || !detail::risky_closure<F>,
                "g++ 12 destroys the captures of a lambda written inside a co_await expression twice: name the lambda "
                "first, and pass it by name, or capture by reference");
  constexpr bool is_body = detail::scope_body<F>;
  static_assert(is_body,
                "scope calls f(group&), and awaits the task that it returns: write [&](group& g) -> task<> { ... }");
  if constexpr (is_body) return detail::run_scope<std::decay_t<F>>(std::forward<F>(f), where);
  __builtin_unreachable();
}

}  // namespace ringo
