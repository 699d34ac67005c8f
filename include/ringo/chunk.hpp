// chunk: received bytes, in a buffer of a pool.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

namespace ringo {

namespace detail {
struct buffer;
std::span<const std::byte> bytes_of(const buffer& b) noexcept;
void give_back(buffer& b) noexcept;
}  // namespace detail

/// Owns received bytes. Its destructor gives the buffer back to the pool. Never empty, except after a move, or for a
/// datagram without bytes. Move-only. Thread: any.
class chunk {
 public:
  explicit chunk(detail::buffer* lent) noexcept : buffer_(lent) {}
  chunk(chunk&& from) noexcept : buffer_(std::exchange(from.buffer_, nullptr)) {}
  chunk& operator=(chunk&& from) noexcept {
    std::swap(buffer_, from.buffer_);
    return *this;
  }
  ~chunk() {
    if (buffer_ != nullptr) detail::give_back(*buffer_);
  }

  /// Valid as long as the chunk lives.
  std::span<const std::byte> bytes() const noexcept {
    return buffer_ != nullptr ? detail::bytes_of(*buffer_) : std::span<const std::byte>();
  }
  operator std::span<const std::byte>() const noexcept { return bytes(); }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(bytes().data()), bytes().size()}; }
  std::size_t size() const noexcept { return bytes().size(); }

 private:
  detail::buffer* buffer_;
};

}  // namespace ringo
