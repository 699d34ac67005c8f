// What can be sent, and what can be filled with what comes: strings and ranges of bytes.
#pragma once
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

#include <ringo/detail/library.hpp>

namespace ringo::detail {

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

}  // namespace ringo::detail
