// The ring of buffers from which the kernel chooses one for the bytes that it has received (Linux 5.19).
#pragma once
#include <cstdint>
#include <vector>

#include "driver/buffer_pool.hpp"

struct io_uring_buf_ring;

namespace ringo::detail {

// It starts with few buffers, and grows when the kernel has found it empty: only the operations that complete within
// one turn need a buffer each at the same time. A filled buffer is replaced at once, so a program that keeps its chunks
// takes no buffer from other operations.
//
// It shrinks when fewer buffers are needed. A buffer cannot be taken out of the ring, since the kernel may be about to
// fill it. So a filled buffer is not replaced while there are too many. If no bytes come, the driver makes the kernel
// fill some buffers with meaningless bytes.
class provided_buffers {
 public:
  explicit provided_buffers(buffer_pool& from) noexcept : from_(from) {}
  provided_buffers(const provided_buffers&) = delete;
  provided_buffers& operator=(const provided_buffers&) = delete;
  ~provided_buffers();

  bool open(int ring) noexcept;                // registers it once; false: the kernel lacks this
  bool grow() noexcept;                        // false: it has the most that it may have
  void begin_turn() noexcept { taken_ = 0; }   // before the answers of one turn
  buffer* take(unsigned flags) noexcept;       // null: the answer with these flags has no buffer
  buffer* take_back(unsigned flags) noexcept;  // the same, for an answer with meaningless bytes
  // How many buffers to take back now, to approach the number that was needed since the last call.
  unsigned shrink() noexcept;
  std::size_t count() const noexcept { return provided_; }
  bool has_plenty() const noexcept { return provided_ > at_first; }
  void leave_to_kernel() noexcept;  // never frees them: the kernel may still write there

 private:
  static constexpr unsigned entries = 2048;      // 32 MiB: streams beyond that receive into buffers of their own
  static constexpr unsigned at_first = 64;       // 1 MiB for each worker that receives
  static constexpr unsigned most_at_once = 256;  // to take back, so that the worker is not busy with it for long

  void provide(std::uint16_t id) noexcept;

  buffer_pool& from_;
  io_uring_buf_ring* ring_ = nullptr;
  bool refused_ = false;
  std::uint16_t tail_ = 0;
  unsigned provided_ = 0;
  unsigned wanted_ = 0;         // while there are more, a filled buffer is not replaced
  unsigned taken_ = 0;          // in this turn
  unsigned most_taken_ = 0;     // in one turn, since the last shrink()
  std::vector<buffer*> by_id_;  // null: not in the ring
};

}  // namespace ringo::detail
