// The search for leaks.
//
// A routine waits for sources, and a source wakes it only if something with a pointer to the source acts: a routine, a
// thread, a timer, or the kernel. So the search marks all memory that those can reach, as a garbage collector does, but
// conservatively: each word that may be an address counts as a pointer. Blocks are those of malloc (heap_map.hpp), of
// which frames, records and sources are some.
//
// The roots:
//   - all memory of the process that is in no known block: static and thread-local data, stacks, mappings;
//   - each routine that runs, is ready, or waits for the kernel, for time, or for anything that is not in
//     `kinds_in_memory`; main, which stop() may cancel; armed timers; the workers' drivers.
// A record that is reached is live: a handle of it, or its context, can cancel it. A source that is reached leads to
// its waiters, through its queue, and so to their records. What is left are the leaks.
//
// Not followed are pointers of ringo's own that wake nothing: the links of rosters and run queues, the memory of
// workers (old entries of the run queue, free frames), the part of a worker's stack that it does not use. Old values
// elsewhere, such as in a variable that has been moved from, make a leak look live, never a live routine a leak.
//
// A routine that a scope of main's has started runs under a context that main reaches, so main can end it: by this rule
// it is no leak, whatever it waits for. As most routines of a server are such, a second search asks for those that only
// a cancellation can end. It does not follow a context's links to the contexts and routines below it. A routine whose
// context has a deadline will end, and one that waits for the end of its own context means to be cancelled: both count
// as live in it. It finds all that the first one finds, so it is made first, and where it finds nothing it is the only
// one.
//
// What could make a live routine look like a leak, and what is done against it:
//   - Pointers move while the search runs. Workers are stopped for it. Other threads go on; so a search that has found
//     something is done twice, and a leak must be one both times.
//   - A pointer is nowhere in memory: in a register of a thread that is no worker, in the kernel only (as the data of
//   an
//     epoll of the program's own), or encoded. A channel knows how many handles it has: it is live unless as many are
//     found in what the leaks themselves reach. Objects that count no handles have no such net. (docs/observability.md)
#include <pthread.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ringo/clock.hpp>
#include <ringo/detail/context_core.hpp>
#include <ringo/detail/wait_report.hpp>
#include <ringo/run.hpp>

#include "platform/heap_map.hpp"
#include "platform/ranked_lock.hpp"
#include "runtime/leak_marker.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/snapshot.hpp"

namespace ringo::detail {
namespace {

// Objects whose waiters only a pointer to the object can wake. Any other kind may be woken from outside.
// A timer that will have a value is in a queue of armed timers while a routine waits for it, and those are roots.
constexpr std::array kinds_in_memory =
    std::to_array<std::string_view>({"channel", "mutex", "shared_mutex", "semaphore", "event", "condition", "latch",
                                     "barrier", "group", "routine", "wait_group", "worker_pool", "timer"});
constexpr std::string_view context_kind = "context";

// How long a search waits for the other workers to stop.
constexpr std::chrono::seconds patience{5};

memory_range range_of(const void* object, std::size_t size) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(object);
  return {at, at + size};
}

// The part of the calling thread's stack below `used`. Of a worker that is between two turns, that is all below run().
memory_range unused_stack(std::uintptr_t used) noexcept {
  pthread_attr_t attributes;
  void* lowest = nullptr;
  std::size_t size = 0;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return {};
  ::pthread_attr_getstack(&attributes, &lowest, &size);
  ::pthread_attr_destroy(&attributes);
  return {reinterpret_cast<std::uintptr_t>(lowest), used};
}

// While it lives, the runtime's other workers wait between two turns, where they hold no lock. A worker takes all posts
// that there are, so each is posted when the one before has stopped a worker.
class stopped_workers {
 public:
  explicit stopped_workers(runtime_core& rt) : state_(std::make_shared<state>()) {
    const std::size_t others = rt.simulation != nullptr ? 0 : rt.workers.size() - 1;
    const auto until = std::chrono::steady_clock::now() + patience;
    for (std::size_t n = 1; n <= others && all_; ++n) {
      all_ = rt.post([kept = state_](worker* w) {
        if (w != nullptr) stop_here(*kept, unused_stack(scheduler_of(*w).stack.load(std::memory_order_relaxed)));
      });
      ranked_lock<lock_rank::dump_request> guard(state_->mutex);
      all_ = all_ && state_->changed.wait_until(guard, until, [&] { return state_->unused_stacks.size() >= n; });
    }
  }
  stopped_workers(const stopped_workers&) = delete;
  stopped_workers& operator=(const stopped_workers&) = delete;
  ~stopped_workers() {
    const ranked_lock<lock_rank::dump_request> guard(state_->mutex);
    state_->is_over = true;
    state_->changed.notify_all();
  }

  bool all() const noexcept { return all_; }
  const std::vector<memory_range>& unused_stacks() const noexcept { return state_->unused_stacks; }

 private:
  struct state {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<memory_range> unused_stacks;
    bool is_over = false;
  };
  static void stop_here(state& s, memory_range unused) {
    ranked_lock<lock_rank::dump_request> guard(s.mutex);
    if (s.is_over) return;
    s.unused_stacks.push_back(unused);
    s.changed.notify_all();
    s.changed.wait(guard, [&s] { return s.is_over; });
  }

  const std::shared_ptr<state> state_;
  bool all_ = true;
};

// A routine that waits for objects in memory only.
struct candidate {
  hidden record;
  struct object {
    hidden at;
    std::size_t handles;  // of a channel
  };
  std::vector<object> objects;
};

class leak_search {
 public:
  enum class ends : std::uint8_t { by_cancellation, otherwise };  // with `otherwise` a cancellation does not count

  leak_search(runtime_core& rt, const heap_map& map, std::vector<memory_range> blind, ends which)
      : runtime_(rt), blind_(sorted(with_own(rt, std::move(blind)))), live_(map, blind_), which_(which) {}

  // The records of the leaked routines, in ascending order.
  std::vector<hidden> run();

 private:
  static std::vector<memory_range> with_own(runtime_core& rt, std::vector<memory_range> blind) {
    for (const auto& w : rt.workers) blind.push_back(range_of(w.get(), sizeof(scheduler)));
    return blind;
  }
  static std::vector<memory_range> sorted(std::vector<memory_range> all) {
    std::ranges::sort(all, {}, &memory_range::begin);
    return all;
  }
  void sort_out(routine& r);
  bool is_live(const candidate& c) const noexcept {
    return live_.has(address_of(c.record)) ||
           std::ranges::any_of(c.objects, [this](const auto& o) { return live_.has(address_of(o.at)); });
  }
  bool will_be_cancelled(const routine& r, const reported_object& o) const noexcept;
  void add_contexts();
  void settle();
  bool find_missing_handles();

  runtime_core& runtime_;
  const std::vector<memory_range> blind_;
  marker live_;
  std::vector<candidate> candidates_;
  const ends which_;
  std::unordered_set<std::uintptr_t> roots_;  // of the trees of contexts; complements of their addresses
};

// By a deadline, or because it waits for that.
bool leak_search::will_be_cancelled(const routine& r, const reported_object& o) const noexcept {
  if (r.context != nullptr && r.context->deadline() != time_point::max()) return true;
  if (context_kind != o.kind || o.at == nullptr) return false;
  if (static_cast<const context_core*>(o.at)->deadline() != time_point::max()) return true;
  for (const context_core* c = r.context; c != nullptr; c = c->parent()) {
    if (c == o.at) return true;
  }
  return false;
}

void leak_search::add_contexts() {
  live_.leave_out_cancellation();
  for (const std::uintptr_t root : roots_) {
    auto* tree = reinterpret_cast<context_core*>(~root);  // NOLINT(performance-no-int-to-ptr)
    tree->each_in_tree(current_worker(), [this](const context_core& c) { live_.add_context(c); });
  }
}

void leak_search::sort_out(routine& r) {
  live_.add_record(r);
  bool may_be_leaked = &r != runtime_.main && r.is_waiting();
  candidate c{hide(&r), {}};
  const auto add_root = [this](const context_core* of) {
    if (which_ == ends::otherwise && of != nullptr) roots_.insert(~reinterpret_cast<std::uintptr_t>(&of->root()));
  };
  add_root(r.context);
  if (may_be_leaked) {
    wait_report report;
    r.parked->describe(*r.parked, report);
    may_be_leaked = report.is_complete();
    for (const reported_object& o : report.objects()) {
      const std::string_view kind = o.kind;
      may_be_leaked = may_be_leaked &&
                      (std::ranges::find(kinds_in_memory, kind) != kinds_in_memory.end() || kind == context_kind) &&
                      (kind != "channel" || o.handles != reported_object::unknown) &&
                      (which_ == ends::by_cancellation || !will_be_cancelled(r, o));
      if (kind == context_kind) add_root(static_cast<const context_core*>(o.at));
      c.objects.push_back({hide(o.at), o.handles});
    }
  }
  may_be_leaked ? candidates_.push_back(std::move(c)) : live_.mark(reinterpret_cast<std::uintptr_t>(&r));
}

// Follows marks until no candidate becomes live any more.
void leak_search::settle() {
  for (bool changed = true; changed;) {
    live_.follow();
    changed = std::erase_if(candidates_, [this](const candidate& c) {
                if (!is_live(c)) return false;
                live_.mark(address_of(c.record));
                return true;
              }) != 0;
  }
}

// Channels with handles that are not in what the leaks reach are live. False: there are none.
bool leak_search::find_missing_handles() {
  std::unordered_map<std::uint64_t, std::size_t> found;  // by the complement of the channel's address
  marker leaked(live_);
  for (const candidate& c : candidates_) {
    for (const auto& o : c.objects) {
      if (o.handles != reported_object::unknown) found.emplace(static_cast<std::uint64_t>(o.at), 0);
    }
    leaked.mark(address_of(c.record));
  }
  if (found.empty()) return false;
  leaked.follow(&found);
  bool any = false;
  for (const candidate& c : candidates_) {
    for (const auto& o : c.objects) {
      if (o.handles == reported_object::unknown || found.at(static_cast<std::uint64_t>(o.at)) >= o.handles) continue;
      live_.mark(address_of(o.at));
      any = true;
    }
  }
  return any;
}

std::vector<hidden> leak_search::run() {
  runtime_.each_routine([this](routine& r) { sort_out(r); });
  if (candidates_.empty()) return {};
  if (which_ == ends::otherwise) add_contexts();
  for (const auto& w : runtime_.workers) {
    w->timers.each_armed([this](const timer_entry& e) { live_.mark(reinterpret_cast<std::uintptr_t>(&e)); });
    live_.mark(reinterpret_cast<std::uintptr_t>(w->driver_.get()));
  }
  live_.mark_elsewhere();
  do settle();
  while (find_missing_handles());
  std::vector<hidden> leaked;
  leaked.reserve(candidates_.size());
  for (const candidate& c : candidates_) leaked.push_back(c.record);
  std::ranges::sort(leaked);
  return leaked;
}

// Workers keep free blocks, which malloc knows as used.
void leave_out_free_frames(const runtime_core& rt, heap_map& map) {
  const auto leave_out = [](void* of, const void* block) {
    static_cast<heap_map*>(of)->leave_out_block(reinterpret_cast<std::uintptr_t>(block));
  };
  for (const auto& w : rt.workers) w->frames.each_free(leave_out, &map);
  frame_cache::each_exchanged(leave_out, &map);
}

}  // namespace

leaks runtime_core::find_leaks(std::uintptr_t stack) {
  leaks result;
  static std::atomic<bool> is_under_way = false;
  if (is_under_way.exchange(true, std::memory_order_acquire)) {
    result.not_searched = "another search is under way";
    return result;
  }
  const struct over {
    ~over() { is_under_way.store(false, std::memory_order_release); }
  } at_the_end;
  const stopped_workers stopped(*this);
  if (!stopped.all()) {
    result.not_searched = "a worker did not stop for it within five seconds";
    return result;
  }
  std::vector<memory_range> blind = stopped.unused_stacks();
  blind.push_back(unused_stack(stack));
  std::vector<hidden> leaked, strict;  // if no cancellation counts; also if one does
  for (int round = 0; round < 2; ++round) {
    // Each search has a map of its own: what the one before has freed must count as free.
    const auto keep_those_found = [&](std::vector<hidden>& of, leak_search::ends which) {
      if (round != 0 && of.empty()) return true;
      heap_map map;
      leave_out_free_frames(*this, map);
      if (!map.is_known()) return false;
      std::vector<hidden> now_leaked = leak_search(*this, map, blind, which).run();
      if (round == 0) {
        of = std::move(now_leaked);
      } else {
        std::erase_if(of, [&](hidden h) { return !std::ranges::binary_search(now_leaked, h); });
      }
      return true;
    };
    if (!keep_those_found(leaked, leak_search::ends::otherwise) ||
        (!leaked.empty() && !keep_those_found(strict, leak_search::ends::by_cancellation))) {
      result.not_searched = "malloc is not glibc's, or its heaps are not as expected";
      return result;
    }
    if (leaked.empty()) break;
  }
  if (leaked.empty()) strict.clear();
  snapshot_taker found, until_cancelled;
  each_routine([&](routine& r) {
    ++result.searched;
    if (std::ranges::binary_search(strict, hide(&r)))
      found.add(r, false);
    else if (std::ranges::binary_search(leaked, hide(&r)))
      until_cancelled.add(r, false);
  });
  const auto take = [this](snapshot_taker& taker) {
    ringo::snapshot s = taker.finish();
    s.workers = static_cast<unsigned>(workers.size());
    s.taken = now();
    for (auto& each : s.objects) each.id = 0;
    return s;
  };
  result.found = take(found);
  result.until_cancelled = take(until_cancelled);
  return result;
}

namespace {

// The frames below this one belong to the search.
[[gnu::noinline]] leaks find_from_here(std::uint64_t runtime_id) {
  const auto asker = std::this_thread::get_id();
  const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  leaks found;
  found.not_searched = "the runtime does not run";
  ask_worker(runtime_id, [&](runtime_core& rt) {
    __builtin_unwind_init();
    scheduler& by = scheduler_of(*current_worker());
    // A worker may answer while a routine of it asks another runtime: that routine's frames are searched, too.
    const auto inner = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const bool is_between_resumes = by.current == nullptr;
    const bool is_asker = std::this_thread::get_id() == asker;
    found = rt.find_leaks(is_asker ? frame : is_between_resumes ? by.stack.load(std::memory_order_relaxed) : inner);
  });
  return found;
}

}  // namespace

// What its callers have in registers is stored in this function's frame, where the search sees it.
leaks find_leaks(std::uint64_t runtime_id) {
  __builtin_unwind_init();
  leaks found = find_from_here(runtime_id);
  return found;
}

}  // namespace ringo::detail
