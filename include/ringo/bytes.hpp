// byte_source and byte_sink: the concepts that buffered_reader reads from and buffered_writer writes to.
//
// Models are the streams of TCP, TLS, Unix sockets and pipes, a file's reader and writer, a channel of std::string (for
// tests), and your own types that keep the contracts below.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/detail/library.hpp>
#include <ringo/detail/mistaken_await.hpp>

namespace ringo {

namespace detail {

// The bytes of a piece: a chunk, a std::string, a std::vector<std::byte>.
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

/// A source of bytes. A routine can await its recv(), also as a case of a select. recv() yields the next bytes in
/// order, at least one, as an optional piece: a chunk, a std::string, a std::vector<std::byte>. At the end it yields
/// nullopt, each time. It throws if the source fails before its end. Cancel safety: a recv() that loses or is cancelled
/// has taken nothing; the next one yields the bytes.
template <class S>
concept byte_source = requires(S& from) {
  { detail::text_of_piece(*std::declval<typename std::remove_cvref_t<decltype(from.recv())>::result_type&>()) };
};

/// A sink of bytes. A routine can await its send(text). The text is a std::string_view, and the caller keeps its bytes
/// until send() returns; or it is a std::string, for a sink that keeps it (a sender<std::string>). When send() returns,
/// the sink has taken all bytes, after those of earlier sends. Cancel safety: a send that loses or is cancelled before
/// it has begun sends nothing. After it has begun, each later send throws, since the bytes would have a gap.
template <class S>
concept byte_sink = detail::sends<S, std::string_view> || detail::sends<S, std::string>;

}  // namespace ringo
