// What the operations of files are made of.
#pragma once
#include <optional>
#include <source_location>

#include <ringo/chunk.hpp>
#include <ringo/detail/awaited.hpp>
#include <ringo/detail/handled_case.hpp>
#include <ringo/detail/io_operation.hpp>

namespace ringo::detail {

class file_core;
class file_reading;
struct file_access;  // makes files

// The file object and each operation have one; the last one closes the file.
using file_handle = descriptor_handle<file_core>;

task<> fetch(file_reading& from, std::source_location where);
std::optional<chunk> take_fetched(file_reading& from) noexcept;

// The awaitable of file_reader::recv(). The chunk stays in the reader until the operation has won.
class RINGO_AWAITABLE file_recv : public deferred<file_recv, std::optional<chunk>> {
  class taker {
   public:
    explicit taker(file_reading& from) noexcept : from_(&from) {}
    std::optional<chunk> operator()() const noexcept { return take_fetched(*from_); }

   private:
    file_reading* from_;
  };

 public:
  file_recv(file_reading& from, std::source_location where) noexcept : from_(from), where_(where) {}
  auto as_case() const { return handled_case<task<>, taker>(std::in_place, fetch(from_, where_), taker(from_)); }

 private:
  friend class deferred<file_recv, std::optional<chunk>>;
  static task<std::optional<chunk>> perform(file_reading& from, std::source_location where) {
    co_await fetch(from, where);
    co_return take_fetched(from);
  }
  RINGO_RETURNS_TASK task<std::optional<chunk>> make(std::source_location) { return perform(from_, where_); }

  file_reading& from_;
  std::source_location where_;
};

}  // namespace ringo::detail
