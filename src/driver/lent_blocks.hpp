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
//
// It shrinks when fewer are needed. What lies in the ring cannot be taken out again, for the kernel may be about to
// fill it. So a block that has been filled is not replaced while there are too many; and where nothing is received, the
// driver asks the kernel to fill as many with bytes of no meaning.
class lent_blocks {
 public:
  explicit lent_blocks(block_pool& from) noexcept : from_(from) {}
  lent_blocks(const lent_blocks&) = delete;
  lent_blocks& operator=(const lent_blocks&) = delete;
  ~lent_blocks();

  bool open(int ring) noexcept;               // registers it, the first time; false: the kernel does not have it
  bool grow() noexcept;                       // false: it has as many as there may be
  void begin_turn() noexcept { taken_ = 0; }  // answers follow that came together
  block* take(unsigned flags) noexcept;       // null: the answer with these flags has none
  block* take_back(unsigned flags) noexcept;  // the same, where the program has not asked for it
  // How many are to be taken back now, to come nearer to what has been needed since the last call.
  unsigned shrink() noexcept;
  std::size_t count() const noexcept { return lent_; }
  bool has_plenty() const noexcept { return lent_ > at_first; }
  void leave_to_kernel() noexcept;  // for ever: it may write there yet

 private:
  static constexpr unsigned entries = 2048;
  static constexpr unsigned at_first = 64;
  static constexpr unsigned most_at_once = 256;  // are taken back, lest the worker be long about it

  void provide(std::uint16_t id) noexcept;

  block_pool& from_;
  io_uring_buf_ring* ring_ = nullptr;
  bool refused_ = false;
  std::uint16_t tail_ = 0;
  unsigned lent_ = 0;
  unsigned wanted_ = 0;        // with more than that, what has been filled is not replaced
  unsigned taken_ = 0;         // in this turn
  unsigned most_taken_ = 0;    // in one turn, since the last shrink()
  std::vector<block*> by_id_;  // null: not lent
};

}  // namespace ringo::detail
