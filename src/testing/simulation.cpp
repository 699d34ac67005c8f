#include "testing/simulation.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/snapshot.hpp"

namespace ringo::detail {
namespace {

// A driver that has only the simulation's clock: the virtual workers never sleep.
class simulated_driver final : public driver {
 public:
  explicit simulated_driver(const simulation& of) noexcept : of_(of) {}
  void attach() override {}
  time_point now() const noexcept override { return of_.now(); }
  bool poll(time_point) override { return false; }
  bool may_have_answers() const noexcept override { return false; }
  void wake() noexcept override {}
  std::size_t in_flight() const noexcept override { return 0; }
  // Sources of the outside world refuse a simulated worker before they come here (descriptor_core::enter).
  void submit(kernel_request&) noexcept override { std::terminate(); }
  void end_early(kernel_request&) noexcept override { std::terminate(); }
  void drain() noexcept override {}
  bool lends_buffers(bool) noexcept override { return false; }

 private:
  const simulation& of_;
};

// After main's end time may stand still, so a routine that ignores its cancellation would go on for ever.
constexpr std::int64_t steps_of_grace = 1'000'000;
// A routine may never wait, because all its awaits are ready, or because it catches the exceptions of its awaits and
// goes on. After so many steps at one instant, time passes all the same. If that happens so often and no event can
// come, the simulation stops waiting.
constexpr int busyness_of_a_turn = 1, busyness_of_a_throw = 8, most_busyness = 4096;
constexpr int most_in_vain = 32;
constexpr std::int64_t grace_in_vain = 32768;  // the steps of grace that each such time costs

}  // namespace

// The clock starts at a round number, the same in every run.
simulation::simulation(const testing::sim_options& o, const testing::chooser* chooser)
    : options_(o),
      choices_(chooser),
      random_(o.seed * 0x9e3779b97f4a7c15 + 0x2545f4914f6cdd1d),
      start_(std::chrono::hours(24)),
      now_(start_) {
  if (o.replay == nullptr) return;
  if (o.workers != 1) {
    throw std::invalid_argument("ringo: sim_options::replay with " + std::to_string(o.workers) +
                                " workers: a simulation follows a recording with 1 worker");
  }
  replay_.emplace(*o.replay, o.hooks);
}

std::vector<std::unique_ptr<driver>> simulation::make_drivers() {
  if (options_.workers == 0 || options_.workers > 1024) {
    throw std::invalid_argument("ringo: sim_options::workers is " + std::to_string(options_.workers) +
                                ": from 1 to 1024");
  }
  std::vector<std::unique_ptr<driver>> drivers;
  for (unsigned n = options_.workers; n > 0; --n) drivers.push_back(std::make_unique<simulated_driver>(*this));
  return drivers;
}

std::uint32_t simulation::choose(std::uint32_t n) {
  if (n < 2) return 0;
  std::uint32_t choice;
  if (choices_ != nullptr) {
    choice = (*choices_)(n);
  } else {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    choice = static_cast<std::uint32_t>(((random_ >> 32) * n) >> 32);
  }
  note((std::uint64_t{n} << 32) | choice);
  return choice;
}

void simulation::note_stubborn_await() noexcept {
  busyness_ += busyness_of_a_throw;
  throws_ = true;
}

void simulation::note(std::uint64_t what) noexcept { hash_ = (hash_ ^ what) * 0x100000001b3; }

bool simulation::fails_allocation() noexcept { return ++allocations_ == options_.fail_allocation; }

testing::report simulation::report() const {
  return {hash_, steps_, now_ - start_, replay_ ? replay_->followed() : 0, outlived_main_};
}

void simulation::main_ends(runtime_core& rt) {
  rt.each_routine([&](routine& r) {
    if (&r != rt.main) outlived_main_.push_back(line_of(r, false));
  });
}

void simulation::main_is_gone(runtime_core& rt) {
  if (!options_.fail_on_leaks || outlived_main_.empty()) return;
  if (const ringo::leaks found = rt.find_leaks(stack_); !found.found.routines.empty()) leaks_ = to_text(found);
}

void simulation::run(runtime_core& rt) {
  stack_ = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  std::int64_t grace = steps_of_grace;
  int in_vain = 0;
  while (!rt.done()) {
    if (rt.unwinding() && --grace <= 0) return rt.note_grace_over();
    const bool all_wait = !step(rt);
    if (!all_wait) {
      if (busyness_ < most_busyness) continue;
      if (rt.unwinding()) grace -= grace_in_vain;
    }
    busyness_ = 0;
    const bool throws = std::exchange(throws_, false);
    if (!settling.empty()) {
      wake_settling(rt);
      continue;
    }
    if (pass_time(rt)) {
      in_vain = 0;
      continue;
    }
    // A routine that computes may end.
    if (!all_wait && ((!throws && !rt.unwinding()) || ++in_vain < most_in_vain)) continue;
    in_vain = 0;
    if (rt.unwinding()) {
      if (!all_wait) rt.note_grace_over();
      if (!rt.finish_deadlock(*rt.workers.front())) return;
    } else {
      rt.workers.front()->become_current();
      rt.declare_deadlock(*rt.workers.front());
    }
  }
}

bool simulation::pass_time(runtime_core& rt) {
  time_point next = time_point::max();
  for (const auto& w : rt.workers) next = std::min(next, w->timers.next());
  if (next == time_point::max()) return false;
  now_ = std::max(now_, next);
  note(static_cast<std::uint64_t>((now_ - start_).count()));
  for (const auto& w : rt.workers) {
    w->become_current();
    w->expire_timers(now_);
  }
  return true;
}

// In the recording something else has made it ready before these ran: a call of blocking(), or the time.
void simulation::wait_for_wanted(runtime_core& rt) {
  if (rt.has_posts()) return;
  if (rt.pool->runnable() != 0) return run_blocking_call(*rt.pool);
  if (!pass_time(rt)) replay_->leave();
}

bool simulation::step(runtime_core& rt) {
  // The workers that have a routine to run, or could steal one.
  const bool for_all = rt.has_global() || rt.has_posts();
  const bool to_steal =
      std::any_of(rt.workers.begin(), rt.workers.end(), [](const auto& w) { return !w->queue_empty(); });
  candidates_.clear();
  for (const auto& w : rt.workers) {
    if (for_all || to_steal || w->has_work()) candidates_.push_back(w.get());
  }
  const bool calls = rt.pool->runnable() != 0;
  if (candidates_.empty() && !calls) {
    bool fresh_timers = false;
    for (const auto& w : rt.workers) {
      w->become_current();
      if (!w->timers.empty()) w->expire_timers(now_);
      fresh_timers = fresh_timers || w->has_work();
    }
    return fresh_timers;
  }
  const std::size_t choice =
      wanted_routine() != 0 ? 0 : choose(static_cast<std::uint32_t>(candidates_.size() + (calls ? 1 : 0)));
  if (choice == candidates_.size()) {
    run_blocking_call(*rt.pool);
    return true;
  }
  scheduler& w = *candidates_[choice];
  w.become_current();
  if (!w.has_work() && !w.find_work() && !rt.has_posts()) return true;
  if (routine* r = w.take_random()) {
    ++steps_;
    w.note_time(now_);
    w.resume(*r);
    if (!w.turn_lasts()) busyness_ += busyness_of_a_turn;
  } else if (w.has_work()) {
    wait_for_wanted(rt);
    w.become_current();
  }
  w.end_turn();
  return true;
}

void simulation::run_blocking_call(blocking_pool& pool) {
  const std::size_t which = choose(static_cast<std::uint32_t>(pool.runnable()));
  ++steps_;
  set_current_worker(nullptr);  // as on a thread of the pool
  in_blocking_call_ = true;
  pool.run_simulated(which);
  in_blocking_call_ = false;
}

void simulation::wake_settling(runtime_core& rt) {
  scheduler& w = *rt.workers.front();
  w.become_current();
  while (waiter* one = settling.take_open(w.shared)) {
    one->state = progress::done;
    w.push_woken(*one->blocked);
  }
}

void refuse_simulation_inside_routine() {
  if (current_worker() != nullptr) {
    throw std::logic_error(
        "ringo: testing::simulate() was called inside a routine: a simulation is a program of its own");
  }
}

testing::report simulate(const testing::sim_options& o, const testing::chooser* chooser, routine& main) {
  struct unless_it_runs {
    routine* of;
    ~unless_it_runs() {
      if (of == nullptr) return;
      of->ended.store(true, std::memory_order_release);
      of->release();
    }
  } refused{&main};  // options may be
  simulation sim(o, chooser);
  runtime_options settings;
  settings.shutdown_grace = std::chrono::nanoseconds::max();
  settings.recorder = o.recorder;
  settings.hooks = sim.hooks();
  settings.on_warning = o.on_warning;
  runtime_core rt(std::move(settings), sim.make_drivers(), &sim);
  refused.of = nullptr;
  rt.run(main);
  if (!sim.leaks().empty() && main.untaken_error() == nullptr) {
    throw std::runtime_error("ringo: simulate: main has returned: " + sim.leaks());
  }
  return sim.report();
}

void settle_operation::enter(worker* w) {
  if (!w->simulated) {
    throw std::logic_error(
        "ringo: testing::settle() outside of a simulation: who waits for what is known there only (testing::simulate)");
  }
  queue_ = &static_cast<simulation*>(w->runtime.simulation)->settling;
}
wait_queue& settle_operation::queue() noexcept { return *queue_; }

}  // namespace ringo::detail

namespace ringo::testing {

exploration explore(const std::function<task<>()>& make_main, std::uint64_t most, unsigned workers) {
  struct choice {
    std::uint32_t made, of;
  };
  std::vector<choice> path;
  exploration seen{0, false};
  while (seen.runs < most) {
    std::size_t depth = 0;
    const chooser follow = [&](std::uint32_t n) {
      if (depth == path.size()) path.push_back({0, n});
      return path[depth++].made;
    };
    ++seen.runs;
    try {
      auto* r = detail::make_routine(make_main());
      handle<void> h = detail::handle_access::make(r);
      detail::simulate({.seed = 0, .workers = workers}, &follow, *r);
      h.join().take();
    } catch (...) {
      std::string choices;
      for (const choice& c : path) choices += " " + std::to_string(c.made) + "/" + std::to_string(c.of);
      throw std::runtime_error("ringo: explore, run " + std::to_string(seen.runs) + ": " +
                               detail::describe_current_exception() + "; choices:" + choices);
    }
    path.resize(depth);
    while (!path.empty() && path.back().made + 1 == path.back().of) path.pop_back();
    if (path.empty()) {
      seen.complete = true;
      break;
    }
    ++path.back().made;
  }
  return seen;
}

}  // namespace ringo::testing
