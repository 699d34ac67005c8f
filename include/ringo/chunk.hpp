// chunk: received bytes, in a buffer of a pool.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

namespace ringo {

namespace detail {
struct block;
std::span<const std::byte> bytes_of(const block& b) noexcept;
void give_back(block& b) noexcept;
}  // namespace detail

/// Owns received bytes. Its destructor gives the buffer back to the pool. Never empty, except after a move, or for a
/// datagram without bytes. Move-only. Thread: any.
class chunk {
 public:
  explicit chunk(detail::block* lent) noexcept : block_(lent) {}
  chunk(chunk&& from) noexcept : block_(std::exchange(from.block_, nullptr)) {}
  chunk& operator=(chunk&& from) noexcept {
    std::swap(block_, from.block_);
    return *this;
  }
  ~chunk() {
    if (block_ != nullptr) detail::give_back(*block_);
  }

  /// Valid as long as the chunk lives.
  std::span<const std::byte> bytes() const noexcept {
    return block_ != nullptr ? detail::bytes_of(*block_) : std::span<const std::byte>();
  }
  operator std::span<const std::byte>() const noexcept { return bytes(); }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(bytes().data()), bytes().size()}; }
  std::size_t size() const noexcept { return bytes().size(); }

 private:
  detail::block* block_;
};

}  // namespace ringo
