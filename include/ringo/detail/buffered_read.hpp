// The requests of a buffered reader's reads, and the bytes that were received and not yet taken.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstring>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <ringo/bytes.hpp>
#include <ringo/select.hpp>

namespace ringo::detail {

// The bytes that no read has taken, in one piece: as they came, or joined, if a read needs the end of one piece and the
// begin of the next. Holds almost no memory when empty.
template <class Piece>
class received_bytes {
 public:
  std::string_view there() const noexcept {
    return (piece_ ? text_of_piece(*piece_) : std::string_view(joined_)).substr(taken_);
  }
  void append(Piece&& p) {
    if (there().empty()) {
      joined_.clear();
      piece_.emplace(std::move(p));
      taken_ = 0;
      return;
    }
    const std::string_view more = text_of_piece(p);
    if (piece_) {
      joined_.reserve(there().size() + more.size());  // nothing has changed if this throws
      joined_.assign(there());
      piece_.reset();
    } else {
      joined_.erase(0, taken_);
    }
    taken_ = 0;
    joined_.append(more);
  }
  void consume(std::size_t n) noexcept {
    taken_ += n;
    if (!there().empty()) return;
    piece_.reset();
    taken_ = 0;
    if (joined_.capacity() > most_kept) return std::string().swap(joined_);
    joined_.clear();
  }

 private:
  static constexpr std::size_t most_kept = 4096;  // capacity of joined_ between reads: a page for each idle connection

  std::optional<Piece> piece_;
  std::string joined_;  // if there is no piece
  std::size_t taken_ = 0;
};

// Ensures that one routine at a time uses a reader.
class sole_use {
 public:
  sole_use() noexcept = default;
  sole_use(sole_use&&) noexcept {}
  sole_use& operator=(sole_use&&) noexcept { return *this; }

  class guard {
   public:
    guard(sole_use& of, const char* call) : of_(of) {
      // No exchange: this check finds most races, which is enough; a race here is a race on the reader, too.
      if (of_.taken_.load(std::memory_order_relaxed)) refuse(call);
      of_.taken_.store(true, std::memory_order_relaxed);
    }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;
    ~guard() { of_.taken_.store(false, std::memory_order_relaxed); }

   private:
    [[noreturn]] static void refuse(const char* call);
    sole_use& of_;
  };

 private:
  std::atomic<bool> taken_ = false;
};

// satisfied() says whether the bytes that are there satisfy the request (`ended`: no more will come), and throws if
// further bytes cannot satisfy it. Only the call after it takes the bytes.
class line_request {
 public:
  using result_type = std::optional<std::string>;
  static constexpr const char* call_name = "read_line";
  explicit line_request(std::size_t limit) noexcept : limit_(limit) {}
  bool satisfied(std::string_view there, bool ended);
  result_type take(std::string_view there, std::size_t& taken) const;

 private:
  std::size_t limit_, looked_at_ = 0;
  std::size_t size_ = 0, size_with_end_ = 0;
};

class until_request {
 public:
  using result_type = std::optional<std::string>;
  static constexpr const char* call_name = "read_until";
  until_request(std::string_view delimiter, std::size_t limit);
  bool satisfied(std::string_view there, bool ended);
  result_type take(std::string_view there, std::size_t& taken) const;

 private:
  std::string delimiter_;
  std::size_t limit_, looked_at_ = 0;
  bool found_ = false;
};

class exactly_request {
 public:
  using result_type = std::string;
  static constexpr const char* call_name = "read_exactly";
  explicit exactly_request(std::size_t n) noexcept : size_(n) {}
  bool satisfied(std::string_view there, bool ended) const;
  result_type take(std::string_view there, std::size_t& taken) const;

 private:
  std::size_t size_;
};

class exactly_into_request {
 public:
  using result_type = void;
  static constexpr const char* call_name = "read_exactly";
  explicit exactly_into_request(std::span<std::byte> into) noexcept : into_(into) {}
  bool satisfied(std::string_view there, bool ended) const;
  void take(std::string_view there, std::size_t& taken) const noexcept;

 private:
  std::span<std::byte> into_;
};

class some_request {
 public:
  using result_type = std::optional<std::string>;
  static constexpr const char* call_name = "read_some";
  explicit some_request(std::size_t most) noexcept : most_(most) {}
  bool satisfied(std::string_view there, bool ended) const noexcept { return ended || most_ == 0 || !there.empty(); }
  result_type take(std::string_view there, std::size_t& taken) const;

 private:
  std::size_t most_;
};

class some_into_request {
 public:
  using result_type = std::size_t;
  static constexpr const char* call_name = "read";
  explicit some_into_request(std::span<std::byte> into) noexcept : into_(into) {}
  bool satisfied(std::string_view there, bool ended) const noexcept { return ended || into_.empty() || !there.empty(); }
  std::size_t take(std::string_view there, std::size_t& taken) const noexcept;

 private:
  std::span<std::byte> into_;
};

class peek_request {
 public:
  using result_type = std::string_view;
  static constexpr const char* call_name = "peek";
  explicit peek_request(std::size_t n) noexcept : size_(n) {}
  bool satisfied(std::string_view there, bool ended) const noexcept { return ended || there.size() >= size_; }
  std::string_view take(std::string_view there, std::size_t&) const noexcept { return there.substr(0, size_); }

 private:
  std::size_t size_;
};

// The awaitable of a read; move-only. It makes no task if the bytes are there. As a case it receives in a routine of
// its own, and takes the bytes only when the case has won: a losing case has taken nothing.
template <class Reader, class Request>
class RINGO_AWAITABLE buffered_read : public deferred<buffered_read<Reader, Request>, typename Request::result_type> {
  class taker {
   public:
    explicit taker(Reader& from) noexcept : from_(&from) {}
    typename Request::result_type operator()(Request r) const { return from_->take(r); }

   private:
    Reader* from_;
  };

 public:
  using result_type = typename Request::result_type;

  buffered_read(Reader& from, Request r, std::source_location where)
      : from_(from), request_(std::move(r)), where_(where) {}
  buffered_read(buffered_read&&) = default;

  bool ends_at_once(worker& w) { return w.spend() && from_.has(request_); }
  result_type take() { return from_.take(request_); }
  auto as_case() && {
    return handled_case<task<Request>, taker>(
        std::in_place, Reader::template perform<Request>(from_, std::move(request_), where_), taker(from_));
  }

 private:
  friend class deferred<buffered_read, result_type>;
  RINGO_RETURNS_TASK task<result_type> make(std::source_location) {
    return Reader::template perform<result_type>(from_, std::move(request_), where_);
  }

  Reader& from_;
  Request request_;
  std::source_location where_;
};

}  // namespace ringo::detail
