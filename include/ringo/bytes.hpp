// byte_source and byte_sink: what bytes come from and go to.
//
// buffered_reader reads from any byte_source, buffered_writer writes to any byte_sink: the streams of TCP, TLS, Unix
// sockets and pipes, a file's reader and writer, a channel of std::string where a test feeds them, and types of your
// own, which keep to the contracts below.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <concepts>
#include <cstddef>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/detail/mistaken_await.hpp>

namespace ringo {

namespace detail {

// The bytes of a chunk, a std::string, a std::vector<std::byte>.
template <class Piece>
requires requires(const Piece& p) { p.bytes(); }
std::string_view text_of_piece(const Piece& p) noexcept {
  const std::span<const std::byte> bytes = p.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
template <std::ranges::contiguous_range Piece>
requires(std::ranges::sized_range<const Piece> && sizeof(std::ranges::range_value_t<Piece>) == 1)
std::string_view text_of_piece(const Piece& p) noexcept {
  return {reinterpret_cast<const char*>(std::ranges::data(p)), std::ranges::size(p)};
}

template <class S, class Bytes>
concept sends = requires(S& to, Bytes bytes) {
  to.send(bytes);
  requires !std::is_same_v<decltype(to.send(bytes)), mistaken_await>;
};

}  // namespace detail

// recv() is awaited, as a case of a select, too. It yields the next bytes, in order and at least one, as an optional
// piece: a chunk, a std::string, a std::vector<std::byte>. It yields nullopt at the end, each time it is asked. It
// throws what ends the source before its end. Cancel safety: a recv() that is cancelled or loses a select has taken
// nothing; the next one yields what it would have.
template <class S>
concept byte_source = requires(S& from) {
  { detail::text_of_piece(*std::declval<typename std::remove_cvref_t<decltype(from.recv())>::result_type&>()) };
};

// send(text) is awaited; text is a std::string_view, which the caller keeps unchanged until then, or a std::string for
// a sink that keeps it (a sender<std::string>). When it returns, all of the bytes have been taken, behind those of
// every send before it. Cancel safety: where a send that is cancelled or loses a select has not begun, nothing of it is
// sent; where it has, every later send throws, since what came next would be wrong for the reader, or be there twice.
template <class S>
concept byte_sink = detail::sends<S, std::string_view> || detail::sends<S, std::string>;

}  // namespace ringo
