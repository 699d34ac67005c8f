#include <ringo/detail/io_operation.hpp>

#include <ringo/detail/foreign_threads.hpp>

#include "io/descriptor_core.hpp"
#include "runtime/outside_error.hpp"

namespace ringo::detail {

void descriptor_source::append_to(wait_report& report, const char* kind) const { report.add(this, kind, name()); }

void descriptor_source::enter(const worker* w, const char* call) {
  if (w->simulated) [[unlikely]]
    refuse_in_simulation(call);
  owner.enter(w, call);
}

void descriptor_source::check() const {
  for (const wait_queue& each : waiting_) each.check();
}

bool descriptor_source::ready(io_request& r, worker& w) noexcept {
  if (r.side == io_side::close) return is_closed();
  if (!is_open()) return true;
  const wait_queue& before_it = waiting(r.side);
  if (!before_it.empty() && before_it.front() != &r) return false;
  if (can(r)) return true;
  ask(r, w);
  return false;
}

bool descriptor_source::commit(io_request& r, worker& w) noexcept {
  if (!ready(r, w)) return false;
  give_or_refuse(r);
  // Until it has acted, or thrown with the source's name; a use since act_first(), if that has returned false.
  if ((r.acts || r.failure != 0) && !std::exchange(r.counts, true)) use();
  return true;
}

void descriptor_source::give_or_refuse(io_request& r) noexcept {
  r.acts = false;
  r.failure = 0;
  if (r.side != io_side::close) is_open() ? give(r) : void(r.failure = own_side_closed);
  r.state = r.failure != 0 ? progress::failed : progress::done;
}

void descriptor_source::refuse(io_request& r, int error) noexcept {
  r.acts = false;
  r.failure = error;
  r.state = progress::failed;
}

namespace {

// For link(): its caller parks next, and may hold the locks of a select. The end of link() is the last moment at which
// the worker can put the woken routines into its queue.
class linking_section final : public section {
 public:
  explicit linking_section(worker& w) noexcept : section(&w, w.shared) {}
  ~linking_section() { push_woken(); }
};

}  // namespace

void descriptor_source::begin(io_request& r, worker& w) noexcept {
  if (!std::exchange(r.counts, true)) use();
  wait_queue& queue = waiting(r.side);
  r.goes_first ? queue.push_front(r) : queue.push_back(r);
  if (r.side != io_side::close) return ask(r, w);
  linking_section here(w);
  begin_closing(here);
}

bool descriptor_source::end(io_request& r) noexcept {
  if (r.where_queued == waiter::place::queued) {
    waiting(r.side).remove(r);
    if (is_open()) left(r);
  }
  if (std::exchange(r.counts, false)) disuse();
  return unused();
}

bool descriptor_source::act_first(io_request& r) noexcept {
  r.acts = false;
  const bool over = act(r, true);
  if (!over) r.state = progress::idle;
  return over;
}

void descriptor_source::take(io_request& r) {
  const struct use_ended {
    descriptor_source& of;
    io_request& by;
    ~use_ended() {
      if (std::exchange(by.counts, false)) of.end_use();
    }
  } at_the_end{*this, r};
  if (std::exchange(r.acts, false)) act(r, false);
  if (r.failure != 0) [[unlikely]]
    fail(r);
}

void descriptor_source::discard(io_request& r) noexcept {
  put_back(r);
  r.acts = r.goes_first = false;
  if (std::exchange(r.counts, false)) end_use();
}

void descriptor_source::serve(io_side s, section& here) noexcept {
  wait_queue& queue = waiting(s);
  while (waiter* const first = here.on() != nullptr ? queue.front() : nullptr) {
    io_request& r = static_cast<io_request&>(*first);
    if (s != io_side::close && !can(r)) return;
    queue.pop_front(r);
    if (!r.blocked->claim(here.shared())) continue;  // another source has claimed it; its routine ends the use
    give_or_refuse(r);
    here.wake(*r.blocked);
  }
}

// Without a worker no runtime runs, so no routine can go on: the requests only leave the queue.
void descriptor_source::end_all(io_side s, section& here) noexcept {
  wait_queue& queue = waiting(s);
  while (waiter* const first = queue.front()) {
    queue.pop_front(*first);
    if (here.on() == nullptr || !first->blocked->claim(here.shared())) continue;
    give_or_refuse(static_cast<io_request&>(*first));
    here.wake(*first->blocked);
  }
}

void descriptor_source::end_use() noexcept {
  bool was_last;
  {
    const worker* const w = current_worker();
    const optional_guard guard(lock, w == nullptr || w->shared);  // no section: this wakes nothing
    disuse();
    if (checked_build) check();
    was_last = unused();
  }
  if (was_last) [[unlikely]]
    delete_this();
}

bool descriptor_source::try_add_handle() noexcept {
  std::uint32_t now = handles_.load(std::memory_order_relaxed);
  while (now != 0 && !handles_.compare_exchange_weak(now, now + 1, std::memory_order_relaxed)) {
  }
  return now != 0;
}

// acq_rel: the last holder sees what the others did before they let go.
void descriptor_source::drop_handle() noexcept {
  if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  worker* w = current_worker();
  if (w != nullptr && w->runtime_id == owner.runtime_id()) return drop_here(w);
  do_where_used(owner, [this](worker* there) { drop_here(there); });
}

void descriptor_source::drop_here(worker* w) noexcept {
  // In a simulation no other thread knows the source, and begin_closing() closes the descriptor at once.
  section_of here(*this, w, w != nullptr && w->shared && !w->simulated);
  begin_closing(here);
  is_dropped_ = true;
  here.end_behind_queue();
}

}  // namespace ringo::detail
