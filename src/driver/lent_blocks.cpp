#include "driver/lent_blocks.hpp"

#include <liburing.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <utility>

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
  // Else, after a fork, a write would give this process a copy of the page, and the kernel would keep the old page.
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
  const unsigned more = std::min(std::max(lent_ * 2, at_first), entries);
  try {
    if (by_id_.size() < more) by_id_.resize(more, nullptr);
  } catch (const std::exception&) {
    return false;
  }
  wanted_ = more;
  const unsigned before = lent_;
  for (std::size_t id = 0; id < by_id_.size() && lent_ < wanted_; ++id) {
    if (by_id_[id] == nullptr) provide(static_cast<std::uint16_t>(id));
  }
  return lent_ > before;
}

void lent_blocks::provide(std::uint16_t id) noexcept {
  block* b = from_.take();
  by_id_[id] = b;
  if (b == nullptr) return;
  ++lent_;
  // The tail overlays a part of the first entry that the kernel does not read.
  io_uring_buf& entry = ring_->bufs[tail_ & (entries - 1)];
  entry.addr = reinterpret_cast<std::uintptr_t>(b->bytes());
  entry.len = block::size;
  entry.bid = id;
  ++tail_;
  std::atomic_ref<std::uint16_t>(ring_->tail).store(tail_, std::memory_order_release);  // the kernel sees the entry
}

block* lent_blocks::take(unsigned flags) noexcept {
  block* const filled = take_back(flags);
  if (filled != nullptr) most_taken_ = std::max(most_taken_, ++taken_);
  return filled;
}

block* lent_blocks::take_back(unsigned flags) noexcept {
  if ((flags & IORING_CQE_F_BUFFER) == 0) return nullptr;
  const auto id = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
  block* const filled = std::exchange(by_id_[id], nullptr);
  --lent_;
  if (lent_ < wanted_) provide(id);
  return filled;
}

unsigned lent_blocks::shrink() noexcept {
  // Twice as many: answers may come while earlier ones are delivered.
  const unsigned needed = std::max(std::exchange(most_taken_, 0) * 2, at_first);
  if (lent_ <= needed) return 0;
  const unsigned fewer = std::min((lent_ - needed + 1) / 2, most_at_once);
  wanted_ = lent_ - fewer;
  return fewer;
}

}  // namespace ringo::detail
