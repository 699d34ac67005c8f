// A listening socket: what lies between the kernel and those who accept.
//
// At most one accept is in flight, and only from when somebody waits; so at most one connection is taken out of the
// kernel's queue that nobody has asked for, when a case has lost, and it is the next one's. Those who wait are served
// in their order.
//
// A connection is made a stream before it is given to a case, which could not wait for memory any more. Where there is
// none, the connection is kept and its stream is made after the next pause.
//
// Invariant, whenever the lock is free: if somebody waits, no stream is there, and an accept is in flight, or the pause
// after one that the kernel refused for a reason that may pass, or for which there was no memory.
#pragma once
#include <linux/time_types.h>

#include <chrono>
#include <string>
#include <vector>

#include <ringo/detail/listener_operation.hpp>

#include "net/descriptor_core.hpp"
#include "net/stream_core.hpp"
#include "net/unix_address.hpp"

namespace ringo::detail {

class listener_core final : public descriptor_core {
 public:
  // Takes the descriptor. `name` is what the errors and the reports call it; a Unix socket's connections have no
  // address of their own, and are called by it.
  listener_core(int descriptor, bool is_unix, std::string name, socket_file file)
      : descriptor_core(descriptor), is_unix_(is_unix), name_(std::move(name)), file_(std::move(file)) {
    bare_.reserve(1);
  }

  // Before anybody else has it: others may listen at its address (shared_port.hpp).
  void share_port();

  std::string name() const override { return name_; }
  void take_over(const std::vector<int>& connections, worker* w) noexcept;  // from another at its address

 private:
  static constexpr std::chrono::milliseconds first_pause{5}, longest_pause{500};

  ~listener_core() override;
  bool stop(worker* w) noexcept override;
  bool quiet() const noexcept override { return !accept_.in_flight() && !pause_.in_flight(); }
  bool can(const io_request&) const noexcept override { return error_ != 0 || there_ != nullptr; }
  void give(io_request& r) noexcept override;
  void ask(io_request& r, worker& w) noexcept override;
  void put_back(io_request& r) noexcept override;
  std::string doing(const io_request&) const override { return "accepting on " + name_; }
  void go_on(scheduler& w) noexcept;  // accepts, or pauses, unless that is in flight
  void serve_all(section& here) noexcept;
  bool make_streams() noexcept;  // of all that are bare; false: there is no memory for them
  stream_core& make_connection(int connection) const;
  static void warn(runtime_core& of, int refusal) noexcept;
  void hand_over_or_close_bare() noexcept;  // of one that is being closed
  void fill_accept(io_uring_sqe& entry) noexcept;
  void accepted(int result, unsigned flags) noexcept;
  void fill_pause(io_uring_sqe& entry) noexcept;
  void paused(int result, unsigned flags) noexcept;

  const bool is_unix_;
  bool shares_port_ = false;
  int error_ = 0;            // that will not pass
  bool has_warned_ = false;  // since the last connection
  bool has_to_pause_ = false;
  std::chrono::milliseconds length_ = first_pause;
  __kernel_timespec pause_length_{};
  std::vector<int> bare_;         // accepted, and not yet made a stream; there is room for one
  stream_core* there_ = nullptr;  // streams that no case has taken, each with one handle
  operation_of<listener_core, &listener_core::fill_accept, &listener_core::accepted, POLLIN> accept_{*this};
  operation_of<listener_core, &listener_core::fill_pause, &listener_core::paused> pause_{*this};
  const std::string name_;
  socket_file file_;
};

// A handle of a new listener over the descriptor, which it takes, also where it throws std::bad_alloc.
listener_handle make_listener(int descriptor, bool is_unix, std::string name, socket_file file = {});

}  // namespace ringo::detail
