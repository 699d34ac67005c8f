#include <signal.h>

#include <limits>
#include <ostream>
#include <stdexcept>
#include <string>

#include <ringo/run.hpp>

#include "driver/standard_streams.hpp"
#include "driver/uring.hpp"
#include "runtime/runtime_core.hpp"
#include "runtime/usable_cpus.hpp"

namespace ringo {
namespace {

constexpr unsigned most_workers = 1024;

unsigned worker_count(unsigned asked) {
  if (asked > most_workers) {
    throw std::invalid_argument("ringo: options::workers is " + std::to_string(asked) + ": at most " +
                                std::to_string(most_workers));
  }
  return asked != 0 ? asked : static_cast<unsigned>(detail::usable_cpus());
}

std::vector<std::unique_ptr<detail::driver>> make_drivers(const options& o) {
  std::vector<std::unique_ptr<detail::driver>> drivers;
  for (unsigned n = worker_count(o.workers); n > 0; --n) drivers.push_back(detail::make_uring(o.ring_entries));
  return drivers;
}

// The runtime that SIGQUIT dumps: the last that asked for it.
std::atomic<detail::runtime_core*> dumped_by_signal = nullptr;

void dump_on_signal(int) {
  if (detail::runtime_core* rt = dumped_by_signal.load(std::memory_order_acquire)) rt->request_dump();
}

class signal_dump {
 public:
  signal_dump(detail::runtime_core& rt, bool wanted) : wanted_(wanted) {
    if (!wanted_) return;
    dumped_by_signal.store(&rt, std::memory_order_release);
    struct sigaction act {};
    act.sa_handler = dump_on_signal;
    act.sa_flags = SA_RESTART;
    ::sigaction(SIGQUIT, &act, &before_);
  }
  signal_dump(const signal_dump&) = delete;
  signal_dump& operator=(const signal_dump&) = delete;
  ~signal_dump() {
    if (!wanted_) return;
    ::sigaction(SIGQUIT, &before_, nullptr);
    dumped_by_signal.store(nullptr, std::memory_order_release);
  }

 private:
  const bool wanted_;
  struct sigaction before_ {};
};

}  // namespace

runtime::runtime(options o) {
  if (o.blocking_threads == 0) {
    throw std::invalid_argument("ringo: options::blocking_threads is 0: blocking() needs one at least");
  }
  auto drivers = make_drivers(o);
  core_ = std::make_unique<detail::runtime_core>(std::move(o), std::move(drivers), nullptr);
}

runtime::~runtime() = default;

void runtime::run_main(detail::routine& r) {
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
  detail::hold_standard_streams();  // it may have become a daemon since the runtime was made
}

void detail::start_from_outside(std::uint64_t runtime_id, routine& r) {
  refuse_in_forked_child("runtime::go");
  bool accepted = false;
  runtime_registry::with(runtime_id, [&](runtime_core& rt) {
    if (rt.unwinding()) return;
    rt.workers.front()->announce(r);
    accepted = rt.post([&r](worker* w) {
      if (w != nullptr && !w->runtime.unwinding()) return start(*w, r, r.started);
      // Main has ended without it.
      r.fail(std::make_exception_ptr(cancelled()));
      r.close();
      r.ended.store(true, std::memory_order_release);
      r.release();
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

bool runtime_ref::ended() const { return !detail::runtime_registry::has(id_); }

void runtime::stop() {
  detail::refuse_in_forked_child("runtime::stop");
  core_->cancel_main();
}

void runtime::dump(std::ostream& to) const {
  std::string text;
  detail::report_from_any_thread(*core_, text);
  to << text;
}

metrics runtime::metrics() const { return core_->metrics(); }
unsigned runtime::workers() const noexcept { return static_cast<unsigned>(core_->workers.size()); }

}  // namespace ringo
