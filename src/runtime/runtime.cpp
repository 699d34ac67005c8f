#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <mutex>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

#include <ringo/run.hpp>

#include "platform/environment_variable.hpp"
#include "platform/never_destroyed.hpp"
#include "platform/standard_streams.hpp"
#include "platform/text_file.hpp"
#include "platform/usable_cpus.hpp"
#include "runtime/driver_choice.hpp"
#include "runtime/inspected_run.hpp"
#include "runtime/inspection.hpp"
#include "runtime/recorder.hpp"
#include "runtime/registry.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/snapshot.hpp"

namespace ringo {
namespace {

// A bound against mistakes, above the number of CPUs of any machine that ringo was tried on.
constexpr unsigned most_workers = 1024;

unsigned worker_count(unsigned asked) {
  if (asked > most_workers) {
    throw std::invalid_argument("ringo: runtime_options::workers is " + std::to_string(asked) + ": at most " +
                                std::to_string(most_workers));
  }
  return asked != 0 ? asked : static_cast<unsigned>(detail::usable_cpus());
}

// A hook belongs to one runtime, stderr to the whole process, which hears of each thing once.
void warn_of_start(detail::runtime_core& of, const std::string& text) {
  static detail::never_destroyed<std::mutex> mutex;
  static detail::never_destroyed<std::set<std::string>> told;
  if (text.empty()) return;
  if (of.settings.on_warning == nullptr) {
    const std::lock_guard guard(*mutex);
    if (!(*told).insert(text).second) return;
  }
  of.warn(text);
}

// Whether the rings fit, and beside them the stacks of the workers' threads, without which the program cannot run.
bool has_room_for_rings(std::int64_t bytes, unsigned workers) noexcept {
  constexpr std::int64_t beside = 16 << 20;  // each worker's
  const auto size = static_cast<std::size_t>((bytes + beside) * workers);
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory != MAP_FAILED && ::munmap(memory, size) == 0;
}

// RINGO_RECORD=FILE[,BYTES], where the program itself leaves the options. Returns a warning if its value cannot be
// read.
std::string take_recorder_from_environment(runtime_options& o) {
  const std::string_view text = detail::environment_variable("RINGO_RECORD");
  if (text.empty() || o.recorder != 0 || !o.recorder_file.empty()) return {};
  constexpr std::int64_t most = 1 << 30;
  const std::size_t comma = text.rfind(',');
  std::int64_t bytes = 1 << 20;
  if (comma != std::string_view::npos) {
    const std::string_view number = text.substr(comma + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), bytes);
    if (error != std::errc() || end != number.data() + number.size()) bytes = 0;
  }
  const unsigned workers = worker_count(o.workers);
  if (bytes <= 0 || bytes > most / workers) {
    return detail::unused_variable("RINGO_RECORD", text,
                                   "FILE or FILE,BYTES is allowed, with a gigabyte at most for all workers");
  }
  if (!has_room_for_rings(bytes, workers)) {
    return detail::unused_variable("RINGO_RECORD", text,
                                   "the recordings of all workers take " + std::to_string(bytes * workers) +
                                       " bytes, for which there is no room: FILE,BYTES with fewer bytes for each "
                                       "worker takes less, or raise the limit of the address space (ulimit -v)");
  }
  o.recorder = static_cast<std::size_t>(bytes);
  o.recorder_file = detail::with_process_number(text.substr(0, comma));
  return {};
}

// RINGO_STALL=50ms, where the program itself leaves the option. Returns a warning if its value cannot be read.
std::string take_stall_from_environment(runtime_options& o) {
  const std::string_view text = detail::environment_variable("RINGO_STALL");
  if (text.empty() || o.stall >= std::chrono::nanoseconds(0)) return {};
  const auto number = detail::leading_number(text);
  const std::string_view unit = text.substr(std::min(text.find_first_not_of("0123456789"), text.size()));
  const std::int64_t length = unit == "us" ? 1'000 : unit == "ms" ? 1'000'000 : unit == "s" ? 1'000'000'000 : 0;
  constexpr std::chrono::nanoseconds longest = std::chrono::hours(24 * 365);
  if (number && *number >= 0 && length != 0 && *number <= longest.count() / length) {
    o.stall = std::chrono::nanoseconds(*number * length);
    return {};
  }
  return detail::unused_variable("RINGO_STALL", text, "it is a time in us, ms or s, such as 50ms");
}

// A runtime, while it runs, that SIGQUIT may dump. The signal dumps the last of them.
//
// The handler runs on any thread, so a runtime that ends waits for it, as ~signals does: the handler counts itself in
// `inside` before it reads `last`; the destructor changes `last`, and then waits until `inside` has been 0. All of
// these are seq_cst: either the handler sees the change, or the destructor sees the handler.
class signal_dump {
 public:
  signal_dump(detail::runtime_core& rt, bool wanted) : runtime_(rt), wanted_(wanted) {
    if (!wanted_) return;
    const std::lock_guard guard(mutex());
    if (below_ = newest; below_ == nullptr) {
      struct sigaction ours{};
      ours.sa_handler = on_signal;
      ours.sa_flags = SA_RESTART;
      ::sigaction(SIGQUIT, &ours, &before);
    }
    newest = this;
    last.store(&runtime_, std::memory_order_seq_cst);
  }
  signal_dump(const signal_dump&) = delete;
  signal_dump& operator=(const signal_dump&) = delete;
  ~signal_dump() {
    if (!wanted_) return;
    const std::lock_guard guard(mutex());
    signal_dump** link = &newest;
    while (*link != this) link = &(*link)->below_;
    *link = below_;
    if (struct sigaction now{};
        newest == nullptr && ::sigaction(SIGQUIT, nullptr, &now) == 0 && now.sa_handler == on_signal) {
      ::sigaction(SIGQUIT, &before, nullptr);
    }
    last.store(newest != nullptr ? &newest->runtime_ : nullptr, std::memory_order_seq_cst);
    while (inside.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  }

 private:
  static void on_signal(int) {
    const int saved = errno;
    inside.fetch_add(1, std::memory_order_seq_cst);
    if (detail::runtime_core* rt = last.load(std::memory_order_seq_cst)) rt->request_dump();
    inside.fetch_sub(1, std::memory_order_seq_cst);
    errno = saved;
  }
  using its_mutex = detail::ranked<std::mutex, detail::lock_rank::leaf>;
  static its_mutex& mutex() noexcept {  // never destroyed: a thread may run a runtime while the process exits
    static auto& one = *new its_mutex;
    return one;
  }

  static inline std::atomic<int> inside = 0;
  static inline std::atomic<detail::runtime_core*> last = nullptr;
  static inline signal_dump* newest = nullptr;  // under the mutex
  static inline struct sigaction before{};      // the process's action for SIGQUIT before; under the mutex

  detail::runtime_core& runtime_;
  const bool wanted_;
  signal_dump* below_ = nullptr;
};

}  // namespace

runtime::runtime(runtime_options o) {
  if (o.blocking_threads == 0) {
    throw std::invalid_argument("ringo: runtime_options::blocking_threads is 0: blocking() needs one at least");
  }
  if (o.ring_entries == 0) throw std::invalid_argument("ringo: runtime_options::ring_entries is 0: 1 is the least");
  const std::string unused_recorder = take_recorder_from_environment(o);
  const std::string unused_stall = take_stall_from_environment(o);
  auto [drivers, kind, fallback] = detail::choose_drivers(o, worker_count(o.workers));
  o.driver = kind;
  core_ = detail::owned(new detail::runtime_core(std::move(o), std::move(drivers), nullptr));
  for (const std::string& each : {fallback, unused_recorder, unused_stall}) warn_of_start(*core_, each);
}

runtime::~runtime() = default;

void runtime::run_main(detail::routine& r) {
  const detail::inspected_run inspected(core_->warned);
  const signal_dump on_signal(*core_, core_->settings.dump_on_sigquit);
  core_->run(r);
}

void runtime::prepare_run() {
  detail::refuse_in_forked_child("run");
  if (detail::current_worker() != nullptr) {
    throw std::logic_error(
        "ringo: run() was called on a worker, inside a routine: start a routine with go(), or await the task");
  }
  core_->claim_run();
  detail::hold_standard_streams();  // the program may have become a daemon since the runtime was made
}

void detail::start_from_outside(std::uint64_t runtime_id, routine& r) {
  refuse_in_forked_child("runtime::go");
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) {
    if (rt.unwinding()) return;
    rt.workers.front()->announce(r);
    accepted = rt.post([&r](worker* w) {
      if (w != nullptr && !w->runtime.unwinding()) return start(*w, r, r.started);
      end_unbegun(w, r);  // main has ended without it
    });
  });
  if (accepted) return;
  r.ended.store(true, std::memory_order_release);
  r.release();
  throw std::logic_error("ringo: runtime::go after the runtime has ended");
}

runtime_ref runtime::current() {
  const detail::worker* w = detail::current_worker();
  const std::uint64_t id = w != nullptr ? w->runtime_id : detail::runtime_of_blocking_call();
  if (id == 0) throw std::logic_error("ringo: runtime::current on a thread that is no worker: it has no runtime");
  return runtime_ref(id);
}

runtime_ref runtime::ref() const noexcept { return runtime_ref(core_->id); }

void runtime_ref::stop() const {
  detail::refuse_in_forked_child("runtime_ref::stop");
  detail::runtime_registry::with(id_, [](detail::runtime_core& rt) { rt.cancel_main(); });
}

bool runtime_ref::is_done() const { return !detail::runtime_registry::has(id_); }

void runtime::stop() {
  detail::refuse_in_forked_child("runtime::stop");
  core_->cancel_main();
}

snapshot runtime::snapshot() const { return detail::take_snapshot(core_->id); }
snapshot runtime_ref::snapshot() const { return detail::take_snapshot(id_); }
leaks runtime::find_leaks() const { return detail::find_leaks(core_->id); }
leaks runtime_ref::find_leaks() const { return detail::find_leaks(id_); }
void runtime::dump(std::ostream& to) const { to << to_text(snapshot()); }

recording runtime::recording(std::chrono::nanoseconds last) const {
  return core_->records() ? detail::parse_image(core_->recorder->image(), last) : ringo::recording();
}
recording runtime_ref::recording(std::chrono::nanoseconds last) const {
  const std::string image = detail::recording_image(id_);
  return image.empty() ? ringo::recording() : detail::parse_image(image, last);
}
void runtime::write_recording(const std::string& path) const {
  if (!core_->records()) {
    throw std::logic_error(
        "ringo: runtime::write_recording of a runtime that records nothing: set runtime_options::recorder, or "
        "RINGO_RECORD in the environment");
  }
  core_->recorder->write(path);
}

metrics runtime::metrics() const { return core_->metrics(); }
unsigned runtime::workers() const noexcept { return static_cast<unsigned>(core_->workers.size()); }
driver runtime::driver() const noexcept { return core_->settings.driver; }

}  // namespace ringo
