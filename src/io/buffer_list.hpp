// Buffers of received bytes, in their order.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include <ringo/chunk.hpp>
#include <ringo/detail/checked.hpp>

#include "driver/buffer_pool.hpp"
#include "io/passed_descriptors.hpp"

namespace ringo::detail {

class buffer_list {
 public:
  buffer_list() noexcept = default;
  buffer_list(buffer_list&& from) noexcept
      : first_(std::exchange(from.first_, nullptr)), last_(from.last_), size_(std::exchange(from.size_, 0)) {}
  buffer_list& operator=(buffer_list&& from) noexcept {
    while (!empty()) give_back(pop_front());
    append(std::move(from));
    return *this;
  }
  ~buffer_list() {
    while (!empty()) give_back(pop_front());
  }

  bool empty() const noexcept { return first_ == nullptr; }
  std::size_t size() const noexcept { return size_; }  // bytes in all of them
  void push_back(buffer& b) noexcept {
    b.next = nullptr;
    (first_ != nullptr ? last_->next : first_) = &b;
    last_ = &b;
    size_ += b.end - b.begin;
  }
  void push_front(buffer& b) noexcept {
    b.next = first_;
    if (first_ == nullptr) last_ = &b;
    first_ = &b;
    size_ += b.end - b.begin;
  }
  void append(buffer_list&& more) noexcept {
    while (!more.empty()) push_back(more.pop_front());
  }
  buffer& pop_front() noexcept {
    buffer& b = *std::exchange(first_, first_->next);
    size_ -= b.end - b.begin;
    return b;
  }
  void check() const {
    std::size_t size = 0;
    for (const buffer* b = first_; b != nullptr; b = b->next) {
      invariant(b->begin < b->end, "no buffer in a list is empty");
      invariant(b->next != nullptr || b == last_, "the last buffer has no next");
      size += b->end - b->begin;
    }
    invariant(size == size_, "a list counts the bytes in its buffers");
  }
  // Moves the first n bytes out; the list has so many. Descriptors that came with them go to `dropped`.
  void copy_out(std::byte* to, std::size_t n, passed_descriptors*& dropped) noexcept {
    while (n != 0) {
      const std::size_t part = std::min<std::size_t>(n, first_->end - first_->begin);
      std::memcpy(to, first_->bytes() + first_->begin, part);
      to += part;
      n -= part;
      first_->begin += static_cast<std::uint32_t>(part);
      size_ -= part;
      if (first_->begin != first_->end) return;
      buffer& empty = pop_front();
      if (empty.passed != nullptr) {
        empty.passed->next = dropped;
        dropped = std::exchange(empty.passed, nullptr);
      }
      give_back(empty);
    }
  }

 private:
  buffer* first_ = nullptr;
  buffer* last_ = nullptr;  // means nothing if the list is empty
  std::size_t size_ = 0;
};

}  // namespace ringo::detail
