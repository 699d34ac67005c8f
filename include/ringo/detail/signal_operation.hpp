// How a signal is received.
#pragma once
#include <ringo/detail/io_operation.hpp>

namespace ringo::detail {

class signals_core;
using signals_handle = descriptor_handle<signals_core>;

struct signal_request : io_request {
  static constexpr const char* source_noun = "signals object";
  signal_request() noexcept : io_request(io_side::in) {}

  int number = 0;
};

class RINGO_AWAITABLE signal_operation final : public io_operation<signal_operation, int, signal_request> {
 public:
  static constexpr const char* call_name = "receive a signal";
  static constexpr const char* awaits = "";
  explicit signal_operation(descriptor_source* from) noexcept : io_operation(from) {}
  int result() const noexcept { return number; }
};

}  // namespace ringo::detail
