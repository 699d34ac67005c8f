#include "driver/provided_buffers.hpp"

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

provided_buffers::~provided_buffers() {
  for (buffer* b : by_id_) {
    if (b != nullptr) from_.give_back(*b);
  }
  if (ring_ != nullptr) ::munmap(ring_, bytes_of(entries));
}

void provided_buffers::leave_to_kernel() noexcept {
  by_id_.clear();
  ring_ = nullptr;
}

bool provided_buffers::open(int ring) noexcept {
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

bool provided_buffers::grow() noexcept {
  const unsigned more = std::min(std::max(provided_ * 2, at_first), entries);
  try {
    if (by_id_.size() < more) by_id_.resize(more, nullptr);
  } catch (const std::exception&) {
    return false;
  }
  wanted_ = more;
  const unsigned before = provided_;
  for (std::size_t id = 0; id < by_id_.size() && provided_ < wanted_; ++id) {
    if (by_id_[id] == nullptr) provide(static_cast<std::uint16_t>(id));
  }
  return provided_ > before;
}

void provided_buffers::provide(std::uint16_t id) noexcept {
  buffer* b = from_.take();
  by_id_[id] = b;
  if (b == nullptr) return;
  ++provided_;
  // The tail overlays a part of the first entry that the kernel does not read.
  io_uring_buf& entry = ring_->bufs[tail_ & (entries - 1)];
  entry.addr = reinterpret_cast<std::uintptr_t>(b->bytes());
  entry.len = buffer::size;
  entry.bid = id;
  ++tail_;
  std::atomic_ref<std::uint16_t>(ring_->tail).store(tail_, std::memory_order_release);  // the kernel sees the entry
}

buffer* provided_buffers::take(unsigned flags) noexcept {
  buffer* const filled = take_back(flags);
  if (filled != nullptr) most_taken_ = std::max(most_taken_, ++taken_);
  return filled;
}

buffer* provided_buffers::take_back(unsigned flags) noexcept {
  if ((flags & IORING_CQE_F_BUFFER) == 0) return nullptr;
  const auto id = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
  buffer* const filled = std::exchange(by_id_[id], nullptr);
  --provided_;
  if (provided_ < wanted_) provide(id);
  return filled;
}

unsigned provided_buffers::shrink() noexcept {
  // Twice as many: answers may come while earlier ones are delivered.
  const unsigned needed = std::max(std::exchange(most_taken_, 0) * 2, at_first);
  if (provided_ <= needed) return 0;
  const unsigned fewer = std::min((provided_ - needed + 1) / 2, most_at_once);
  wanted_ = provided_ - fewer;
  return fewer;
}

}  // namespace ringo::detail
