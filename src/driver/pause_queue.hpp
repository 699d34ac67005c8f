#pragma once
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include "driver/begun_call.hpp"

namespace ringo::detail {

// The calls that pause, by the time when the pause is over: a heap, in which each call knows its place.
class pause_queue {
 public:
  // A few pauses need no memory: a listener that has none for a connection would else try again and again at once.
  pause_queue() { heap_.reserve(64); }
  bool empty() const noexcept { return heap_.empty(); }
  time_point first_due() const noexcept { return heap_.front().due; }  // not if it is empty
  bool add(begun_call& c, time_point due) noexcept {                   // false if there is no memory
    try {
      heap_.push_back({due, &c});
    } catch (const std::bad_alloc&) {
      return false;
    }
    c.where = begun_call::place::pausing;
    c.in_heap = static_cast<std::uint32_t>(heap_.size() - 1);
    rise(c.in_heap);
    return true;
  }
  void remove(begun_call& c) noexcept {
    const std::size_t at = c.in_heap;
    const bool is_last = at + 1 == heap_.size();
    if (!is_last) place(at, heap_.back());
    heap_.pop_back();
    if (is_last) return;
    rise(at);
    sink(at);
  }
  begun_call& pop_first() noexcept {
    begun_call& c = *heap_.front().call;
    remove(c);
    return c;
  }

 private:
  struct entry {
    time_point due;
    begun_call* call;
  };
  void place(std::size_t at, const entry& e) noexcept {
    heap_[at] = e;
    e.call->in_heap = static_cast<std::uint32_t>(at);
  }
  void exchange(std::size_t a, std::size_t b) noexcept {
    const entry e = heap_[a];
    place(a, heap_[b]);
    place(b, e);
  }
  void rise(std::size_t at) noexcept {
    for (; at != 0 && heap_[at].due < heap_[(at - 1) / 2].due; at = (at - 1) / 2) exchange(at, (at - 1) / 2);
  }
  void sink(std::size_t at) noexcept {
    for (std::size_t child; (child = 2 * at + 1) < heap_.size(); at = child) {
      if (child + 1 < heap_.size() && heap_[child + 1].due < heap_[child].due) ++child;
      if (heap_[at].due <= heap_[child].due) return;
      exchange(at, child);
    }
  }

  std::vector<entry> heap_;
};

}  // namespace ringo::detail
