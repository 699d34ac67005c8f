#include "runtime/stall_watch.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <new>
#include <utility>

#include "platform/own_memory.hpp"
#include "platform/signals_blocked.hpp"
#include "platform/thread_state.hpp"
#include "runtime/recorder.hpp"
#include "runtime/report.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {
namespace {

constexpr duration shortest_period = std::chrono::milliseconds(1);
constexpr duration long_stall = std::chrono::seconds(1);  // is told, though others like it were a moment ago
constexpr duration longest_silence = std::chrono::hours(1);
constexpr std::size_t most_frames = 40;  // fits a screen

// What a std::source_location refers to; the compiler's own layout, which both of g++ and clang have.
struct place_in_code {
  std::uintptr_t file, function;
  unsigned line, column;
};

// Memory that an await has left may still have its place, or anything else. So this believes it only if it refers to a
// record within a module, with a line and with the name of a file.
std::optional<std::source_location> believed_place(std::uintptr_t at, const code_names& names) {
  static_assert(sizeof(std::source_location) == sizeof(std::uintptr_t));
  const auto where = read_own<std::uintptr_t>(at);
  if (!where || !names.is_in_module(*where)) return std::nullopt;
  const auto place = read_own<place_in_code>(*where);
  constexpr unsigned most_lines = 10'000'000;
  if (!place || place->line == 0 || place->line > most_lines || place->column > most_lines) return std::nullopt;
  if (!names.is_in_module(place->file) || !names.is_in_module(place->function)) return std::nullopt;
  for (std::uintptr_t i = 0; i < 4096; ++i) {
    const auto letter = read_own<unsigned char>(place->file + i);
    if (!letter || (*letter != 0 && *letter < ' ')) return std::nullopt;
    if (*letter == 0) return i != 0 ? std::optional(std::bit_cast<std::source_location>(*where)) : std::nullopt;
  }
  return std::nullopt;
}

// Where a member is in a routine, for a routine that may be gone.
template <class T>
std::uintptr_t address_in(std::uintptr_t record, T routine::* member) {
  const routine model{};
  return record + (reinterpret_cast<std::uintptr_t>(&(model.*member)) - reinterpret_cast<std::uintptr_t>(&model));
}

// All that a worker counts while it goes on, or nothing if it sleeps.
std::optional<std::int64_t> progress_of(const counters& of) noexcept {
  const std::int64_t wakes = of.wakes.value();
  if (of.parks.value() != wakes) return std::nullopt;
  return of.resumes.value() + of.steals.value() + of.steals_failed.value() + wakes;
}

// The scheduler's functions that resume routines, and, without optimisation, the call of a resume: these are the same
// on each stack.
bool is_schedulers(const code_place& place) noexcept {
  constexpr std::string_view scheduler = "ringo::detail::scheduler::";
  std::string_view function = place.function;
  if (function.find("coroutine_handle<void>::resume()") != std::string_view::npos) return true;
  if (function.starts_with("void ")) function.remove_prefix(5);  // an instance of a template
  if (!function.starts_with(scheduler)) return false;
  function.remove_prefix(scheduler.size());
  return function.starts_with("run") || function.starts_with("resume");
}

// ringo's own functions and those of the standard library that programs do not call.
bool is_internal(const code_place& place) {
  const std::string name = short_name(place.function);
  return name.starts_with("ringo::") || name.starts_with("std::_") || name.starts_with("__gnu_cxx::");
}

// Adds the stack without internal functions at its outer end. A stack that was guessed has no other internal functions,
// either, if there are some of the program's: those would mislead that may have returned.
// `told` is the program's innermost function in the last stack: if it is the same, the text has only its name.
void add_stack(std::string& text, bool is_guessed, const std::vector<stack_frame>& stack, code_names& names,
               std::string& told) {
  std::vector<code_place> places;
  places.reserve(stack.size());
  for (const stack_frame& frame : stack) places.push_back(names.find(frame.address));
  while (!places.empty() && is_schedulers(places.back())) places.pop_back();
  if (!std::ranges::all_of(places, is_internal)) {
    while (is_internal(places.back())) places.pop_back();
  }
  std::string function;
  bool has_programs = false;
  for (std::size_t i = 0; i < places.size() && function.empty(); ++i) {
    const bool is_programs = places[i].module == places.back().module && !is_internal(places[i]);
    has_programs = has_programs || is_programs;
    if (is_programs && !stack[i].may_have_returned && !places[i].function.starts_with("std::")) {
      function = places[i].function;
    }
  }
  if (!function.empty() && function == told) {
    text += "It is still in " + function;
    return;
  }
  told = std::move(function);
  text += is_guessed ? "Its stack (what has a ? may have returned):" : "Its stack:";
  std::size_t lines = 0;
  for (std::size_t i = 0; i < places.size() && lines < most_frames; ++i) {
    if ((stack[i].may_have_returned || (is_guessed && has_programs)) && is_internal(places[i])) continue;
    text += (stack[i].may_have_returned ? "\n  ? " : "\n    ") + places[i].text();
    ++lines;
  }
}

// Stalls of routines that were started at one place are alike if their threads do the same.
long kind_of(const thread_state& state) noexcept {
  return state.call ? state.call->number : -1 - static_cast<long>(state.is);
}

void add_what_it_does(std::string& text, const scheduler& w, const thread_state& state, const spent_time& spent,
                      code_names& names, std::string& told) {
  const std::string share = length_of(spent.on_cpu) + " of CPU in " + length_of(spent.elapsed) +
                            (spent.without_cpu < std::chrono::milliseconds(1)
                                 ? std::string()
                                 : ", and waited " + length_of(spent.without_cpu) + " for a CPU");
  const std::uintptr_t outermost = w.stack.load(std::memory_order_relaxed);
  std::vector<stack_frame> stack;
  switch (state.is) {
    case thread_state::kind::unknown:
      text += ". The system does not say what its thread does (" + share + ')';
      return;
    case thread_state::kind::blocked:
      if (!state.call) {
        text += ". Its thread is blocked, but not in a system call: by a page that is not in memory, perhaps (" +
                share + ')';
      } else {
        // One that went on after an interruption has lost its number; the C library's function has its name.
        const std::string name = is_restarted(*state.call) ? names.find(state.code).function : std::string();
        text += ". It is in the system call " + (name.empty() ? describe(*state.call) : name) + " (" + share + "). ";
        text += is_wait_for_thread(*state.call)
                    ? "Hold a std::mutex neither across a co_await nor for long, and wait by ringo's own mutex, "
                      "condition or channel"
                    : "Use ringo's own call, or put this one into blocking(f)";
      }
      stack = guess_stack(state, outermost, names);
      if (stack.empty()) return;
      text += ". ";
      return add_stack(text, true, stack, names, told);
    case thread_state::kind::runs:
      text += ". It computes (" + share + "). Let others run by co_await yield(), or put it into blocking(f). ";
      switch (walk_stack(w.thread.load(std::memory_order_acquire), outermost, stack)) {
        case walk_outcome::walked:
          return add_stack(text, false, stack, names, told);
        case walk_outcome::signal_is_taken:
          text += "Its stack is not known: the program handles SIGURG";
          return;
        case walk_outcome::signal_is_blocked:
          text += "Its stack is not known: its thread blocks SIGURG";
          return;
        case walk_outcome::no_answer:
          text += "Its stack is not known: its thread has not answered";
          return;
      }
  }
}

struct kept_by {
  const void* routine = nullptr;  // null: the worker is between two routines
  std::source_location started;
  std::optional<std::source_location> waited;
  bool has_waited = false;
};

std::optional<kept_by> find_keeper(const scheduler& w, code_names& names) {
  const auto resume = w.counts.resumes.value();
  const auto current = read_own(&w.current);
  if (!current) return std::nullopt;
  kept_by keeper;
  const auto record = reinterpret_cast<std::uintptr_t>(*current);
  if (record != 0) {
    const auto started = read_own<std::source_location>(address_in(record, &routine::started));
    const auto parked = read_own<std::uintptr_t>(address_in(record, &routine::parked));
    if (!started || !parked) return std::nullopt;
    keeper = {*current, *started, {}, *parked != 0};
    if (keeper.has_waited) keeper.waited = believed_place(*parked + offsetof(parked_operation, where), names);
  }
  if (read_own(&w.current) != current || w.counts.resumes.value() != resume) return std::nullopt;
  return keeper;
}

std::string describe(const kept_by& keeper, const runtime_core& of) {
  if (keeper.routine == nullptr)
    return "what it does between two routines: a destructor of one that has ended, perhaps";
  std::string text = keeper.routine == of.main.load(std::memory_order_relaxed) ? "the main routine, run at "
                                                                               : "the routine started at ";
  text += place_of(keeper.started);
  if (keeper.waited) return text + ", which last waited at " + place_of(*keeper.waited);
  return keeper.has_waited ? text : text + ", which has not waited yet";
}

}  // namespace

stall_watch::stall_watch(runtime_core& rt, duration limit) : runtime_(rt), limit_(limit), watched_(rt.workers.size()) {
  const signals_blocked inherited;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "ringo stalls");
}

stall_watch::~stall_watch() {
  stop();
  thread_.join();
}

void stall_watch::stop() noexcept {
  const std::lock_guard guard(mutex_);
  stopped_ = true;
  changed_.notify_one();
}

void stall_watch::list_threads(std::vector<pid_t>& ids) const {
  if (const pid_t thread = idle_thread_.load(std::memory_order_acquire)) ids.push_back(thread);
}

void stall_watch::tell(std::string_view text) noexcept {
  const pid_t thread = idle_thread_.exchange(0, std::memory_order_acq_rel);
  runtime_.warn(text);
  idle_thread_.store(thread, std::memory_order_release);
}

void stall_watch::run() noexcept {
  idle_thread_.store(::gettid(), std::memory_order_release);
  const duration period = std::max(limit_ / 2, shortest_period);
  time_point last = std::chrono::steady_clock::now();
  std::unique_lock guard(mutex_);
  while (!changed_.wait_for(guard, period, [this] { return stopped_; })) {
    guard.unlock();
    const time_point now = std::chrono::steady_clock::now();
    // If this thread was kept from running, by a debugger or a busy machine, so were the others.
    const duration overslept = now - last - period;
    last = now;
    try {
      for (std::size_t i = 0; i < watched_.size(); ++i) {
        if (overslept > period) watched_[i].since += overslept;
        look_at(*runtime_.workers[i], watched_[i], now);
      }
    } catch (const std::bad_alloc&) {  // the next look tries again
      runtime_.warned.tell_rarely("there is no memory for the text about a stall", {});
    }
    guard.lock();
  }
}

void stall_watch::look_at(const scheduler& w, watched& of, time_point now) {
  const pid_t thread = w.thread.load(std::memory_order_acquire);
  const auto progress = thread != 0 ? progress_of(w.counts) : std::nullopt;
  if (progress != of.progress) {
    if (of.is == watched::told::yes) {
      tell("the worker goes on after " + length_of(now - of.since) + ", in which it was kept by " + of.text);
    }
    of = {};
    of.progress = progress;
    of.since = now;
    if (progress) of.on_cpu_before = cpu_time(w.cpu_clock.load(std::memory_order_relaxed));
    return;
  }
  // Not before its first resume: the other workers are started then.
  if (!progress || *progress == 0) return;
  // Files are read only when a stall is likely, so that the program hardly ever sees their descriptors.
  if (!of.without_cpu_before) of.without_cpu_before = waited_for_cpu(thread).value_or(duration::zero());
  if (now - of.since <= limit_ || now < of.tell_again) return;
  look_into(w, of, now);
}

spent_time stall_watch::spent_since(const scheduler& w, const watched& of, time_point now) const {
  spent_time spent{now - of.since, {}, {}};
  const auto on_cpu = cpu_time(w.cpu_clock.load(std::memory_order_relaxed));
  spent.on_cpu = on_cpu && of.on_cpu_before ? *on_cpu - *of.on_cpu_before : spent.elapsed;
  const auto waited = waited_for_cpu(w.thread.load(std::memory_order_acquire));
  if (waited && of.without_cpu_before) spent.without_cpu = *waited - *of.without_cpu_before;
  return spent;
}

// Adds what keeps the worker that has locked the mutex, or, if that is not known, each worker that has been kept since
// the last look and does not wait for a thread itself.
void stall_watch::add_holders(std::string& text, const scheduler& w, const system_call& call, time_point now,
                              code_names& names) const {
  const pid_t owner = owner_of_mutex(call);
  const bool is_known = owner != 0 && std::ranges::any_of(runtime_.workers, [owner](const auto& each) {
                          return each->thread.load(std::memory_order_acquire) == owner;
                        });
  for (std::size_t i = 0; i < watched_.size(); ++i) {
    const scheduler& other = *runtime_.workers[i];
    const pid_t thread = other.thread.load(std::memory_order_acquire);
    if (&other == &w || (is_known && thread != owner)) continue;
    const watched& of = watched_[i];
    const auto is_kept = [&] { return of.progress && of.since < now && progress_of(other.counts) == of.progress; };
    const thread_state state = is_kept() ? state_of(thread) : thread_state();
    const auto keeper = is_kept() ? find_keeper(other, names) : std::nullopt;
    std::string about = "\n  Worker " + std::to_string(i) + (is_known ? " has locked this mutex" : "");
    if (keeper && keeper->routine != nullptr && (is_known || !state.call || !is_wait_for_thread(*state.call))) {
      const spent_time spent = spent_since(other, of, now);
      about += (is_known ? ", and has been kept for " : " has been kept, too, for ") + length_of(spent.elapsed) +
               " by " + describe(*keeper, runtime_);
      std::string told;
      add_what_it_does(about, other, state, spent, names, told);
      if (is_kept()) text += about;
    } else if (is_known) {
      text += about + ", and has gone on since: perhaps a routine holds it across a co_await";
    }
  }
}

void stall_watch::look_into(const scheduler& w, watched& of, time_point now) {
  const pid_t thread = w.thread.load(std::memory_order_acquire);
  const thread_state state = state_of(thread);
  const long does = kind_of(state);
  const bool lasts = now - of.since >= long_stall;
  if (of.is == watched::told::left_out && of.does == does && !lasts) return;
  const spent_time spent = spent_since(w, of, now);
  if (own_time(spent, state.is == thread_state::kind::runs) <= limit_) return;

  code_names names;
  const auto keeper = find_keeper(w, names);
  if (!keeper || progress_of(w.counts) != of.progress) return;                                     // it goes on
  if (keeper->routine == nullptr && runtime_.settings.spin > std::chrono::nanoseconds(0)) return;  // looks for work
  std::string text;
  const bool is_told = of.is == watched::told::yes;
  if (!is_told) {
    of.text = describe(*keeper, runtime_);
    text = "a worker has been kept for " + length_of(spent.elapsed) + " by " + of.text;
    if (of.is == watched::told::not_yet) runtime_.stalls.add();
    if (of.is == watched::told::not_yet || !lasts) {
      auto admitted = runtime_.warned.admit(text, keeper->started, does);
      if (!admitted) {
        of.is = watched::told::left_out;
        of.does = does;
        return;
      }
      text = std::move(*admitted);
    }
    of.is = watched::told::yes;
  } else {
    text = "a worker is still kept, after " + length_of(spent.elapsed) + ", by " + of.text;
  }
  of.tell_again = now + std::min(now - of.since, longest_silence);
  add_what_it_does(text, w, state, spent, names, of.function);
  if (state.call && is_wait_for_thread(*state.call)) add_holders(text, w, *state.call, now, names);
  // If the worker has gone on, the stack may be another routine's or its own. The next look tells that it goes on.
  if (is_told && progress_of(w.counts) != of.progress) return;
  tell(text);
  if (runtime_.recorder && runtime_.settings.recorder_file != "") runtime_.recorder->write_file(".stall", runtime_);
}

stall_probe::stall_probe(const runtime_core& rt) : since_(std::chrono::steady_clock::now()) {
  for (const auto& w : rt.workers) {
    worker_then& then = workers_.emplace_back();
    const pid_t thread = w->thread.load(std::memory_order_acquire);
    if (thread == 0) continue;
    then.progress = progress_of(w->counts);
    then.on_cpu = cpu_time(w->cpu_clock.load(std::memory_order_relaxed));
    then.without_cpu = waited_for_cpu(thread);
  }
}

std::vector<std::string> stall_probe::kept(const runtime_core& rt) const {
  std::vector<std::string> texts(workers_.size());
  const stack_signal asks_for_stacks;
  code_names names;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const scheduler& w = *rt.workers[i];
    const worker_then& then = workers_[i];
    const pid_t thread = w.thread.load(std::memory_order_acquire);
    if (thread == 0 || !then.progress || progress_of(w.counts) != then.progress) continue;
    const thread_state state = state_of(thread);
    spent_time spent{std::chrono::steady_clock::now() - since_, {}, {}};
    spent.on_cpu = cpu_time(w.cpu_clock.load(std::memory_order_relaxed)).value_or(duration::zero()) -
                   then.on_cpu.value_or(duration::zero());
    spent.without_cpu = waited_for_cpu(thread).value_or(duration::zero()) - then.without_cpu.value_or(duration::zero());
    const auto keeper = find_keeper(w, names);
    if (!keeper || progress_of(w.counts) != then.progress) continue;  // it goes on
    texts[i] = "for " + length_of(spent.elapsed) + " by " + describe(*keeper, rt);
    std::string told;
    add_what_it_does(texts[i], w, state, spent, names, told);
  }
  return texts;
}

}  // namespace ringo::detail
