// How a stream of bytes is read and written. What stands behind it is in src/net/stream_core.hpp.
#pragma once
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <ringo/chunk.hpp>
#include <ringo/detail/destroyed.hpp>
#include <ringo/detail/operation.hpp>

namespace ringo::detail {

class descriptor_core;
class passed_descriptors;
class stream_core;
struct stream_access;  // makes the public streams

template <class T>
concept byte_like = std::same_as<T, char> || std::same_as<T, unsigned char> || std::same_as<T, std::byte>;
// An array of char in send() would be a string literal with its zero.
template <class R>
concept bytes_to_send = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
                        byte_like<std::remove_const_t<std::remove_reference_t<std::ranges::range_reference_t<R>>>> &&
                        !std::is_array_v<std::remove_reference_t<R>>;
// A piece of what is sent: a string, or a range of bytes.
template <class P>
concept piece_of_text = std::convertible_to<P, std::string_view> || bytes_to_send<P>;
// An array that may be written: a buffer, which need not end with a zero.
template <class P>
inline constexpr bool is_buffer = false;
template <std::size_t N>
inline constexpr bool is_buffer<char (&)[N]> = true;

template <piece_of_text P>
std::string_view text_to_write(const P& p) noexcept {
  if constexpr (std::convertible_to<const P&, std::string_view>) {
    return p;
  } else {
    return {reinterpret_cast<const char*>(std::ranges::data(p)), std::ranges::size(p)};
  }
}

template <class R>
concept bytes_to_fill = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
                        byte_like<std::remove_reference_t<std::ranges::range_reference_t<R>>>;

template <bytes_to_fill R>
std::span<std::byte> as_writable_bytes_of(R&& range) noexcept {
  return std::as_writable_bytes(std::span(std::ranges::data(range), std::ranges::size(range)));
}
template <bytes_to_send R>
std::span<const std::byte> as_bytes_of(R&& range) noexcept {
  return std::as_bytes(std::span(std::ranges::data(range), std::ranges::size(range)));
}

// A case that waits for bytes: its part in the stream's list, and its result.
struct reading {
  enum class kind : std::uint8_t { a_chunk, some, exactly, established };

  reading(kind k, std::span<std::byte> to) noexcept : what(k), into(to) {}

  reading* next = nullptr;
  reading* previous = nullptr;
  waiter* waits = nullptr;
  const char* call = nullptr;
  kind what;
  bool is_listed = false;
  bool counts = false;  // in the stream's uses
  int error = 0;        // of one that has failed
  std::span<std::byte> into;
  std::size_t count = 0;  // read
  block* got = nullptr;   // null at the end of the stream
};

// A case that waits until bytes have been sent, or until the direction has been shut down.
struct sending {
  enum class kind : std::uint8_t { bytes, shutdown };

  sending* next = nullptr;
  sending* previous = nullptr;
  waiter* waits = nullptr;
  kind what = kind::bytes;
  bool is_listed = false;
  bool counts = false;
  bool has_begun = false;     // some of it has been given to the kernel
  bool among_others = false;  // a case of a select
  bool was_refused = false;   // the kernel had no room for it
  int error = 0;
  std::span<const std::byte> one;                // to be sent, if `many` is empty
  std::vector<std::span<const std::byte>> many;  // to be sent
  std::size_t index = 0, offset = 0;             // in those: what comes next
  std::size_t left = 0;                          // bytes that have not been given to the kernel
  std::shared_ptr<passed_descriptors> passed;    // with the first of them

  void start_over() noexcept {
    has_begun = among_others = was_refused = false;
    index = offset = 0;
    left = one.size();
    for (const auto& each : many) left += each.size();
  }
};

// What the operations do; the first throws, the others are called as operation.hpp says.
void enter_stream(stream_core* of, const worker* w, const char* call);
spin_lock* lock_of(stream_core& of) noexcept;

// Where nothing is there, the kernel is asked: so that who only tries will find something the next time.
bool can_read(stream_core& from, const reading& r, worker& w) noexcept;
bool try_read(stream_core& from, reading& r, waiter& as, worker& w) noexcept;
void begin_reading(stream_core& from, reading& r, waiter& as, worker& w) noexcept;
bool end_reading(stream_core& from, reading& r) noexcept;
void take_reading(stream_core& from, reading& r, bool failed);  // throws what has failed
void discard_reading(stream_core& from, reading& r) noexcept;

bool can_send(stream_core& to, sending& s) noexcept;
bool try_send(stream_core& to, sending& s, waiter& as, worker& w) noexcept;
void begin_sending(stream_core& to, sending& s, waiter& as, worker& w) noexcept;
bool end_sending(stream_core& to, sending& s) noexcept;
void take_sending(stream_core& to, sending& s, bool failed);  // throws what has failed
void discard_sending(stream_core& to, sending& s) noexcept;

void delete_stream(stream_core& of) noexcept;
void tell_stream(const stream_core& of, std::string& text);

// For recv, read and read_exactly.
template <class Derived, class Result>
class reading_operation : public operation<Derived, Result> {
 public:
  void enter(const worker* w) { enter_stream(from_, w, Derived::call_name); }
  spin_lock* lock() noexcept { return lock_of(*from_); }
  bool ready(worker& w) noexcept { return can_read(*from_, request_, w); }
  bool commit(worker& w, bool, routine*&) noexcept { return try_read(*from_, request_, *this, w); }
  void link(worker& w, routine& r) noexcept {
    this->who = &r;
    this->stand(progress::waiting);
    begin_reading(*from_, request_, *this, w);
  }
  bool unlink() noexcept {
    if (!won(this->standing())) this->stand(progress::idle);
    return end_reading(*from_, request_);
  }
  void dispose() noexcept { delete_stream(*from_); }
  void discard() noexcept {
    this->stand(progress::idle);
    discard_reading(*from_, request_);
  }
  void tell(std::string& text) const {
    text += "bytes from ";
    tell_stream(*from_, text);
  }

 protected:
  reading_operation(stream_core* from, reading::kind what, std::span<std::byte> into) noexcept
      : from_(from), request_(what, into) {
    request_.call = Derived::call_name;
  }
  reading_operation(const reading_operation&) = default;
  reading_operation& operator=(const reading_operation&) = default;
  ~reading_operation() {
    if (this->standing() != progress::idle) [[unlikely]]
      this->abandon(*this->who);
  }

  reading& taken() {
    const bool failed = this->standing() == progress::failed;
    this->stand(progress::idle);
    take_reading(*from_, request_, failed);
    return request_;
  }

 private:
  stream_core* from_;
  reading request_;
};

class RINGO_AWAITABLE stream_recv_operation final
    : public reading_operation<stream_recv_operation, std::optional<chunk>> {
 public:
  static constexpr const char* call_name = "recv from a stream";
  explicit stream_recv_operation(stream_core* from) noexcept : reading_operation(from, reading::kind::a_chunk, {}) {}
  std::optional<chunk> take() {
    block* b = std::exchange(taken().got, nullptr);
    return b != nullptr ? std::optional<chunk>(chunk(b)) : std::nullopt;
  }
};

class RINGO_AWAITABLE stream_read_operation final : public reading_operation<stream_read_operation, std::size_t> {
 public:
  static constexpr const char* call_name = "read from a stream";
  stream_read_operation(stream_core* from, std::span<std::byte> into) noexcept
      : reading_operation(from, reading::kind::some, into) {}
  std::size_t take() { return taken().count; }
};

class RINGO_AWAITABLE stream_read_exactly_operation final
    : public reading_operation<stream_read_exactly_operation, void> {
 public:
  static constexpr const char* call_name = "read_exactly from a stream";
  stream_read_exactly_operation(stream_core* from, std::span<std::byte> into) noexcept
      : reading_operation(from, reading::kind::exactly, into) {}
  void take() { taken(); }
};

// Until both sides of a filter (TLS) have agreed.
class RINGO_AWAITABLE stream_established_operation final
    : public reading_operation<stream_established_operation, void> {
 public:
  static constexpr const char* call_name = "TLS handshake";
  explicit stream_established_operation(stream_core* of) noexcept
      : reading_operation(of, reading::kind::established, {}) {}
  void take() { taken(); }
};

// For send and shutdown_send.
class RINGO_AWAITABLE stream_send_operation final : public operation<stream_send_operation, void> {
 public:
  static constexpr const char* call_name = "send to a stream";
  stream_send_operation(stream_core* to, std::span<const std::byte> bytes) noexcept : to_(to) { request_.one = bytes; }
  stream_send_operation(stream_core* to, std::vector<std::span<const std::byte>> many) noexcept : to_(to) {
    request_.many = std::move(many);
  }
  stream_send_operation(stream_core* to, std::span<const std::byte> bytes, std::shared_ptr<passed_descriptors> with)
      : stream_send_operation(to, bytes) {
    request_.passed = std::move(with);
  }
  stream_send_operation(stream_core* to, sending::kind what) noexcept : to_(to) { request_.what = what; }
  stream_send_operation(const stream_send_operation&) = default;
  stream_send_operation& operator=(const stream_send_operation&) = default;
  ~stream_send_operation() {
    if (standing() != progress::idle) [[unlikely]]
      abandon(*who);
  }

  void enter(const worker* w) {
    enter_stream(to_, w, call_name);
    request_.start_over();
  }
  spin_lock* lock() noexcept { return lock_of(*to_); }
  bool ready(worker&) noexcept {
    request_.among_others = true;  // who waits for nothing else does not ask
    return can_send(*to_, request_);
  }
  bool commit(worker& w, bool, routine*&) noexcept { return try_send(*to_, request_, *this, w); }
  void link(worker& w, routine& r) noexcept {
    who = &r;
    stand(progress::waiting);
    begin_sending(*to_, request_, *this, w);
  }
  bool unlink() noexcept {
    if (!won(standing())) stand(progress::idle);
    return end_sending(*to_, request_);
  }
  void dispose() noexcept { delete_stream(*to_); }
  void take() {
    const bool failed = standing() == progress::failed;
    stand(progress::idle);
    take_sending(*to_, request_, failed);
  }
  void discard() noexcept {
    stand(progress::idle);
    discard_sending(*to_, request_);
  }
  void tell(std::string& text) const {
    text += "bytes to be taken by ";
    tell_stream(*to_, text);
  }

 private:
  stream_core* to_;
  sending request_;
};

// For every close().
class RINGO_AWAITABLE close_operation final : public operation<close_operation, void> {
 public:
  static constexpr const char* call_name = "close a descriptor";
  explicit close_operation(descriptor_core* of) noexcept : of_(of) {}
  close_operation(const close_operation&) = default;
  close_operation& operator=(const close_operation&) = default;
  ~close_operation() {
    if (standing() != progress::idle) [[unlikely]]
      abandon(*who);
  }

  void enter(const worker* w);
  spin_lock* lock() noexcept;
  bool ready(worker&) noexcept;
  bool commit(worker& w, bool, routine*&) noexcept {
    if (!ready(w)) return false;
    stand(progress::done);
    return true;
  }
  void link(worker& w, routine& r) noexcept;
  bool unlink() noexcept;
  void dispose() noexcept;
  void take() noexcept { stand(progress::idle); }
  void tell(std::string& text) const { text += "a descriptor to be closed"; }

 private:
  descriptor_core* of_;
};

// One handle of a stream.
class stream_handle {
 public:
  stream_handle() noexcept = default;
  explicit stream_handle(stream_core* counted) noexcept : core_(counted) {}
  stream_handle(stream_handle&& from) noexcept : core_(std::exchange(from.core_, nullptr)) {}
  stream_handle& operator=(stream_handle&& from) noexcept {
    stream_handle(std::move(from)).swap(*this);
    return *this;
  }
  ~stream_handle() {
    if (core_ != nullptr) drop(*std::exchange(core_, nullptr));
    keep_mark(core_);
  }

  void swap(stream_handle& with) noexcept { std::swap(core_, with.core_); }
  stream_handle another() const noexcept;
  stream_core* get() const noexcept { return core_; }
  int native_handle() const noexcept;  // -1 of nothing
  close_operation close() const;

 private:
  static void drop(stream_core& of) noexcept;

  stream_core* core_ = nullptr;
};

}  // namespace ringo::detail
