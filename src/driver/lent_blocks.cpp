#include "driver/lent_blocks.hpp"

#include <liburing.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <exception>

namespace ringo::detail {
namespace {

constexpr std::size_t bytes_of(unsigned entries) { return entries * sizeof(io_uring_buf); }

}  // namespace

lent_blocks::~lent_blocks() {
  for (block* b : by_id_) {
    if (b != nullptr) from_.give_back(*b);
  }
  if (ring_ != nullptr) ::munmap(ring_, bytes_of(entries));
}

void lent_blocks::leave_to_kernel() noexcept {
  by_id_.clear();
  ring_ = nullptr;
}

bool lent_blocks::open(int ring) noexcept {
  if (ring_ != nullptr) return true;
  if (refused_) return false;
  refused_ = true;
  void* memory = ::mmap(nullptr, bytes_of(entries), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  // After a fork, a write would give this process a copy, and leave the kernel with the page that it had.
  ::madvise(memory, bytes_of(entries), MADV_DONTFORK);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
  registration.ring_entries = entries;
  if (::io_uring_register(static_cast<unsigned>(ring), IORING_REGISTER_PBUF_RING, &registration, 1) != 0) {
    ::munmap(memory, bytes_of(entries));
    return false;
  }
  ring_ = static_cast<io_uring_buf_ring*>(memory);
  refused_ = !grow();
  return !refused_;
}

bool lent_blocks::grow() noexcept {
  const std::size_t before = by_id_.size();
  try {
    by_id_.resize(std::min<std::size_t>(std::max<std::size_t>(before * 2, at_first), entries), nullptr);
  } catch (const std::exception&) {
    return false;
  }
  bool grown = false;
  for (std::size_t id = 0; id < by_id_.size(); ++id) {
    if (by_id_[id] == nullptr) grown = provide(static_cast<std::uint16_t>(id)) || grown;
  }
  return grown;
}

bool lent_blocks::provide(std::uint16_t id) noexcept {
  block* b = from_.take();
  by_id_[id] = b;
  if (b == nullptr) return false;
  // The tail lies where the first entry has what the kernel does not read.
  io_uring_buf& entry = ring_->bufs[tail_ & (entries - 1)];
  entry.addr = reinterpret_cast<std::uintptr_t>(b->bytes());
  entry.len = block::size;
  entry.bid = id;
  ++tail_;
  std::atomic_ref<std::uint16_t>(ring_->tail).store(tail_, std::memory_order_release);  // the kernel sees the entry
  return true;
}

block* lent_blocks::take(unsigned flags) noexcept {
  if ((flags & IORING_CQE_F_BUFFER) == 0) return nullptr;
  const auto id = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
  block* filled = by_id_[id];
  provide(id);
  return filled;
}

}  // namespace ringo::detail
