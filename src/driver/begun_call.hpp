// What the epoll driver keeps of a request from submit() until its answer.
#pragma once
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "driver/driver.hpp"

namespace ringo::detail {

struct begun_call {
  // Where it is: in exactly one of these places.
  enum class place : std::uint8_t { unused, submitted, tried_next, on_descriptor, pausing, on_thread, answered };

  kernel_call call;
  kernel_request* request = nullptr;
  begun_call* next = nullptr;
  begun_call* previous = nullptr;
  kernel_answer answer;       // answered; on_thread: written by the thread
  buffer* lent = nullptr;     // on_thread: the thread receives into it
  std::uint32_t in_heap = 0;  // pausing
  short wants = 0;            // on_descriptor: the events
  place where = place::unused;
  bool has_connected = false;  // connect(2) was called: only its outcome is still asked for
  bool is_queued = false;      // on_thread: no thread has begun it. This and the next under the threads' mutex
  bool ends = false;           // on_thread: end_early() was called
  std::uint8_t in_vain = 0;    // attempts in a row that had to wait although the kernel had reported an event
};

// One pointer, since each descriptor has a list: the first call's `previous` is the last one.
class begun_list {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  begun_call* front() const noexcept { return first_; }
  void push_back(begun_call& c) noexcept {
    c.next = nullptr;
    if (first_ == nullptr) {
      c.previous = first_ = &c;
    } else {
      first_->previous->next = &c;
      c.previous = std::exchange(first_->previous, &c);
    }
  }
  void remove(begun_call& c) noexcept {
    begun_call* const last = first_->previous;
    (&c == first_ ? first_ : c.previous->next) = c.next;
    if (&c != last)
      c.next->previous = c.previous;
    else if (first_ != nullptr)
      first_->previous = c.previous;
  }
  begun_call& pop_front() noexcept {
    begun_call& c = *first_;
    remove(c);
    return c;
  }

 private:
  begun_call* first_ = nullptr;
};

// The memory of all of them. It grows, and does not shrink.
class begun_calls {
 public:
  // Null if there is no memory.
  begun_call* take() noexcept {
    if (free_ == nullptr && !grow()) return nullptr;
    ++used_;
    return std::exchange(free_, free_->next);
  }
  void give_back(begun_call& c) noexcept {
    --used_;
    add(c);
  }
  std::size_t used() const noexcept { return used_; }
  template <class F>
  void each(F f) {
    for (const auto& chunk : chunks_) {
      for (std::size_t i = 0; i < in_a_chunk; ++i) f(chunk[i]);
    }
  }

 private:
  static constexpr std::size_t in_a_chunk = 64;

  void add(begun_call& c) noexcept {
    c.where = begun_call::place::unused;
    c.next = std::exchange(free_, &c);
  }
  bool grow() noexcept {
    try {
      chunks_.reserve(chunks_.size() + 1);
      chunks_.push_back(std::make_unique<begun_call[]>(in_a_chunk));
    } catch (const std::bad_alloc&) {
      return false;
    }
    for (std::size_t i = in_a_chunk; i > 0; --i) add(chunks_.back()[i - 1]);
    return true;
  }

  std::vector<std::unique_ptr<begun_call[]>> chunks_;
  begun_call* free_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace ringo::detail
