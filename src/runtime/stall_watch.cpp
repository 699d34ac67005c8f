#include "runtime/stall_watch.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

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

// Of a stall, without what the thread does.
noticed_stall notice(const scheduler& w, const kept_by& keeper, const runtime_core& of, duration lasts) {
  noticed_stall made;
  made.id = static_cast<std::uint64_t>(of.stalls.value());
  made.worker = w.index;
  made.routine = keeper.number;
  made.is_main = is_main(keeper, of);
  made.name = keeper.name;
  if (keeper.routine != nullptr) made.started = place_of(keeper.started);
  if (keeper.waited) made.waited = place_of(*keeper.waited);
  made.begin =
      std::chrono::system_clock::now() - std::chrono::duration_cast<std::chrono::system_clock::duration>(lasts);
  return made;
}

}  // namespace

stall_watch::stall_watch(runtime_core& rt, duration limit) : runtime_(rt), limit_(limit), watched_(rt.workers.size()) {
  const signals_blocked inherited;
  thread_ = std::thread([this] { run(); });
  ::pthread_setname_np(thread_.native_handle(), "ringo stalls");
  runtime_.noticed_stalls.begin(limit_);
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
    if (of.is != watched::told::not_yet) note_end(of, now);
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
      stall_account does{std::move(about), {}, {}, {}};
      add_what_it_does(does, other, state, spent, names);
      if (is_kept()) text += does.text;
    } else if (is_known) {
      text += about + ", and has gone on since: perhaps a routine holds it across a co_await";
    }
  }
}

void stall_watch::note_end(watched& of, time_point now) {
  of.stall.lasts = now - of.since;
  of.stall.goes_on = false;
  runtime_.noticed_stalls.note(of.stall);
}

void stall_watch::look_into(const scheduler& w, watched& of, time_point now) {
  const pid_t thread = w.thread.load(std::memory_order_acquire);
  const thread_state state = state_of(thread);
  const long does = kind_of(state);
  const bool lasts = now - of.since >= long_stall;
  if (of.is == watched::told::left_out && of.stall.does == does && !lasts) return;
  const spent_time spent = spent_since(w, of, now);
  if (own_time(spent, state.is == thread_state::kind::runs) <= limit_) return;

  code_names names;
  const auto keeper = find_keeper(w, names);
  if (!keeper || progress_of(w.counts) != of.progress) return;                                     // it goes on
  if (keeper->routine == nullptr && runtime_.settings.spin > std::chrono::nanoseconds(0)) return;  // looks for work
  std::string text;
  const bool is_told = of.is == watched::told::yes;
  if (of.is == watched::told::not_yet) {
    runtime_.stalls.add();
    of.stall = notice(w, *keeper, runtime_, now - of.since);
  } else if (of.stall.does != does) {  // a stall of another kind
    note_end(of, now);
    of.stall.goes_on = true;
    of.stall.text.clear();
    of.function.clear();
  }
  of.stall.lasts = now - of.since;
  of.stall.does = does;
  if (!is_told) {
    of.text = describe(*keeper, runtime_);
    text = "a worker has been kept for " + length_of(spent.elapsed) + " by " + of.text;
    if (of.is == watched::told::not_yet || !lasts) {
      auto admitted = runtime_.warned.admit(text, keeper->started, does);
      if (!admitted) {
        of.is = watched::told::left_out;
        return runtime_.noticed_stalls.note(of.stall);
      }
      text = std::move(*admitted);
    }
    of.is = watched::told::yes;
  } else {
    text = "a worker is still kept, after " + length_of(spent.elapsed) + ", by " + of.text;
  }
  of.tell_again = now + std::min(now - of.since, longest_silence);
  stall_account account{{}, std::move(of.function), {}, {}};
  add_what_it_does(account, w, state, spent, names);
  of.function = std::move(account.function);
  if (state.call && is_wait_for_thread(*state.call)) add_holders(account.text, w, *state.call, now, names);
  // If the worker has gone on, the stack may be another routine's or its own. The next look tells that it goes on.
  if (is_told && progress_of(w.counts) != of.progress) return;
  text += account.text;
  if (of.stall.text.empty() || !account.stack.empty()) {  // else it is still in the function that the stack begins with
    of.stall.text = "by " + of.text + account.text;
    of.stall.call = std::move(account.call);
    of.stall.stack = std::move(account.stack);
  }
  runtime_.noticed_stalls.note(of.stall);
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
    stall_account does{std::move(texts[i]), {}, {}, {}};
    add_what_it_does(does, w, state, spent, names);
    texts[i] = std::move(does.text);
  }
  return texts;
}

}  // namespace ringo::detail
