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
#include <ringo/detail/starting.hpp>
#include <ringo/task.hpp>

namespace ringo {

/// What a group does after the first error of a member.
enum class on_error { cancel_rest, keep_going };

/// The members run under a context of the group's own, a child of `parent`. The first error cancels that context, with
/// the error as its cause, unless the policy is keep_going; wait() rethrows it. Later errors are counted and told to
/// runtime_options::on_warning.
///
///   group g;
///   for (auto& url : urls) g.go(fetch, url);
///   co_await g.wait();  // all have ended; throws the first error
///
/// A member that ends with `cancelled` is an error only where the group's context has been cancelled, by its parent or
/// through ctx(); then wait() throws `cancelled`. Where `cancelled` comes from elsewhere, as from a routine that the
/// member joins, only that member ends, and the others run on.
///
/// Thread: workers, or one thread while no runtime runs.
class group : private detail::mistaken_starts {
 public:
  using mistaken_starts::go, mistaken_starts::try_go, mistaken_starts::background;

  explicit group(const context& parent = current_context(), on_error policy = on_error::cancel_rest,
                 std::source_location made = std::source_location::current())
      : core_(new detail::group_core(parent, policy, made)) {}
  explicit group(const detail::object_name& name, const context& parent = current_context(),
                 on_error policy = on_error::cancel_rest, std::source_location made = std::source_location::current())
      : group(parent, policy, made) {
    core_->set_name(name);
  }
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  /// Cancels the members that still run, and does not wait for them. They may then use objects that are gone, so
  /// runtime_options::on_warning hears of it: await wait() on every way out, or use scope(). Queued members never
  /// start. A routine that waits in wait() gets `cancelled` when all members have ended.
  ~group() {
    core_->leave();
    core_ = nullptr;
    detail::keep_mark(core_);
  }

  /// At most n members run at a time. Throws: std::logic_error while there are any (semantics 154).
  void limit(std::size_t n) { core().limit(n); }

  /// go(f, args...), go(task): starts a member, as ringo::go does. At the limit the member is queued, and starts when
  /// another ends. After the first error or cancel(), queued members never start, and a new member is cancelled from
  /// its beginning.
  RINGO_STARTS(detail::startable, go, , start)

  /// The same, but at the limit it does nothing and returns false; f and args are then unchanged.
  RINGO_STARTS(detail::startable, try_go, , try_start)

  /// Starts a background member, such as a health check or a progress bar. wait() does not wait for it: once no other
  /// member runs or is queued, wait() cancels and joins the background members. A scope does so when its body and all
  /// other members have ended. An exception of a background member counts as any member's. It takes no place of the
  /// limit, and starts at once.
  RINGO_STARTS(detail::startable, background, , start_background)

  /// Waits until one more member would start at once; for a producer that is faster than the group. It reserves
  /// nothing: while the place is free, the next waiting routine goes on as well. A routine that awaits it outside of a
  /// select looks again when it runs, and waits on, ahead of the others, if the place is taken. In a cancelled group,
  /// places come free as the members end, so check ctx() too before you make endless work.
  /// Throws: cancelled. Cancel safety: waiting changes nothing. Fairness: first come, first served.
  detail::group_slot_operation slot() { return detail::group_slot_operation(core()); }

  /// Ends the group early, without an error: cancels all members, and returns at once. wait() and scope then join the
  /// members and return normally, unless a member throws something else than `cancelled`, or `parent` is cancelled as
  /// well. Queued members never start, and in a scope the body is cancelled, too. Members that are started before a
  /// wait() is over are cancelled from their beginning; after that wait() the group can be used anew. May be called
  /// again. Thread: workers; elsewhere cancel a copy of ctx() (wait() then throws `cancelled`).
  void cancel() { core().stop(); }

  /// Waits until all members have ended, then rethrows the first error. If the caller is cancelled, the members are,
  /// too, and are joined before it throws. After that, the next go() begins a new use of the group, under a new ctx().
  /// In the body of a scope, background members run on, and the body and the group go on as before.
  /// Throws: the first error; cancelled if the parent or the caller is cancelled. Cancel safety: as a case of a select
  /// that loses, it has had no effect but on background members. Thread: workers.
  detail::group_wait wait() { return detail::group_wait(core()); }

  /// The context of the members. The next use of the group has another one.
  context ctx() const { return core().ctx(); }

 private:
  template <class F>
  friend task<> detail::run_scope(F f, std::source_location where);

  template <class F, class... A>
  void start(std::source_location where, F&& f, A&&... args) {
    auto& r = made<detail::member_record>(where, std::forward<F>(f), std::forward<A>(args)...);
    core_->add(r);
  }
  template <class F, class... A>
  void start_background(std::source_location where, F&& f, A&&... args) {
    auto& r = made<detail::background_record>(where, std::forward<F>(f), std::forward<A>(args)...);
    core_->add_background(r);
  }
  template <class F, class... A>
  bool try_start(std::source_location where, F&& f, A&&... args) {
    if (!core().reserve()) return false;
    try {
      core().start_reserved(made<detail::member_record>(where, std::forward<F>(f), std::forward<A>(args)...));
    } catch (...) {
      core().give_back_reserved();
      throw;
    }
    return true;
  }
  // A new member's record.
  template <template <class> class Record, class F, class... A>
  auto& made(std::source_location where, F&& f, A&&... args) {
    auto& r = *detail::make_routine<Record>(std::forward<F>(f), std::forward<A>(args)...);
    if (core_ == nullptr) [[unlikely]] {
      r.release();
      detail::throw_used_after_end("group::go");
    }
    r.of = core_;
    r.started = where;
    return r;
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
  // Made before there are members: a lack of memory for it later would keep them from being joined.
  task<> ended = wait_for_group(*members.core_, where);
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

/// Calls f(group&), awaits the task that it returns, and joins all members of the group, however f ends: no member
/// outlives the call. f runs under the group's context, as a member does. The first error, of f or of a member, cancels
/// the rest, and is rethrown when all have ended. After group::cancel() it returns normally, although f may have ended
/// with `cancelled`; otherwise a `cancelled` of f is an error as any other.
///
///   co_await scope([&](group& g) -> task<> {
///     g.go(reads, std::ref(in));
///     co_await writes(out);
///   });
///
/// Throws: the first error; cancelled. Thread: workers.
template <class F>
RINGO_RETURNS_TASK task<> scope(F&& f, std::source_location where = std::source_location::current()) {
  static_assert(!RINGO_DESTROYS_AGGREGATES_TWICE || !detail::risky_closure<F>, RINGO_SAY_NAME_LAMBDA);
  constexpr bool is_body = detail::scope_body<F>;
  static_assert(is_body,
                "scope calls f(group&), and awaits the task that it returns: write [&](group& g) -> task<> { ... }");
  if constexpr (is_body) return detail::run_scope<std::decay_t<F>>(std::forward<F>(f), where);
  __builtin_unreachable();
}

}  // namespace ringo
