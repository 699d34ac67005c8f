// A listening socket: it stands between the kernel and the routines that accept.
//
// At most one accept is in flight, and one is asked for only when a routine waits. So at most one connection leaves the
// kernel's queue that no routine has asked for, when a case has lost, and it is the next one's. The waiters are served
// in their order.
//
// A connection is made a stream before a case gets it, since a case could not wait for memory any more. While there is
// no memory, the connection is kept, and its stream is made after the next pause.
//
// Invariants: check(). Streams in there_ have one handle, and have not been used.
#pragma once
#include <linux/time_types.h>

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include <ringo/detail/listener_operation.hpp>
#include <ringo/endpoint.hpp>

#include "io/descriptor_core.hpp"
#include "io/stream_core.hpp"
#include "net/socket_address.hpp"
#include "net/unix_address.hpp"

namespace ringo::detail {

// An accepted connection that is no stream yet.
struct bare_connection {
  int number;
  endpoint peer;  // empty: of a Unix socket
};

class listener_core final : public descriptor_core {
 public:
  enum class origin : std::uint8_t { made_here, adopted };  // other processes may accept from an adopted one, too

  // Takes the descriptor. `name` is for errors and reports; a Unix socket's connections, which have no address, have
  // it, too.
  listener_core(int descriptor, stream_core::kind k, origin from, std::string name, socket_file file)
      : descriptor_core(descriptor), kind_(k), origin_(from), name_(std::move(name)), file_(std::move(file)) {
    bare_.reserve(1);
  }

  // Before any other thread has it: others may listen at its address (shared_port.hpp).
  void share_port();
  // From another listener at its address.
  void take_over(const std::vector<bare_connection>& connections) noexcept;
  std::string name() const override { return name_; }
  const std::string& address() const noexcept { return name_; }

 private:
  // Between attempts while the process has no free descriptor or memory. Soon enough for a client that waits, and at
  // last so rare that the attempts cost nothing.
  static constexpr std::chrono::milliseconds first_pause{5}, longest_pause{500};

  ~listener_core() override;
  bool stop(worker* w) noexcept override;
  void farewell(worker* w) noexcept override;
  void check() const override;
  bool quiet() const noexcept override { return !accept_.in_flight() && !pause_.in_flight(); }
  bool can(const io_request&) const noexcept override { return error_ != 0 || there_ != nullptr; }
  void give(io_request& r) noexcept override;
  void ask(io_request& r, worker& w) noexcept override;
  void put_back(io_request& r) noexcept override;
  std::string doing(const io_request&) const override { return "accepting on " + name_; }

  void go_on(scheduler& w) noexcept;  // accepts, or pauses, unless one of these is in flight
  void serve_all(section& here) noexcept;
  // Without the lock: gives connections that it will not accept to another listener at its address, or closes them, so
  // that the peers know at once.
  void give_away(std::span<const bare_connection> these) noexcept;
  bool make_streams() noexcept;  // of all bare connections; false: there is no memory for them
  static void warn(runtime_core& of, int refusal) noexcept;
  void fill_accept(kernel_call& call) noexcept;
  void accepted(const kernel_answer& answer) noexcept;
  void fill_pause(kernel_call& call) noexcept;
  void paused(const kernel_answer& answer) noexcept;

  const stream_core::kind kind_;  // of its connections
  const origin origin_;
  bool shares_port_ = false;
  int error_ = 0;            // one that will not pass
  bool has_warned_ = false;  // since the last connection
  bool has_to_pause_ = false;
  std::chrono::milliseconds length_ = first_pause;
  pause_length pause_length_;
  socket_address peer_;  // of the connection that is accepted
  std::vector<bare_connection> bare_;
  stream_core* there_ = nullptr;
  operation_of<listener_core, &listener_core::fill_accept, &listener_core::accepted, POLLIN> accept_{*this};
  operation_of<listener_core, &listener_core::fill_pause, &listener_core::paused> pause_{*this};
  const std::string name_;
  socket_file file_;
};

// A handle of a new listener over the descriptor, which it takes, also where it throws std::bad_alloc.
listener_handle make_listener(int descriptor, stream_core::kind k, listener_core::origin from, std::string name,
                              socket_file file = {});

}  // namespace ringo::detail
