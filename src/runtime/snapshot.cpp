#include "runtime/snapshot.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <mutex>
#include <ranges>
#include <span>
#include <unordered_set>

#include <ringo/clock.hpp>
#include <ringo/detail/context_core.hpp>
#include <ringo/detail/object_name.hpp>
#include <ringo/detail/task_promise.hpp>
#include <ringo/run.hpp>

#include "platform/escaped.hpp"
#include "platform/never_destroyed.hpp"
#include "platform/ranked_lock.hpp"
#include "runtime/blocking_pool.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && std::string_view(a.file_name()) == b.file_name();
}

// From where the routine waits out to its own function.
std::vector<std::source_location> chain_of(const routine& r) {
  std::vector<std::source_location> chain{r.parked->where};
  std::coroutine_handle<> waits = r.resume_at;
  while (const awaited_task* by = promise_of(waits).awaited_by) {
    if (by->where.line() != 0) chain.push_back(by->where);
    waits = by->awaiting;
  }
  return chain;
}

// Leaves out ringo's own places. ringo's coroutines, such as with_timeout's, wait in the name of the place that awaits
// them, and a function that is no coroutine waits in the name of the place that started it: such a place stays once.
// Many routines wait at the same places: the names of functions are looked at once each.
class chain_shortener {
 public:
  void shorten(std::vector<std::source_location>& chain, const std::source_location& started) {
    if (chain.empty()) return;
    std::size_t kept = 1;
    for (std::size_t i = 1; i < chain.size(); ++i) {
      if (!same_place(chain[i], chain[kept - 1]) && !is_own(chain[i])) chain[kept++] = chain[i];
    }
    if (kept > 1 && same_place(chain[kept - 1], started)) --kept;
    chain.resize(kept);
  }

 private:
  bool is_own(const std::source_location& at) {
    const auto [found, is_new] = known_.try_emplace(at.function_name());
    if (is_new) found->second = function_of(at).starts_with("ringo::");
    return found->second;
  }

  std::unordered_map<const char*, bool> known_;
};

std::optional<std::size_t> if_known(std::size_t n) {
  return n == reported_object::unknown ? std::nullopt : std::optional(n);
}

}  // namespace

wait_report& wait_report::operator+=(std::string_view words) {
  append_printable(text_, words);  // which may have a path
  append_printable(general_, words);
  return *this;
}

std::string object_label(std::string_view kind, const std::string& name, std::uint64_t address) {
  if (!name.empty()) return std::string(kind) + " \"" + printable(name) + '"';
  char text[24];
  std::snprintf(text, sizeof text, " 0x%llx", static_cast<unsigned long long>(address));
  return std::string(kind) + text;
}

void wait_report::add(const void* object, const char* kind, std::string as) {
  *this += reported_object{.at = object, .kind = kind, .as = std::move(as)};
}

void wait_report::add_never(std::string_view words) {
  *this += words;
  case_is_named_ = true;
}

void wait_report::next_case(std::string_view separator) {
  *this += separator;
  earlier_are_named_ = is_complete();
  case_is_named_ = false;
}

wait_report& wait_report::operator+=(reported_object o) {
  case_is_named_ = true;
  general_ += std::string_view("aeiou").find(o.kind[0]) == std::string_view::npos ? "a " : "an ";
  general_ += o.kind;
  o.as = o.as.empty() ? object_label(o.kind, name_of(o.at), reinterpret_cast<std::uintptr_t>(o.at)) : printable(o.as);
  text_ += o.as;
  if (!o.state.empty()) text_ += " (" + o.state + ')';
  objects_.push_back(std::move(o));
  return *this;
}

snapshot_taker::snapshot_taker() { taken_.taken = now(); }

void snapshot_taker::add(routine& r, bool is_main) {
  std::uint32_t seen = r.state.load(std::memory_order_acquire);
  bool parked = false;
  while ((seen & routine::waiting) != 0 && (seen & routine::inspected) == 0) {  // else another snapshot reads it
    parked = r.state.compare_exchange_weak(seen, seen | routine::inspected, std::memory_order_acq_rel);
    if (parked) break;
  }
  const struct let_go {
    routine* of;
    ~let_go() {
      if (of != nullptr) of->state.fetch_and(~routine::inspected, std::memory_order_release);
    }
  } on_every_way_out{parked ? &r : nullptr};  // there may be no memory for the texts
  ringo::snapshot::routine& to = taken_.routines.emplace_back();
  to.number = r.number.load(std::memory_order_relaxed);
  to.name = name_of(&r);
  to.is_main = is_main;
  to.is_cancelled = (seen & (routine::cancelled | routine::context_cancelled)) != 0;
  to.ended_awaits = r.ended_awaits();
  to.started = r.started;
  to.started_by = r.started_by;
  if (const void* group = r.member_of()) members_.emplace_back(group, to.number);
  if ((seen & routine::waiting) != 0) to.state = ringo::snapshot::state::waits;
  if (parked) add_wait(r, to);
}

void snapshot_taker::add_wait(const routine& r, ringo::snapshot::routine& to) {
  wait_report report;
  r.parked->describe(*r.parked, report);
  to.waits_for = report.text();
  to.operation = report.general();
  to.chain = chain_of(r);
  to.waited = std::max(taken_.taken - time_point(duration(r.waits_since)), duration::zero());
  for (const reported_object& o : report.objects()) {
    const std::size_t index = index_of(o);
    if (std::find(to.objects.begin(), to.objects.end(), index) != to.objects.end()) continue;
    to.objects.push_back(index);
    ++taken_.objects[index].waiters;
  }
  if (r.context == nullptr) return;
  to.context = reinterpret_cast<std::uintptr_t>(r.context);
  to.context_name = name_of(r.context);
  if (r.context->deadline() != time_point::max()) to.deadline = r.context->deadline();
}

std::size_t snapshot_taker::index_of(const reported_object& o) {
  const auto [found, is_new] = indices_.try_emplace(o.at, taken_.objects.size());
  if (is_new) {
    ringo::snapshot::object& to = taken_.objects.emplace_back();
    to.id = reinterpret_cast<std::uintptr_t>(o.at);
    to.kind = o.kind;
    to.name = name_of(o.at);
    to.text = o.as;
    to.length = if_known(o.length);
    to.capacity = if_known(o.capacity);
    if (o.owner != 0) to.owners.push_back(o.owner);
  }
  return found->second;
}

ringo::snapshot snapshot_taker::finish() {
  chain_shortener chains;
  for (auto& r : taken_.routines) chains.shorten(r.chain, r.started);
  std::ranges::sort(taken_.routines, {}, &ringo::snapshot::routine::number);
  find_owners();
  find_cycles();
  return std::move(taken_);
}

void snapshot_taker::find_owners() {
  for (const auto& [group, number] : members_) {
    if (const auto found = indices_.find(group); found != indices_.end()) {
      taken_.objects[found->second].owners.push_back(number);
    }
  }
  for (std::size_t i = 0; i < taken_.objects.size(); ++i) {
    ringo::snapshot::object& o = taken_.objects[i];
    std::ranges::sort(o.owners);
    // A guard may live on when the routine that has locked is gone.
    std::erase_if(o.owners, [&](std::uint32_t number) { return routine_with(taken_, number) == nullptr; });
    if (o.owners.size() == 1 && (o.kind == "mutex" || o.kind == "shared_mutex" || o.kind == "semaphore")) {
      routine_with(taken_, o.owners.front())->holds.push_back(i);
    }
  }
}

// A routine that waits for one object waits for each of its owners. (One that waits for the first of several objects
// may go on although it waits for a routine of the cycle.) The search is in depth, without recursion, since chains of
// routines may be long. It enters each object once, by the first routine that waits for it: an object with many owners
// may have as many waiters.
void snapshot_taker::find_cycles() {
  struct step {
    std::uint32_t number;
    std::size_t object;  // that it waits for
    std::size_t next_owner = 0;
  };
  constexpr std::size_t done = ~std::size_t{0};
  std::vector<step> path;
  std::unordered_map<std::uint32_t, std::size_t> routines;  // to the place on the path, or done
  std::unordered_map<std::size_t, std::size_t> objects;     // to that of the routine that has entered it, or done
  std::unordered_set<std::uint32_t> in_cycles;
  std::size_t members = 0;  // of all cycles
  const auto add_cycle = [&](std::size_t begin) {
    const auto cycle = std::views::transform(std::span(path).subspan(begin), &step::number);
    // The cycles of a knot may be too many for the memory: then each knot has some.
    if (members >= taken_.routines.size() &&
        std::ranges::any_of(cycle, [&](std::uint32_t number) { return in_cycles.contains(number); })) {
      return;
    }
    members += cycle.size();
    in_cycles.insert(cycle.begin(), cycle.end());
    taken_.cycles.emplace_back(cycle.begin(), cycle.end());
  };
  const auto enter = [&](std::uint32_t number) {
    const auto& waits_for = routine_with(taken_, number)->objects;
    if (!routines.try_emplace(number, waits_for.size() == 1 ? path.size() : done).second || waits_for.size() != 1)
      return;
    const auto [entered, is_new] = objects.try_emplace(waits_for.front(), path.size());
    path.push_back({number, waits_for.front(), is_new ? 0 : taken_.objects[waits_for.front()].owners.size()});
    if (!is_new && entered->second != done) add_cycle(entered->second + 1);
  };
  for (const auto& first : taken_.routines) {
    enter(first.number);
    while (!path.empty()) {
      step& at = path.back();
      const auto& owners = taken_.objects[at.object].owners;
      if (at.next_owner < owners.size()) {
        const std::uint32_t owner = owners[at.next_owner++];
        const auto known = routines.find(owner);
        if (known == routines.end()) {
          enter(owner);
        } else if (known->second != done) {
          add_cycle(known->second);
        }
        continue;
      }
      routines[at.number] = done;
      if (std::size_t& entered_by = objects[at.object]; entered_by == path.size() - 1) entered_by = done;
      path.pop_back();
    }
  }
}

namespace {

// What threads and workers ask the workers of other runtimes. A worker that waits for its answer answers what others
// ask of its own runtime meanwhile: its routine, too, may ask that at any time. So workers never wait for each other,
// and one that waits holds no lock.
class questions {
 public:
  void ask(std::uint64_t runtime_id, const std::function<void(runtime_core&)>& question) {
    asked mine{runtime_id, question};
    {
      const ranked_lock<lock_rank::dump_request> guard(mutex_);
      open_.push_back(&mine);
      changed_.notify_all();  // for a worker that has to answer although it waits
    }
    bool is_posted = false;
    std::exception_ptr no_post;
    try {
      runtime_registry::with(runtime_id, [&](runtime_core& rt) {
        is_posted = rt.running() && rt.post([this, runtime_id](worker* there) {
          ranked_lock<lock_rank::dump_request> guard(mutex_);
          while (answer_one(guard, runtime_id, there)) {
          }
        });
      });
    } catch (const std::bad_alloc&) {
      no_post = std::current_exception();
    }
    worker* const here = current_worker();
    ranked_lock<lock_rank::dump_request> guard(mutex_);
    if (!is_posted && std::erase(open_, &mine) != 0) {
      mine.is_over = true;
      mine.error = no_post;
    }
    while (!mine.is_over) {
      if (here == nullptr || !answer_one(guard, here->runtime_id, here)) changed_.wait(guard);
    }
    if (mine.error) std::rethrow_exception(mine.error);
  }

 private:
  struct asked {
    const std::uint64_t of;
    const std::function<void(runtime_core&)>& question;
    std::exception_ptr error = nullptr;  // want of memory is an error of the caller, not of the runtime
    bool is_over = false;
  };

  // Under the lock, which it leaves while it answers. Without a worker the runtime has ended, and nothing is answered.
  bool answer_one(ranked_lock<lock_rank::dump_request>& guard, std::uint64_t of, worker* here) {
    const auto found = std::ranges::find(open_, of, &asked::of);
    if (found == open_.end()) return false;
    asked& one = **found;
    open_.erase(found);
    if (here != nullptr) {
      guard.unlock();
      try {
        one.question(here->runtime);
      } catch (...) {
        one.error = std::current_exception();
      }
      guard.lock();
    }
    one.is_over = true;
    changed_.notify_all();
    return true;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<asked*> open_;
};

}  // namespace

void ask_worker(std::uint64_t runtime_id, const std::function<void(runtime_core&)>& question) {
  worker* here = current_worker();
  if (here != nullptr && here->runtime_id == runtime_id) return question(here->runtime);
  if (runtime_of_blocking_call() == runtime_id) {
    // In a simulation a blocking call is a step of the only thread, so no worker could answer before it returns.
    runtime_core* simulated = nullptr;
    runtime_registry::with(runtime_id, [&simulated](runtime_core& rt) {
      if (rt.simulation != nullptr) simulated = &rt;
    });
    if (simulated != nullptr) {
      const struct back_in_the_call {
        ~back_in_the_call() { set_current_worker(nullptr); }
      } on_every_way_out;
      scheduler_of(*simulated->workers.front()).become_current();
      return question(*simulated);
    }
  }
  static never_destroyed<questions> all;
  (*all).ask(runtime_id, question);
}

ringo::snapshot take_snapshot(std::uint64_t runtime_id) {
  ringo::snapshot taken;
  runtime_registry::with(runtime_id,
                         [&](runtime_core& rt) { taken.workers = static_cast<unsigned>(rt.workers.size()); });
  ask_worker(runtime_id, [&](runtime_core& rt) { taken = rt.snapshot(); });
  return taken;
}

ringo::snapshot runtime_core::snapshot() {
  snapshot_taker all;
  each_routine([&](routine& r) { all.add(r, &r == main); });
  ringo::snapshot taken = all.finish();
  taken.workers = static_cast<unsigned>(workers.size());
  return taken;
}

}  // namespace ringo::detail
