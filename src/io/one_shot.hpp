// The record of an operation that the kernel does once (include/ringo/detail/one_shot.hpp).
//
// The awaited operation holds the record; so does the kernel, from the start until its last answer, and a worker that
// was asked to end it. The holds are counted under the lock, and the last holder deletes the record.
#pragma once
#include <cerrno>
#include <string>
#include <utility>

#include <ringo/detail/one_shot.hpp>
#include <ringo/detail/ownership.hpp>
#include <ringo/detail/section.hpp>

#include "runtime/kernel_operation.hpp"

namespace ringo::detail {

class one_shot : public kernel_operation {
 public:
  one_shot(const one_shot&) = delete;
  one_shot& operator=(const one_shot&) = delete;

  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { free_frame(memory, size); }

  // The text for reports and errors.
  virtual std::string describe() const = 0;

  void enter(const worker& w, const char* call);
  bool has_answer() const noexcept { return has_answer_; }  // under the lock
  void begin(waiter& as, worker& w) noexcept;
  void end(waiter& as) noexcept;
  void release() noexcept;  // the operation's hold
  bool unused() const noexcept { return holds_ == 0; }
  void check() const;
  int take();  // the answer, once; throws std::system_error, disconnected or std::logic_error

  // Its own lock, or its source's: a select may hold the locks of a call and of its source, and no thread takes one of
  // them while it holds the other.
  spin_lock& lock;

 protected:
  // What to do after an answer: nothing; submit again; submit again for a kernel thread that may wait for long; or
  // submit again after a pause, since the kernel would give the same answer at once.
  enum class next : std::uint8_t { none, again, on_a_thread, after_a_pause };

  one_shot() noexcept : lock(own_lock_) {}
  explicit one_shot(spin_lock& of_source) noexcept : lock(of_source) {}  // the source lives as long as the call
  virtual ~one_shot() = default;  // the derived class gives back an answer that was not taken

  virtual void ask(kernel_call& call) noexcept = 0;  // sets what the kernel is asked

  // Without the lock, in flight on this worker's ring: may change the answer, and make system calls.
  virtual next judge(int& result) noexcept { return result == -EAGAIN ? next::after_a_pause : next::none; }
  // Under the lock: whether the answer is only a part, and the rest must be submitted when a routine waits for it.
  virtual bool is_part(int& result, bool is_waited_for) noexcept {
    (void)result;
    return (void)is_waited_for, false;
  }
  // Under the lock: called before it is in flight, and after.
  virtual void begins() noexcept {}
  virtual void has_ended(worker&) noexcept {}
  // Without the lock: gets the answer at once, if that is possible without waiting.
  virtual bool try_at_once(int& answer) noexcept { return (void)answer, false; }

  int untaken() const noexcept { return has_answer_ && !is_taken_ ? answer_ : -1; }

 private:
  template <class>
  friend class section_of;

  void fill(kernel_call& call) noexcept final;
  void complete(const kernel_answer& answer) noexcept final;
  void keep() noexcept final { ++holds_; }
  void let_go(scheduler* ring) noexcept final;

  spin_lock own_lock_;
  ownership owner_;
  wait_queue waiting_;
  int answer_ = 0;
  std::uint32_t holds_ = 1;
  bool has_answer_ = false;
  bool is_taken_ = false;
  next now_ = next::again;  // the submission that is in flight, or will be
};

template <class R>
class one_shot_of : public one_shot, public answers<R> {
 protected:
  using one_shot::one_shot;
  int answered() { return take(); }
  template <class Fill, class State>
  void fill_by(Fill& fill, State& state, kernel_call& call) noexcept {
    fill(state, call);
  }
};

// A call that keeps a state, the memory that the kernel reads and writes, until the last answer. Base says which
// arguments `fill` gets, and how the answer is taken.
template <class Base, class R, class State, class Fill, class Result>
class one_shot_with : public Base {
 protected:
  template <class... A>
  one_shot_with(State&& s, Fill f, Result r, A&&... base)
      : Base(std::forward<A>(base)...), state_(std::move(s)), fill_(f), result_(r) {}

  State state_;

 private:
  void ask(kernel_call& call) noexcept final { this->fill_by(fill_, state_, call); }
  R result() final {
    const int answer = this->answered();
    return result_(state_, answer);
  }

  Fill fill_;
  Result result_;
};

// Submits one operation.
//   fill(state, call)         sets what the kernel is asked
//   describe(state)           what is done, as a std::string: "removing "a""
//   result(state, answer)     what the answer means; the default is for R = void
struct no_result {
  template <class State>
  void operator()(State&, int) const noexcept {}
};
template <class R, class State, class Fill, class Describe, class Result = no_result>
one_shot_operation<R> ask_once(State state, Fill fill, Describe describe, Result result = {}) {
  using base = one_shot_with<one_shot_of<R>, R, State, Fill, Result>;
  class record final : public base {
   public:
    record(State&& s, Fill f, Describe d, Result r) : base(std::move(s), f, r), describe_(d) {}

   private:
    std::string describe() const override { return describe_(this->state_); }

    Describe describe_;
  };
  return one_shot_operation<R>(new record(std::move(state), fill, describe, result));
}

}  // namespace ringo::detail
