#pragma once
#include <liburing.h>
#include <unistd.h>

#include <atomic>

#include "driver/owned_descriptor.hpp"
#include "driver/uring.hpp"

namespace ringo::detail {

// The ring's memory and descriptor. The protocol is in uring.cpp.
class mapped_ring {
 public:
  // Throws std::system_error that says why (refusal.hpp).
  mapped_ring(unsigned entries, task_work best);
  mapped_ring(const mapped_ring&) = delete;
  mapped_ring& operator=(const mapped_ring&) = delete;
  ~mapped_ring();

  void forget_descriptor() { ring_.ring_fd = -1; }

  // A forked child has no mapping, and closes the descriptor only.
  void abandon() {
    ::close(ring_.ring_fd);
    is_abandoned_ = true;
  }

  int number() const { return ring_.ring_fd; }
  unsigned submission_entries() const { return parameters_.sq_entries; }
  io_uring_sqe& submission(unsigned index) { return ring_.sq.sqes[index & (parameters_.sq_entries - 1)]; }
  const io_uring_cqe& answer(unsigned index) const { return ring_.cq.cqes[index & (parameters_.cq_entries - 1)]; }
  unsigned submission_head() const { return load(ring_.sq.khead, std::memory_order_acquire); }
  void publish_submissions(unsigned tail) { store_release(ring_.sq.ktail, tail); }
  unsigned flags() const { return load(ring_.sq.kflags, std::memory_order_relaxed); }
  unsigned answer_tail() const { return load(ring_.cq.ktail, std::memory_order_acquire); }
  bool has_unread_answers() const { return answer_tail() != load(ring_.cq.khead, std::memory_order_acquire); }
  void release_answers(unsigned head) { store_release(ring_.cq.khead, head); }

 private:
  void check_calls() const;

  // Counters in memory that is shared with the kernel.
  static unsigned load(unsigned* shared, std::memory_order order) {
    return std::atomic_ref<unsigned>(*shared).load(order);
  }
  static void store_release(unsigned* shared, unsigned value) {
    std::atomic_ref<unsigned>(*shared).store(value, std::memory_order_release);
  }

  io_uring ring_{};
  io_uring_params parameters_{};
  bool is_abandoned_ = false;
};

}  // namespace ringo::detail
