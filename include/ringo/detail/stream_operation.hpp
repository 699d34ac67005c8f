// The operations of streams of bytes. src/io/stream_core.hpp carries them out.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <ringo/chunk.hpp>
#include <ringo/detail/io_operation.hpp>
#include <ringo/detail/pointers.hpp>

namespace ringo::detail {

class passed_descriptors;
class stream_core;
using stream_handle = descriptor_handle<stream_core>;

// Waits for bytes.
struct reading : io_request {
  enum class kind : std::uint8_t { a_chunk, some, exactly, established };
  static constexpr const char* source_noun = "stream";

  reading(kind k, std::span<std::byte> to) noexcept : io_request(io_side::in), what(k), into(to) {}

  kind what;
  std::span<std::byte> into;
  std::size_t count = 0;                  // of bytes read
  buffer* got = nullptr;                  // null at the end of the stream
  passed_descriptors* dropped = nullptr;  // came with bytes that were only read; it closes them
};

// Waits until bytes have been sent, or until the direction has been shut down.
struct sending : io_request {
  enum class kind : std::uint8_t { bytes, shutdown };
  static constexpr const char* source_noun = "stream";

  explicit sending(kind k) noexcept : io_request(io_side::out), what(k) {}
  explicit sending(std::span<const std::byte> bytes) noexcept : io_request(io_side::out), one(bytes) {}
  explicit sending(std::vector<std::span<const std::byte>> pieces) noexcept
      : io_request(io_side::out), many(std::move(pieces)) {}

  kind what = kind::bytes;
  bool has_begun = false;                        // the kernel, or the stream's filter, has some of the bytes
  bool in_select = false;                        // a case among others: a short send is decided at once
  std::span<const std::byte> one;                // the bytes, if `many` is empty
  std::vector<std::span<const std::byte>> many;  // the bytes
  std::size_t index = 0, offset = 0;             // of the next byte, in `many` and its piece
  std::size_t left = 0;                          // bytes that neither the kernel nor the filter has
  shared<passed_descriptors> passed;             // go with the first byte

  void start_over() noexcept {
    has_begun = in_select = goes_first = false;
    index = offset = 0;
    left = one.size();
    for (const auto& each : many) left += each.size();
  }
  // The next bytes, at most `most`, which then count as given away. May be empty, if a piece is.
  std::span<const std::byte> next_part(std::size_t most) noexcept;
};

template <class Derived, class Result>
class reading_operation : public io_operation<Derived, Result, reading> {
 public:
  static constexpr const char* awaits = "bytes from ";
  using operation<Derived, Result, reading>::ends_at_once;

 protected:
  reading_operation(descriptor_source* from, reading::kind k, std::span<std::byte> to) noexcept
      : io_operation<Derived, Result, reading>(from, k, to) {}
  std::optional<chunk> got_chunk() noexcept {
    buffer* const b = std::exchange(this->got, nullptr);
    return b != nullptr ? std::optional<chunk>(chunk(b)) : std::nullopt;
  }
};

class RINGO_AWAITABLE stream_recv_operation final
    : public reading_operation<stream_recv_operation, std::optional<chunk>> {
 public:
  static constexpr const char* call_name = "recv from a stream";
  explicit stream_recv_operation(descriptor_source* from) noexcept
      : reading_operation(from, reading::kind::a_chunk, {}) {}
  std::optional<chunk> result() noexcept { return got_chunk(); }
};

class RINGO_AWAITABLE stream_read_operation final : public reading_operation<stream_read_operation, std::size_t> {
 public:
  static constexpr const char* call_name = "read from a stream";
  stream_read_operation(descriptor_source* from, std::span<std::byte> to) noexcept
      : reading_operation(from, reading::kind::some, to) {}
  std::size_t result() const noexcept { return count; }
};

class RINGO_AWAITABLE stream_read_exactly_operation final
    : public reading_operation<stream_read_exactly_operation, void> {
 public:
  static constexpr const char* call_name = "read_exactly from a stream";
  stream_read_exactly_operation(descriptor_source* from, std::span<std::byte> to) noexcept
      : reading_operation(from, reading::kind::exactly, to) {}
};

// Waits until both sides of a filter (TLS) have agreed.
class RINGO_AWAITABLE stream_established_operation final
    : public reading_operation<stream_established_operation, void> {
 public:
  static constexpr const char* call_name = "TLS handshake";
  explicit stream_established_operation(descriptor_source* of) noexcept
      : reading_operation(of, reading::kind::established, {}) {}
};

// For send and shutdown_send.
class RINGO_AWAITABLE stream_send_operation final : public io_operation<stream_send_operation, void, sending> {
 public:
  static constexpr const char* call_name = "send to a stream";
  static constexpr const char* awaits = "bytes to be taken by ";

  stream_send_operation(descriptor_source* to, sending::kind k) noexcept : io_operation(to, k) {}
  stream_send_operation(descriptor_source* to, std::span<const std::byte> bytes,
                        shared<passed_descriptors> with = {}) noexcept
      : io_operation(to, bytes) {
    passed = std::move(with);
  }
  stream_send_operation(descriptor_source* to, std::vector<std::span<const std::byte>> pieces) noexcept
      : io_operation(to, std::move(pieces)) {}

  void enter(const worker* w) {
    io_operation::enter(w);
    start_over();
  }
  RINGO_ALWAYS_INLINE bool await_ready() {
    const bool goes_on = io_operation::await_ready();
    if (!acts) return goes_on;
    return source_->act_first(*this) && goes_on;
  }
  template <class P>
  RINGO_AWAIT_SUSPEND std::coroutine_handle<> await_suspend(std::coroutine_handle<P> coroutine) {
    if (!counts || current_state() != progress::idle) [[likely]]
      return io_operation::await_suspend(coroutine);
    try {
      return io_operation::await_suspend(coroutine);
    } catch (...) {  // there is no memory for the record of a foreign coroutine
      discard();
      throw;
    }
  }
  bool ready(worker& w) noexcept {
    in_select = true;  // only a select asks
    return io_operation::ready(w);
  }
};

}  // namespace ringo::detail
