// The ring of blocks from which the kernel chooses where it writes what it has received (Linux 5.19).
#pragma once
#include <cstdint>
#include <vector>

#include "driver/block_pool.hpp"

struct io_uring_buf_ring;

namespace ringo::detail {

// It starts with few blocks, and grows when the kernel has found it empty: only as many operations as complete within
// one turn need a block each at the same time. What has been filled is replaced at once, so a program that keeps its
// chunks takes nothing from the other operations.
class lent_blocks {
 public:
  explicit lent_blocks(block_pool& from) noexcept : from_(from) {}
  lent_blocks(const lent_blocks&) = delete;
  lent_blocks& operator=(const lent_blocks&) = delete;
  ~lent_blocks();

  bool open(int ring) noexcept;  // registers it, the first time; false: the kernel does not have it
  bool grow() noexcept;          // false: it has as many as there may be
  block* take(unsigned flags) noexcept;
  void leave_to_kernel() noexcept;  // for ever: it may write there yet

 private:
  static constexpr unsigned entries = 2048;
  static constexpr unsigned at_first = 64;

  bool provide(std::uint16_t id) noexcept;

  block_pool& from_;
  io_uring_buf_ring* ring_ = nullptr;
  bool refused_ = false;
  std::uint16_t tail_ = 0;
  std::vector<block*> by_id_;  // null: not provided, for want of memory
};

}  // namespace ringo::detail
