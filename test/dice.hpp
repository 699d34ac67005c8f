// Random numbers from a seed, and a stream of bytes each of which depends on its position.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

class dice {
 public:
  explicit dice(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}
  std::uint64_t below(std::uint64_t n) noexcept {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (state_ >> 32) % n;
  }

 private:
  std::uint64_t state_;
};

// The n-th byte of that stream.
inline char numbered(std::size_t n) { return static_cast<char>((n * 2654435761u) >> 11); }

// Cuts the first `size` bytes of that stream into pieces.
class numbered_pieces {
 public:
  explicit numbered_pieces(std::size_t size) : size_(size) {}
  // The next piece has `length` bytes, or what is left. False at the end of the stream.
  bool next(std::size_t length) {
    if (cut_ == size_) return false;
    piece_.resize(std::min(length, size_ - cut_));
    for (char& b : piece_) b = numbered(cut_++);
    return true;
  }
  const std::string& piece() const noexcept { return piece_; }

 private:
  const std::size_t size_;
  std::size_t cut_ = 0;
  std::string piece_;
};

// Checks the bytes of such a stream as they are read.
struct progress_of_reading {
  std::size_t at = 0;
  bool is_right = true, has_ended = false;

  void take(std::span<const char> bytes) {
    for (const char b : bytes) is_right = is_right && b == numbered(at++);
  }
};
