// The handler runs on whichever thread the kernel chooses, also in the middle of anything: so it takes no lock and
// allocates nothing. It notes the signal in every object that wants it, and writes to the object's eventfd, of which a
// read is in flight while a routine waits.
//
// Why no signal is lost. The handler notes first and then sets `rung_`, and writes only if it was not set; when a read
// has ended, `rung_` is cleared first, and then what is noted is looked at. Both are read-modify-writes of `rung_`: of
// the two one is first, so either the look comes after the note, or the handler finds it cleared and writes again.
//
// Why the handler touches nothing that is gone. It counts itself in `inside` before it reads the list of objects. A
// thread that takes an object out of the list then waits until `inside` has been 0. All of these are seq_cst: either
// the handler sees the changed list, or the thread sees the handler inside.
#include <ringo/signals.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "driver/refusal.hpp"
#include "io/descriptor_core.hpp"
#include "platform/standard_streams.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

namespace {

// NOLINTNEXTLINE(concurrency-mt-unsafe): strsignal is safe in glibc (since 2.32) and musl
const char* name_of_signal(int number) noexcept { return ::strsignal(number); }

}  // namespace

// A routine waits and a signal is there => the handler has rung, or is about to. Further invariants: check().
class signals_core final : public descriptor_core {
 public:
  signals_core(int eventfd, std::uint64_t wanted) noexcept : descriptor_core(eventfd), wanted_(wanted) {}

  std::uint64_t wanted() const noexcept { return wanted_; }
  void hear(int number) noexcept;  // in a signal handler
  std::string name() const override;

  std::atomic<signals_core*> next = nullptr;  // in the list of all

 private:
  static std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

  bool stop(worker* w) noexcept override {
    if (w != nullptr) read_.end_early(scheduler_of(*w));
    return false;
  }
  void check() const override {
    descriptor_core::check();
    if (!is_open() || has_ended() || waiting(io_side::in).empty()) return;
    invariant(read_.in_flight(), "a routine waits for a signal => a read is in flight");
  }
  bool quiet() const noexcept override { return !read_.in_flight(); }
  bool can(const io_request&) const noexcept override {
    return arrived_.load(std::memory_order_acquire) != 0 || error_ != 0;
  }
  void give(io_request& r) noexcept override;
  void ask(io_request& r, worker& w) noexcept override;
  void left(io_request&) noexcept override;
  void put_back(io_request& r) noexcept override;
  [[noreturn]] void fail(const io_request& r) override;
  void listen(scheduler& w) noexcept;
  void fill_read(kernel_call& call) noexcept;
  void has_read(const kernel_answer& answer) noexcept;

  const std::uint64_t wanted_;
  std::atomic<std::uint64_t> arrived_ = 0;
  std::atomic<bool> rung_ = false;
  int last_ = 0;   // the signal given last
  int error_ = 0;  // one that will not pass
  std::uint64_t count_ = 0;
  operation_of<signals_core, &signals_core::fill_read, &signals_core::has_read, POLLIN> read_{*this};
};

namespace {

constexpr int most = 64;
constexpr std::uint64_t one_ring = 1;

static_assert(std::atomic<signals_core*>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

std::atomic<signals_core*> all_signals = nullptr;
std::atomic<int> inside = 0;

// What the process did at a signal before the first object wanted it.
struct before {
  unsigned objects = 0;
  struct sigaction action{};
};
ranked<std::mutex, lock_rank::signal_registry> registry_mutex;  // of the list's changes, and of:
std::array<before, most + 1> actions;

void on_signal(int number) {
  const int saved = errno;
  inside.fetch_add(1, std::memory_order_seq_cst);
  for (signals_core* each = all_signals.load(std::memory_order_seq_cst); each != nullptr;
       each = each->next.load(std::memory_order_seq_cst)) {
    each->hear(number);
  }
  inside.fetch_sub(1, std::memory_order_seq_cst);
  errno = saved;
}

template <class F>
void each_of(std::uint64_t wanted, F f) {
  for (int number = 1; number <= most; ++number) {
    if ((wanted >> (number - 1) & 1) != 0) f(number);
  }
}

void stop_handling(int number) noexcept {
  if (--actions[static_cast<std::size_t>(number)].objects != 0) return;
  struct sigaction now{};
  // Another handler that the program has set since stays.
  if (::sigaction(number, nullptr, &now) != 0 || now.sa_handler != on_signal) return;
  ::sigaction(number, &actions[static_cast<std::size_t>(number)].action, nullptr);
}

void handle(int number) {
  before& b = actions[static_cast<std::size_t>(number)];
  if (b.objects == 0) {
    struct sigaction ours{};
    ours.sa_handler = on_signal;
    ours.sa_flags = SA_RESTART | SA_ONSTACK;
    ::sigfillset(&ours.sa_mask);
    if (::sigaction(number, &ours, &b.action) != 0) {
      throw std::invalid_argument("ringo: signals: the system lets no program handle signal " + std::to_string(number));
    }
  }
  ++b.objects;
}

void take_out(signals_core& one) noexcept {
  std::atomic<signals_core*>* link = &all_signals;
  while (link->load() != &one) link = &link->load()->next;
  link->store(one.next.load(), std::memory_order_seq_cst);
  while (inside.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
}

std::uint64_t wanted_of(std::initializer_list<int> numbers) {
  if (numbers.size() == 0) throw std::invalid_argument("ringo: signals: none is named");
  std::uint64_t wanted = 0;
  for (const int number : numbers) {
    const std::string text = "ringo: signals: " + std::to_string(number);
    if (number < 1 || number > most) throw std::invalid_argument(text + " is no signal");
    switch (number) {
      case SIGKILL:
      case SIGSTOP:
        throw std::invalid_argument(text + " (" + name_of_signal(number) + ") cannot be handled");
      case SIGSEGV:
      case SIGBUS:
      case SIGFPE:
      case SIGILL:
      case SIGTRAP:
      case SIGABRT:
        throw std::invalid_argument(text + " (" + name_of_signal(number) +
                                    ") is what a thread brings upon itself, and cannot go on from: use sigaction");
      default:
        wanted |= std::uint64_t{1} << (number - 1);
    }
  }
  return wanted;
}

signals_handle listen_to(std::uint64_t wanted) {
  hold_standard_streams();
  const int number = ::eventfd(0, EFD_CLOEXEC);
  if (number < 0) throw refusal("eventfd", errno);
  signals_handle made(make_core<signals_core>(number, wanted));
  signals_core* const core = made.get();
  const std::lock_guard guard(registry_mutex);
  core->next = all_signals.load();
  all_signals.store(core, std::memory_order_seq_cst);
  std::uint64_t handled = 0;
  try {
    each_of(wanted, [&handled](int each) {
      handle(each);
      handled |= std::uint64_t{1} << (each - 1);
    });
  } catch (...) {
    each_of(handled, stop_handling);
    take_out(*core);
    throw;
  }
  return made;
}

}  // namespace

// ---- the object

void signals_core::hear(int number) noexcept {
  if ((wanted_ & bit_of(number)) == 0) return;
  arrived_.fetch_or(bit_of(number), std::memory_order_release);
  if (rung_.exchange(true, std::memory_order_acq_rel)) return;
  // It is not closed while the handler is inside, and it is full only after more rings than there can be.
  (void)!::write(descriptor(), &one_ring, sizeof one_ring);
}

std::string signals_core::name() const {
  std::string text;
  each_of(wanted_, [&text](int each) {
    text += text.empty() ? "a signal (" : ", ";
    text += name_of_signal(each);
  });
  return text + ")";
}

// Each kind of signal in its turn.
void signals_core::give(io_request& r) noexcept {
  const std::uint64_t there = arrived_.load(std::memory_order_acquire);
  if (there == 0) {
    r.failure = error_;
    return;
  }
  last_ = (last_ + std::countr_zero(std::rotr(there, last_))) % most + 1;
  arrived_.fetch_and(~bit_of(last_), std::memory_order_acq_rel);
  static_cast<signal_request&>(r).number = last_;
}

void signals_core::ask(io_request& r, worker& w) noexcept {
  if (r.state != progress::waiting) return;
  listen(scheduler_of(w));
  read_.feeds(*r.blocked);
}

void signals_core::left(io_request&) noexcept {
  worker* const w = current_worker();
  if (waiting(io_side::in).empty() && w != nullptr) read_.end_early(scheduler_of(*w));
}

void signals_core::put_back(io_request& r) noexcept {
  if (r.failure != 0) return;
  section here(*this);
  arrived_.fetch_or(bit_of(static_cast<signal_request&>(r).number), std::memory_order_acq_rel);
  if (here.on() != nullptr && is_open()) serve(io_side::in, here);
}

void signals_core::fail(const io_request& r) {
  if (r.failure == own_side_closed) throw_cancelled();
  throw_outside_error(r.failure, "ringo: receiving " + name());
}

void signals_core::listen(scheduler& w) noexcept {
  if (!read_.in_flight() && is_open() && !w.runtime.done()) read_.start(w, waiting(io_side::in));
}

void signals_core::fill_read(kernel_call& call) noexcept {
  call.set_read(descriptor(), &count_, sizeof count_, kernel_call::current_position);
}

void signals_core::has_read(const kernel_answer& answer) noexcept {
  const int result = answer.result;
  section here(*this);
  read_.over();
  if (result > 0) {
    rung_.exchange(false, std::memory_order_acq_rel);
  } else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
    error_ = -result;
  }
  serve(io_side::in, here);
  if (!waiting(io_side::in).empty()) listen(*here.on());
}

}  // namespace ringo::detail

namespace ringo {

signals::signals(std::initializer_list<int> numbers) {
  detail::check_not_simulated("signals");
  detail::refuse_in_forked_child("signals");
  core_ = detail::listen_to(detail::wanted_of(numbers));
}

signals::~signals() {
  const std::lock_guard guard(detail::registry_mutex);
  detail::each_of(core_.get()->wanted(), detail::stop_handling);
  detail::take_out(*core_.get());
}

}  // namespace ringo
