// How connections are accepted. What stands behind it is in src/net/listener_core.hpp.
#pragma once
#include <utility>

#include <ringo/detail/stream_operation.hpp>

namespace ringo::detail {

class listener_core;
using listener_handle = descriptor_handle<listener_core>;

// Waits for a connection.
struct accepting : io_request {
  static constexpr const char* source_noun = "listener";
  accepting() noexcept : io_request(io_side::in) {}

  descriptor_source* got = nullptr;  // the connection's stream, with one handle
};

template <class Stream>
class RINGO_AWAITABLE accept_operation final : public io_operation<accept_operation<Stream>, Stream, accepting> {
 public:
  static constexpr const char* call_name = "accept a connection";
  static constexpr const char* awaits = "a connection to ";
  explicit accept_operation(descriptor_source* from) noexcept
      : io_operation<accept_operation, Stream, accepting>(from) {}
  using operation<accept_operation, Stream, accepting>::ends_at_once;
  Stream result() noexcept { return Stream(stream_handle(std::exchange(this->got, nullptr))); }
};

}  // namespace ringo::detail
