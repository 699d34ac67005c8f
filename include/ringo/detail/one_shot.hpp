// An operation that the kernel does once. Its record (src/io/one_shot.hpp) has all the memory that the kernel uses, and
// lives until the last answer, whatever has become of the routine that waited for it. When the last waiter leaves, the
// kernel is asked to end the operation early.
#pragma once
#include <string>
#include <utility>

#include <ringo/detail/operation.hpp>

namespace ringo::detail {

class one_shot;

// The part of a record that knows what its answer means.
template <class R>
class answers {
 public:
  virtual R result() = 0;  // once, when the answer has come; throws what has gone wrong

 protected:
  ~answers() = default;
};

void enter_call(one_shot* c, worker* w, const char* call);
spin_lock* lock_of(one_shot& c) noexcept;
bool has_answer(one_shot& c) noexcept;                         // under the lock
void begin_call(one_shot& c, waiter& as, worker& w) noexcept;  // under the lock
void end_call(one_shot& c, waiter& as) noexcept;               // under the lock
void append_call(const one_shot& c, wait_report& report);
void let_go_of_call(one_shot& c) noexcept;

// Move-only. An operation that has lost a select, or was cancelled, may be awaited again until its result has been
// taken, and goes on from where it was.
template <class R>
class RINGO_AWAITABLE one_shot_operation final : public operation<one_shot_operation<R>, R> {
  using base = operation<one_shot_operation, R>;

 public:
  static constexpr const char* call_name = "an operation of the kernel";
  template <class Record>
  explicit one_shot_operation(Record* record) noexcept : call_(record), answers_(record) {}
  one_shot_operation(one_shot_operation&& from) noexcept
      : base(from), call_(std::exchange(from.call_, nullptr)), answers_(from.answers_) {}
  one_shot_operation& operator=(one_shot_operation&& from) noexcept {
    std::swap(call_, from.call_);
    std::swap(answers_, from.answers_);
    return *this;
  }
  ~one_shot_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
    if (call_ != nullptr) let_go_of_call(*call_);
  }

  void enter(worker* w) { enter_call(call_, w, call_name); }
  spin_lock* lock() noexcept { return lock_of(*call_); }
  bool ready(worker&) noexcept { return has_answer(*call_); }
  bool commit(worker& w, bool, routine*&) noexcept {
    if (!ready(w)) return false;
    this->set_state(progress::done);
    return true;
  }
  void link(worker& w, routine& r) noexcept {
    this->blocked = &r;
    this->set_state(progress::waiting);
    begin_call(*call_, *this, w);
  }
  bool unlink() noexcept {
    if (!won(this->current_state())) this->set_state(progress::idle);
    end_call(*call_, *this);
    return false;
  }
  void dispose() noexcept {}
  R take() {
    this->set_state(progress::idle);
    return answers_->result();
  }
  void append_to(wait_report& text) const { append_call(*call_, text); }

 private:
  one_shot* call_;
  answers<R>* answers_;
};

}  // namespace ringo::detail
