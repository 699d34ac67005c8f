// The handler runs on whichever thread the kernel chooses, also in the middle of anything: so it takes no lock and
// allocates nothing. It notes the signal in every object that wants it, and writes to the object's eventfd, of which a
// read is in flight while somebody waits.
//
// Why no signal is lost. The handler notes first and then sets `rung_`, and writes only if it was not set; when a read
// has ended, `rung_` is cleared first, and then what is noted is looked at. Both are read-modify-writes of `rung_`: of
// the two one is first, so either the look comes after the note, or the handler finds it cleared and writes again.
//
// Why the handler touches nothing that is gone. It counts itself in `inside` before it reads the list of objects; who
// takes an object out of the list then waits until `inside` has been 0. All of these are seq_cst: of "in the list" and
// "inside" one side sees the other's.
#include <ringo/signals.hpp>

#include <liburing.h>
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
#include <system_error>
#include <thread>
#include <utility>

#include "driver/refusal.hpp"
#include "net/descriptor_core.hpp"
#include "platform/standard_streams.hpp"
#include "runtime/outside_error.hpp"
#include "runtime/runtime_core.hpp"

namespace ringo::detail {

// Invariant, whenever the lock is free: if somebody waits, a read is in flight (but where a runtime ends).
class signals_core final : public descriptor_core {
 public:
  signals_core(int eventfd, std::uint64_t wanted) noexcept : descriptor_core(eventfd), wanted_(wanted) {}

  std::uint64_t wanted() const noexcept { return wanted_; }
  void hear(int number) noexcept;  // in a signal handler

  // Under the lock.
  bool can_take() const noexcept {
    return waiting_.empty() && (arrived_.load(std::memory_order_acquire) != 0 || error_ != 0);
  }
  bool try_take(signal_operation& one) noexcept;
  void begin(signal_operation& one, worker& w) noexcept;
  void end(signal_operation& one) noexcept;
  void put_back_signal(signal_operation& one, worker* w, routine_list& woken) noexcept;

  std::string name() const override;

  std::atomic<signals_core*> next = nullptr;  // in the list of all

 private:
  static std::uint64_t bit_of(int number) noexcept { return std::uint64_t{1} << (number - 1); }

  bool stop(worker* w) noexcept override;
  bool quiet() const noexcept override { return !read_.in_flight(); }
  void give_signal(signal_operation& one) noexcept;
  void serve(worker& w, routine_list& woken) noexcept;
  void listen(scheduler& w) noexcept;
  void fill_read(io_uring_sqe& entry) noexcept;
  void has_read(int result, unsigned flags) noexcept;

  const std::uint64_t wanted_;
  std::atomic<std::uint64_t> arrived_ = 0;
  std::atomic<bool> rung_ = false;
  int last_ = 0;   // given
  int error_ = 0;  // that will not pass
  std::uint64_t count_ = 0;
  wait_queue waiting_;
  operation_of<signals_core, &signals_core::fill_read, &signals_core::has_read, POLLIN> read_{*this};
};

namespace {

constexpr int most = 64;
constexpr std::uint64_t one_ring = 1;

static_assert(std::atomic<signals_core*>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free &&
              std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

std::atomic<signals_core*> all = nullptr;
std::atomic<int> inside = 0;

// What the process does at a signal, while nobody here wants it.
struct before {
  unsigned objects = 0;
  struct sigaction action{};
};
ranked<std::mutex, lock_rank::signal_registry> registry_mutex;  // of the list's changes, and of:
std::array<before, most + 1> actions;

void on_signal(int number) {
  const int saved = errno;
  inside.fetch_add(1, std::memory_order_seq_cst);
  for (signals_core* each = all.load(std::memory_order_seq_cst); each != nullptr;
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
  // Who has put another one in its place since knows better.
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
      throw std::invalid_argument("ringo: signals: the system lets nobody handle signal " + std::to_string(number));
    }
  }
  ++b.objects;
}

void take_out(signals_core& one) noexcept {
  std::atomic<signals_core*>* link = &all;
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
        throw std::invalid_argument(text + " (" + ::strsignal(number) + ") can be handled by nobody");
      case SIGSEGV:
      case SIGBUS:
      case SIGFPE:
      case SIGILL:
      case SIGTRAP:
      case SIGABRT:
        throw std::invalid_argument(text + " (" + ::strsignal(number) +
                                    ") is what a thread brings upon itself, and cannot go on from: use sigaction");
      default:
        wanted |= std::uint64_t{1} << (number - 1);
    }
  }
  return wanted;
}

signals_core* listen_to(std::uint64_t wanted) {
  hold_standard_streams();
  const int number = ::eventfd(0, EFD_CLOEXEC);
  if (number < 0) throw refusal("eventfd", errno);
  signals_core* core;
  try {
    core = new signals_core(number, wanted);
  } catch (...) {
    ::close(number);
    throw;
  }
  core->add_handle();
  const std::lock_guard guard(registry_mutex);
  core->next = all.load();
  all.store(core, std::memory_order_seq_cst);
  std::uint64_t handled = 0;
  try {
    each_of(wanted, [&handled](int each) {
      handle(each);
      handled |= std::uint64_t{1} << (each - 1);
    });
  } catch (...) {
    each_of(handled, stop_handling);
    take_out(*core);
    core->drop_handle();
    throw;
  }
  return core;
}

}  // namespace

// ---- the object

void signals_core::hear(int number) noexcept {
  if ((wanted_ & bit_of(number)) == 0) return;
  arrived_.fetch_or(bit_of(number), std::memory_order_release);
  if (rung_.exchange(true, std::memory_order_acq_rel)) return;
  // Nobody closes it while the handler is inside, and it is full only after more rings than there can be.
  (void)!::write(descriptor(), &one_ring, sizeof one_ring);
}

std::string signals_core::name() const {
  std::string text;
  each_of(wanted_, [&text](int each) {
    text += text.empty() ? "a signal (" : ", ";
    text += ::strsignal(each);
  });
  return text + ")";
}

// What there is: each kind in its turn.
void signals_core::give_signal(signal_operation& one) noexcept {
  const std::uint64_t there = arrived_.load(std::memory_order_acquire);
  if (there == 0) {
    one.got_ = error_;
    one.stand(progress::failed);
    return;
  }
  last_ = (last_ + std::countr_zero(std::rotr(there, last_))) % most + 1;
  arrived_.fetch_and(~bit_of(last_), std::memory_order_acq_rel);
  one.got_ = last_;
  one.stand(progress::done);
}

bool signals_core::try_take(signal_operation& one) noexcept {
  if (!can_take()) return false;
  use();
  one.counts_ = true;
  give_signal(one);
  return true;
}

void signals_core::begin(signal_operation& one, worker& w) noexcept {
  use();
  one.counts_ = true;
  waiting_.push_back(one);
  listen(scheduler_of(w));
  read_.feeds(*one.who);
}

void signals_core::end(signal_operation& one) noexcept {
  if (one.where_queued == waiter::place::queued) waiting_.remove(one);
  if (std::exchange(one.counts_, false)) disuse();
  worker* w = current_worker();
  if (waiting_.empty() && w != nullptr) read_.end_early(scheduler_of(*w));
}

void signals_core::put_back_signal(signal_operation& one, worker* w, routine_list& woken) noexcept {
  if (one.got_ != 0 && error_ == 0) arrived_.fetch_or(bit_of(one.got_), std::memory_order_acq_rel);
  if (w != nullptr) serve(*w, woken);
}

void signals_core::serve(worker& w, routine_list& woken) noexcept {
  while (arrived_.load(std::memory_order_acquire) != 0 || error_ != 0) {
    waiter* first = waiting_.claim_first(w.shared);
    if (first == nullptr) return;
    give_signal(static_cast<signal_operation&>(*first));
    woken.push_back(*first->who);
  }
}

void signals_core::listen(scheduler& w) noexcept {
  if (!read_.in_flight() && is_open() && !w.runtime.done()) read_.start(w);
}

void signals_core::fill_read(io_uring_sqe& entry) noexcept {
  ::io_uring_prep_read(&entry, descriptor(), &count_, sizeof count_, 0);
}

void signals_core::has_read(int result, unsigned) noexcept {
  scheduler& w = scheduler_of(*current_worker());
  routine_list woken;
  bool last;
  {
    const optional_guard guard(lock, w.shared);
    read_.over();
    if (result > 0) {
      rung_.exchange(false, std::memory_order_acq_rel);
    } else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
      error_ = -result;
    }
    serve(w, woken);
    if (!waiting_.empty()) listen(w);
    last = settle(w);
  }
  while (routine* r = woken.pop_front()) w.push(*r);
  if (last) delete_this();
}

bool signals_core::stop(worker* w) noexcept {
  while (waiter* first = waiting_.front()) {
    waiting_.remove(*first);
    if (w == nullptr || !first->who->claim(w->shared)) continue;
    auto& one = static_cast<signal_operation&>(*first);
    one.stand(progress::idle);  // its routine finds nothing to take out
    one.counts_ = false;
    disuse();
    w->push(*first->who);
  }
  if (w != nullptr) read_.end_early(scheduler_of(*w));
  return false;
}

// ---- the operation

void signal_operation::enter(const worker* w) { from_->enter(w, call_name); }
spin_lock* signal_operation::lock() noexcept { return &from_->lock; }
bool signal_operation::ready(worker&) noexcept { return from_->can_take(); }
bool signal_operation::commit(worker&, bool, routine*&) noexcept { return from_->try_take(*this); }
void signal_operation::link(worker& w, routine& r) noexcept {
  who = &r;
  stand(progress::waiting);
  from_->begin(*this, w);
}
bool signal_operation::unlink() noexcept {
  if (!won(standing())) stand(progress::idle);
  from_->end(*this);
  return from_->unused();
}
void signal_operation::dispose() noexcept { from_->delete_this(); }

void signal_operation::stop_counting() noexcept {
  if (!std::exchange(counts_, false)) return;
  bool last;
  {
    const worker* w = current_worker();
    const optional_guard guard(from_->lock, w == nullptr || w->shared);
    from_->disuse();
    last = from_->unused();
  }
  if (last) from_->delete_this();
}

int signal_operation::take() {
  const bool failed = standing() == progress::failed;
  stand(progress::idle);
  if (!failed) {
    stop_counting();
    return got_;
  }
  const std::string what = "ringo: receiving " + from_->name();
  stop_counting();
  throw_outside_error(got_, what);
}

void signal_operation::discard() noexcept {
  stand(progress::idle);
  worker* w = current_worker();
  routine_list woken;
  {
    const optional_guard guard(from_->lock, w == nullptr || w->shared);
    from_->put_back_signal(*this, w, woken);
  }
  while (routine* r = woken.pop_front()) w->push(*r);
  stop_counting();
}

void signal_operation::tell(std::string& text) const { text += from_->name(); }

}  // namespace ringo::detail

namespace ringo {

signals::signals(std::initializer_list<int> numbers) : core_(nullptr) {
  detail::check_not_simulated("signals");
  detail::refuse_in_forked_child("signals");
  core_ = detail::listen_to(detail::wanted_of(numbers));
}

signals::~signals() {
  {
    const std::lock_guard guard(detail::registry_mutex);
    detail::each_of(core_->wanted(), detail::stop_handling);
    detail::take_out(*core_);
  }
  std::exchange(core_, nullptr)->drop_handle();
  detail::keep_mark(core_);
}

}  // namespace ringo
