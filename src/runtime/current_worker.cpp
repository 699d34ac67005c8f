#include <ringo/detail/current_worker.hpp>

#include <pthread.h>

#include <atomic>
#include <stdexcept>
#include <string>

#include <ringo/errors.hpp>

#include "runtime/runtime_core.hpp"

namespace ringo::detail {

#if defined(__x86_64__) && defined(__ELF__)
__thread worker* current_worker_slot = nullptr;
void set_current_worker(worker* w) noexcept { current_worker_slot = w; }
#else
namespace {
thread_local worker* current = nullptr;
}
// The assembly keeps a compiler that sees this body from merging two calls, one before a suspension and one after it.
[[gnu::noinline]] worker* current_worker() noexcept {
  __asm__ volatile("" : : : "memory");
  return current;
}
[[gnu::noinline]] void set_current_worker(worker* w) noexcept { current = w; }
#endif

namespace {

// A child that is forked while a runtime runs has the memory, but neither its threads nor its rings.
std::atomic<bool> forked_from_running = false;
std::atomic<int> running = 0;

}  // namespace

void count_running_runtime(int change) noexcept {
  static const int registered = ::pthread_atfork(nullptr, nullptr, [] {
    if (running.load(std::memory_order_relaxed) == 0) return;
    forked_from_running.store(true, std::memory_order_relaxed);
    set_current_worker(nullptr);
  });
  (void)registered;
  running.fetch_add(change, std::memory_order_seq_cst);
}

bool any_runtime_runs() noexcept { return running.load(std::memory_order_seq_cst) != 0; }

void refuse_in_forked_child(const char* call) {
  if (!forked_from_running.load(std::memory_order_relaxed)) return;
  throw std::logic_error(
      std::string("ringo: ") + call +
      " was called in a child process that was forked while a runtime ran: such a child may only exec or exit; "
      "fork before the runtime runs, or start a process");
}

void refuse_foreign_thread(const char* call) {
  refuse_in_forked_child(call);
  if (!any_runtime_runs()) {
    throw std::logic_error(
        std::string("ringo: ") + call +
        " was called while no runtime runs, before run() or after it: call ringo::run(main), and this in main or in a "
        "routine that it starts; or queue a routine with runtime::go before runtime::run");
  }
  throw std::logic_error(
      std::string("ringo: ") + call +
      " was called on a thread that is no worker: from other threads use send_blocking, recv_blocking, close, "
      "handle::join_blocking, or runtime::go to start a routine that does it");
}

worker* worker_or_unused_slow(const char* call) {
  if (any_runtime_runs()) refuse_foreign_thread(call);
  return nullptr;
}

void throw_cancelled() {
  // A routine may await some operations to clean up; one that goes on far beyond that may never end.
  constexpr std::uint32_t usual = 64;
  if (worker* w = current_worker(); w != nullptr && w->current != nullptr) {
    w->current->count_ended_await();
    // acquire: the handler of this exception sees what was done before the cancellation.
    (void)w->current->state.load(std::memory_order_acquire);
    w->spend_a_throw();
    if (w->simulated && w->current->ended_awaits() > usual) w->runtime.simulation->note_stubborn_await();
  }
  throw cancelled();
}

}  // namespace ringo::detail
