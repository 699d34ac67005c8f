// The inside of a completion: what its setters and its waits share, and its operation.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/compilers.hpp>
#include <ringo/detail/destroyed.hpp>
#include <ringo/detail/operation.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/posted.hpp>
#include <ringo/detail/task_promise.hpp>

namespace ringo::detail {

// The shared state of a completion, its setters and its waits. The last of them frees it.
//
// The first setter changes `stage_` from unset to setting, and to set when the result is there. Only workers touch the
// waiters: a setter on another thread posts to a worker, which wakes them (do_where_used says why none is missed). Each
// wait in the queue counts in runtime_core::outside_work, since a result that may still come is no deadlock.
class completion_core : public posted, public in_block {
 public:
  completion_core(const completion_core&) = delete;
  completion_core& operator=(const completion_core&) = delete;

  void enter(const worker& w);  // throws std::logic_error if the result has been taken
  bool is_set() const noexcept { return stage_.load(std::memory_order_acquire) == stage::set; }
  bool begin_to_set() noexcept {
    stage expected = stage::unset;
    return stage_.compare_exchange_strong(expected, stage::setting, std::memory_order_acquire);
  }
  void end_setting() noexcept;  // after the result is stored
  bool take() noexcept;         // true for the first

  // Under the lock, on a worker.
  void add_waiter(waiter& one, worker& w) noexcept;
  void remove_waiter(waiter& one) noexcept;

  void hold() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept { release(1); }
  void add_setter() noexcept { count_.fetch_add(one_setter + 1, std::memory_order_relaxed); }
  void drop_setter() noexcept {
    if (is_set()) return release(one_setter + 1);
    if (count_.fetch_sub(one_setter, std::memory_order_acq_rel) / one_setter == 1 && begin_to_set()) fail_as_dropped();
    release();
  }

  virtual void set_error(std::exception_ptr error) noexcept = 0;
  virtual const char* kind() const noexcept { return "completion"; }

  spin_lock lock;

 protected:
  completion_core() noexcept = default;
  virtual ~completion_core() = default;

 private:
  enum class stage : std::uint8_t { unset, setting, set };

  static constexpr std::uint64_t one_setter = std::uint64_t{1} << 32;

  // acq_rel: the thread that frees it sees what all others did. The holder of the last reference alone knows it.
  void release(std::uint64_t n) noexcept {
    if (count_.load(std::memory_order_acquire) == n || count_.fetch_sub(n, std::memory_order_acq_rel) == n) delete this;
  }
  void fail_as_dropped() noexcept;
  void deliver(worker* w) noexcept override;
  void wake_all(worker& w) noexcept;

  std::atomic<std::uint64_t> count_ = 1;  // the references; and the setters, in the upper half
  std::atomic<stage> stage_ = stage::unset;
  std::atomic<bool> taken_ = false;
  ownership owner_;
  wait_queue waiting_;  // under the lock
};

[[noreturn]] void throw_taken_completion();
std::exception_ptr no_error_given();

template <class T>
class completion_state : public completion_core {
 public:
  void set_error(std::exception_ptr error) noexcept override { outcome.set_error(std::move(error)); }

  result<T> outcome;
};

// A counted reference.
template <class T>
class completion_reference {
 public:
  completion_reference() noexcept = default;
  explicit completion_reference(completion_state<T>* of) noexcept : of_(of) {
    if (of_ != nullptr) of_->hold();
  }
  completion_reference(completion_reference&& from) noexcept : of_(std::exchange(from.of_, nullptr)) {}
  completion_reference& operator=(completion_reference&& from) noexcept {
    std::swap(of_, from.of_);
    return *this;
  }
  ~completion_reference() {
    if (of_ != nullptr) of_->release();
  }
  completion_state<T>* get() const noexcept { return of_; }

 private:
  completion_state<T>* of_ = nullptr;
};

// The operation of a completion; move-only.
template <class T>
class RINGO_AWAITABLE completion_operation final : public operation<completion_operation<T>, T> {
  using base = operation<completion_operation, T>;

 public:
  static constexpr const char* call_name = "wait for a completion";
  static constexpr bool knows_where = true;
  explicit completion_operation(completion_state<T>* of, std::source_location at = {}) noexcept : of_(of) {
    std::construct_at(&this->where, at);
  }
  completion_operation(completion_operation&& from) noexcept : base(from), of_(std::move(from.of_)) {}
  completion_operation& operator=(completion_operation&& from) noexcept {
    of_ = std::move(from.of_);
    return *this;
  }
  ~completion_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
  }

  using base::ends_at_once;
  void enter(worker* w) {
    if (of_.get() == nullptr) throw_empty_or_ended(call_name, "completion");
    of_.get()->enter(*w);
  }
  spin_lock* lock() noexcept { return &of_.get()->lock; }
  bool ready(worker&) noexcept { return of_.get()->is_set(); }
  bool commit(worker&, bool, routine*&) noexcept {
    if (!of_.get()->is_set()) return false;
    this->set_state(progress::done);
    return true;
  }
  void link(worker& w, routine& r) noexcept {
    this->blocked = &r;
    this->set_state(progress::waiting);
    of_.get()->add_waiter(*this, w);
  }
  bool unlink() noexcept {
    of_.get()->remove_waiter(*this);
    if (!won(this->current_state())) this->set_state(progress::idle);
    return false;
  }
  void dispose() noexcept {}
  completion_state<T>* state() const noexcept { return of_.get(); }
  T take() {
    this->set_state(progress::idle);
    if (!of_.get()->take()) throw_taken_completion();
    result<T>& outcome = of_.get()->outcome;
    if (outcome.has_error()) {
      // Moved out first: another thread may release the record while the handler reads the error.
      std::exception_ptr error = outcome.error();
      outcome.set_error(nullptr);
      std::rethrow_exception(std::move(error));
    }
    return outcome.take();
  }
  void append_to(wait_report& text) const { text.add(of_.get(), of_.get()->kind()); }

 private:
  completion_reference<T> of_;
};

}  // namespace ringo::detail
