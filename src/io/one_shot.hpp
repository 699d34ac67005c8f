// The record of an operation that the kernel is asked for once (include/ringo/detail/one_shot.hpp).
//
// It is held by the operation that is awaited, and from start to last answer by the kernel: so a count of two holders
// at the most, under the lock.
#pragma once
#include <cerrno>
#include <string>

#include <ringo/detail/one_shot.hpp>
#include <ringo/detail/ownership.hpp>

#include "runtime/ring_operation.hpp"

namespace ringo::detail {

class one_shot : public ring_operation {
 public:
  one_shot(const one_shot&) = delete;
  one_shot& operator=(const one_shot&) = delete;

  static void* operator new(std::size_t size) { return allocate_frame(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { free_frame(memory, size); }

  // What is waited for, as the reports and the errors call it.
  virtual std::string name() const = 0;

  void enter(const worker& w, const char* call);
  bool has_answer() noexcept { return has_answer_ || (has_answer_ = try_at_once(answer_)); }
  void begin(waiter& as, worker& w) noexcept;
  void end(waiter& as) noexcept;
  void release() noexcept;  // the operation's hold
  int take();               // the answer, once; throws std::system_error, disconnected or std::logic_error

  // Its own, or its source's. begins() and has_ended() run under it, so a call that changes its source there shares the
  // source's lock: a select may hold both the call's and the source's, and no thread takes a lock under another.
  spin_lock& lock;

 protected:
  one_shot() noexcept : lock(own_lock_) {}
  explicit one_shot(spin_lock& of_source) noexcept : lock(of_source) {}  // the source lives as long as the call
  // Fills an entry of the submission queue.
  virtual void ask(io_uring_sqe& entry) noexcept = 0;
  virtual ~one_shot() = default;  // what the answer has brought and nobody has taken goes with it

  // Under the lock: the answer has come. False: it was only a part, and the rest is to be asked for; after a while, if
  // `result` is -EAGAIN.
  virtual bool accept(int& result) noexcept { return result != -EAGAIN; }
  // Under the lock: the kernel is given it, when it was not in flight; and does no more for it.
  virtual void begins() noexcept {}
  virtual void has_ended(worker&) noexcept {}
  // Under the lock: the answer, where it can be had without waiting.
  virtual bool try_at_once(int& answer) noexcept {
    (void)answer;
    return false;
  }
  int answer() const noexcept { return answer_; }

 private:
  void fill(io_uring_sqe& entry) noexcept final { pauses_ ? fill_pause(entry) : ask(entry); }
  void complete(int result, unsigned flags) noexcept final;
  void keep() noexcept final { ++holds_; }
  void let_go(scheduler* ring) noexcept final;

  spin_lock own_lock_;
  ownership owner_;
  wait_queue waiting_;
  int answer_ = 0;
  std::uint32_t holds_ = 1;
  bool has_answer_ = false;
  bool is_taken_ = false;
  bool pauses_ = false;  // what is in flight is a pause
};

template <class R>
class one_shot_of : public one_shot {
 public:
  using one_shot::one_shot;
  virtual R result() = 0;  // once, when the answer has come; throws what it came to
};

template <class R>
R answer_of(one_shot& c) {
  return static_cast<one_shot_of<R>&>(c).result();
}

}  // namespace ringo::detail
