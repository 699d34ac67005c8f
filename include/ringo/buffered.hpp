// buffered_reader, buffered_writer: lines, records and pieces of a stream of bytes, for text and other protocols.
//
//   buffered_reader in(stream);
//   buffered_writer out(stream);
//   while (auto line = co_await in.read_line()) {
//     co_await out.write("you said: ", *line, "\n");
//     co_await out.flush();
//   }
//
// Both refer to a stream that is passed by name, as here, and own a stream that is moved into them. One routine at a
// time may use each; a second one gets std::logic_error.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <source_location>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <ringo/bytes.hpp>
#include <ringo/detail/buffered_read.hpp>
#include <ringo/detail/byte_ranges.hpp>

namespace ringo {

namespace detail {
template <class S>
struct piece_from : std::type_identity<std::string> {};
template <ringo::byte_source S>
struct piece_from<S> {
  using type = typename std::remove_cvref_t<decltype(std::declval<S&>().recv())>::result_type::value_type;
};

// The first of the written pieces, with the caller's location: no default argument can follow the other pieces.
struct first_piece {
  template <piece_of_text P>
  first_piece(P&& p, std::source_location at = std::source_location::current()) noexcept
      : text(text_to_write(p)), where(at) {
    static_assert(!is_buffer<P>, "a buffer is no string: pass a span");
  }
  std::string_view text;
  std::source_location where;
};
}  // namespace detail

/// Reads lines or records from a byte_source (bytes.hpp): a tcp_stream, a pipe_reader, a file's reader, a
/// receiver<std::string> in a test.
///
/// Throws: all reads throw what the source's recv() throws; bytes that came before can still be read. Cancel safety: a
/// read that loses or is cancelled loses nothing; its bytes stay in the reader.
template <class Source>
class buffered_reader {
  static constexpr bool is_source = byte_source<Source>;
  static_assert(is_source, "a buffered_reader reads from a byte_source (bytes.hpp): of a file that is file::reader()");
  using piece = typename detail::piece_from<Source>::type;
  template <class Request>
  using read_of = detail::buffered_read<buffered_reader, Request>;
  using location = std::source_location;

 public:
  // The longest line or record, unless the caller says otherwise: a peer that never ends one takes no more memory.
  static constexpr std::size_t usual_limit = 64 * 1024;

  explicit buffered_reader(Source&& from) : source_(std::forward<Source>(from)) {}

  /// The next line, without its "\n" or "\r\n"; the last one may lack it. nullopt at the end of the stream.
  /// Throws: std::system_error with std::errc::message_size if the line is longer than `limit` bytes. Then the line can
  /// still be read by another call.
  read_of<detail::line_request> read_line(std::size_t limit = usual_limit, location where = location::current()) {
    return {*this, detail::line_request(limit), where};
  }

  /// The lines as a source, like a channel: its recv() is read_line(limit). It refers to the reader.
  ///
  ///   auto lines = in.lines();
  ///   while (auto line = co_await lines.recv()) ...
  auto lines(std::size_t limit = usual_limit) noexcept { return line_source(*this, limit); }

  /// The bytes before the next delimiter, which is taken, too. nullopt at the end of the stream. Throws: disconnected
  /// if the stream ends before a delimiter; message_size like read_line; std::invalid_argument if the delimiter is
  /// empty.
  read_of<detail::until_request> read_until(std::string_view delimiter, std::size_t limit = usual_limit,
                                            location where = location::current()) {
    return {*this, detail::until_request(delimiter, limit), where};
  }

  /// The next n bytes. They are collected in memory, so use read() for large amounts. Throws: disconnected if the
  /// stream ends before; the bytes that came can still be read.
  read_of<detail::exactly_request> read_exactly(std::size_t n, location where = location::current()) {
    return {*this, detail::exactly_request(n), where};
  }
  read_of<detail::exactly_into_request> read_exactly(std::span<std::byte> into, location where = location::current()) {
    return {*this, detail::exactly_into_request(into), where};
  }
  template <detail::bytes_to_fill R>
  read_of<detail::exactly_into_request> read_exactly(R&& into, location where = location::current()) {
    return read_exactly(detail::as_writable_bytes_of(into), where);
  }

  /// The bytes that are there; if none are, waits for the next ones. nullopt, or 0, at the end of the stream.
  read_of<detail::some_request> read_some(std::size_t most = usual_limit, location where = location::current()) {
    return {*this, detail::some_request(most), where};
  }
  read_of<detail::some_into_request> read(std::span<std::byte> into, location where = location::current()) {
    return {*this, detail::some_into_request(into), where};
  }
  template <detail::bytes_to_fill R>
  read_of<detail::some_into_request> read(R&& into, location where = location::current()) {
    return read(detail::as_writable_bytes_of(into), where);
  }

  /// The next n bytes, without taking them; fewer at the end of the stream. Valid until the next read.
  read_of<detail::peek_request> peek(std::size_t n, location where = location::current()) {
    return {*this, detail::peek_request(n), where};
  }
  /// The bytes that are there now. Does not wait; no bytes does not mean the end.
  std::string_view buffered() const noexcept { return received_.there(); }
  /// Takes n of the bytes that are there. Throws: std::logic_error if there are fewer.
  void consume(std::size_t n) {
    if (n > buffered().size())
      throw std::logic_error("ringo: buffered_reader: consume of more bytes than are buffered");
    received_.consume(n);
  }

  std::remove_reference_t<Source>& source() noexcept { return source_; }

 private:
  class line_source {
   public:
    line_source(buffered_reader& of, std::size_t limit) noexcept : of_(&of), limit_(limit) {}
    auto recv(location where = location::current()) const { return of_->read_line(limit_, where); }

   private:
    buffered_reader* of_;
    std::size_t limit_;
  };

  template <class Reader, class Request>
  friend class detail::buffered_read;

  template <class Request>
  bool has(Request& r) {
    const detail::sole_use::guard guard(use_, Request::call_name);
    return r.satisfied(buffered(), false);
  }
  // Result is the request's result, or the request itself: then the caller takes its bytes later.
  template <class Result, class Request>
  static task<Result> perform(buffered_reader& in, Request r, location where) {
    detail::throw_if_cancelled(Request::call_name);
    const detail::sole_use::guard guard(in.use_, Request::call_name);
    if constexpr (is_source) {
      for (bool ended = false; !r.satisfied(in.buffered(), ended);) {
        auto receiving = receive_from(in.source_, where);
        auto came = co_await detail::awaited_at<decltype(receiving)>{std::move(receiving), where};
        if (came) {
          in.received_.append(std::move(*came));
        } else {
          ended = true;
        }
      }
    }
    if constexpr (std::is_same_v<Result, Request>) {
      co_return r;
    } else {
      co_return in.take(r);
    }
  }
  // The source's own tasks report the caller's location.
  static auto receive_from(std::remove_reference_t<Source>& from, location where) {
    if constexpr (requires { from.recv(where); }) {
      return from.recv(where);
    } else {
      return from.recv();
    }
  }
  template <class Request>
  typename Request::result_type take(const Request& r) {
    struct skipping {
      buffered_reader& in;
      std::size_t taken = 0;
      ~skipping() { in.received_.consume(taken); }
    } at_the_end{*this};
    return r.take(buffered(), at_the_end.taken);
  }

  Source source_;
  detail::received_bytes<piece> received_;
  detail::sole_use use_;
};
template <class S>
buffered_reader(S&&) -> buffered_reader<S>;

/// Gathers small pieces, and sends them as one to a byte_sink (bytes.hpp): a tcp_stream, a pipe_writer, a file's
/// writer, a sender<std::string>. Bytes that were not flushed when it is destroyed are not sent.
template <class Sink>
class buffered_writer {
  static constexpr bool is_sink = byte_sink<Sink>;
  static_assert(is_sink, "a buffered_writer writes to a byte_sink (bytes.hpp): of a file that is file::writer()");
  static constexpr bool takes_views = detail::sends<Sink, std::string_view>;
  static constexpr bool takes_pieces = detail::sends<Sink, std::span<const std::span<const std::byte>>>;
  static auto sendable(const std::string& text) {
    if constexpr (takes_views) {
      return std::string_view(text);
    } else {
      return std::string(text);
    }
  }

  class clearing {
   public:
    explicit clearing(std::string& what) noexcept : what_(&what) {}
    void operator()() const noexcept { what_->clear(); }

   private:
    std::string* what_;
  };
  // Makes no task if nothing is held.
  class RINGO_AWAITABLE flushing : public detail::deferred<flushing, void> {
   public:
    flushing(buffered_writer& of, std::source_location where) noexcept : of_(of), where_(where) {}
    bool ends_at_once(detail::worker& w) { return w.spend() && of_.is_empty("flush"); }
    void take() const noexcept {}
    RINGO_RETURNS_TASK auto as_case() && {
      if constexpr (takes_views) {
        return on(of_.sink_.send(std::string_view(of_.buffer_)), clearing(of_.buffer_));
      } else {
        return send_buffer(of_, where_);
      }
    }

   private:
    friend class detail::deferred<flushing, void>;
    RINGO_RETURNS_TASK task<void> make(std::source_location) { return send_buffer(of_, where_); }

    buffered_writer& of_;
    std::source_location where_;
  };
  // Makes no task if the pieces fit.
  template <std::size_t N>
  class RINGO_AWAITABLE writing : public detail::deferred<writing<N>, void> {
   public:
    writing(buffered_writer& to, std::array<std::string_view, N> pieces, std::source_location where) noexcept
        : to_(to), pieces_(pieces), where_(where) {}
    bool ends_at_once(detail::worker& w) { return w.spend() && to_.keeps(pieces_); }
    void take() const noexcept {}
    // So that go() and the like start it.
    RINGO_RETURNS_TASK task<void> operator()() { return make({}); }
    RINGO_RETURNS_TASK operator task<void>() && { return make({}); }

   private:
    friend class detail::deferred<writing, void>;
    RINGO_RETURNS_TASK task<void> make(std::source_location) { return write_all(to_, pieces_, where_); }

    buffered_writer& to_;
    std::array<std::string_view, N> pieces_;
    std::source_location where_;
  };

 public:
  /// Holds at most `size` bytes.
  explicit buffered_writer(Sink&& to, std::size_t size = 16 * 1024) : sink_(std::forward<Sink>(to)), size_(size) {}

  /// Writes strings and ranges of bytes, one after the other. Sends only if they do not fit. Throws: cancelled; what
  /// the sink's send() throws. Cancel safety: either all pieces were written or none, unless a send was cut short
  /// (byte_sink). As a case of a select it is a plain task.
  writing<0> write(std::source_location where = std::source_location::current()) { return {*this, {}, where}; }
  template <detail::piece_of_text... More>
  auto write(detail::first_piece first, More&&... more) {
    static_assert(!(detail::is_buffer<More> || ...), "a buffer is no string: pass a span");
    return writing<1 + sizeof...(More)>(*this, {first.text, detail::text_to_write(more)...}, first.where);
  }

  /// Sends all that is held, with one send. Throws and cancel safety: as the sink's send().
  flushing flush(std::source_location where = std::source_location::current()) noexcept { return {*this, where}; }

  std::string_view buffered() const noexcept { return buffer_; }
  std::remove_reference_t<Sink>& sink() noexcept { return sink_; }

 private:
  // The sink's own tasks report the caller's location.
  template <class What>
  static auto send_to(std::remove_reference_t<Sink>& to, const What& what, std::source_location where) {
    using sending = decltype(to.send(what));
    if constexpr (detail::is_task<sending> || std::derived_from<sending, detail::deferred_base>) {
      if constexpr (requires { to.send(what, where); }) {
        return to.send(what, where);
      } else {
        return to.send(what);
      }
    } else {
      return to.send(what);
    }
  }
  bool is_empty(const char* call) {
    const detail::sole_use::guard guard(use_, call);
    return buffer_.empty();
  }
  // Adds the pieces to what it holds, if they fit.
  template <std::size_t N>
  bool keeps(const std::array<std::string_view, N>& pieces) {
    const detail::sole_use::guard guard(use_, "write");
    std::size_t size = buffer_.size();
    for (const std::string_view each : pieces) size += each.size();
    if (size > size_) return false;
    buffer_.reserve(size);
    for (const std::string_view each : pieces) buffer_ += each;
    return true;
  }
  static task<void> send_buffer(buffered_writer& of, std::source_location where) {
    detail::throw_if_cancelled("flush");
    const detail::sole_use::guard guard(of.use_, "flush");
    if (of.buffer_.empty()) co_return;
    const auto text = sendable(of.buffer_);
    auto sending = send_to(of.sink_, text, where);
    co_await detail::awaited_at<decltype(sending)>{std::move(sending), where};
    of.buffer_.clear();
  }
  template <std::size_t N>
  static task<void> write_all(buffered_writer& to, std::array<std::string_view, N> pieces, std::source_location where) {
    detail::throw_if_cancelled("write");
    if (to.keeps(pieces)) co_return;
    const detail::sole_use::guard guard(to.use_, "write");
    if constexpr (takes_pieces) {
      std::array<std::span<const std::byte>, N + 1> all;
      all[0] = std::as_bytes(std::span(to.buffer_));
      for (std::size_t i = 0; i < N; ++i) all[i + 1] = std::as_bytes(std::span(pieces[i]));
      const std::span<const std::span<const std::byte>> these(all);
      auto sending = send_to(to.sink_, these, where);
      co_await detail::in_name_of(where, std::move(sending));
      to.buffer_.clear();
    } else {
      std::string all = to.buffer_;
      for (const std::string_view each : pieces) all += each;
      const auto text = sendable(all);
      auto sending = send_to(to.sink_, text, where);
      co_await detail::in_name_of(where, std::move(sending));
      to.buffer_.clear();
    }
  }

  Sink sink_;
  std::size_t size_;
  std::string buffer_;
  detail::sole_use use_;
};
template <class S>
buffered_writer(S&&) -> buffered_writer<S>;
template <class S>
buffered_writer(S&&, std::size_t) -> buffered_writer<S>;

}  // namespace ringo
