// inspector: shows what all runtimes of this process do, over HTTP: for a browser, for curl, for Prometheus.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <string>
#include <string_view>

#include <ringo/detail/pointers.hpp>

namespace ringo {

namespace detail {
class inspector_thread;
}  // namespace detail

struct inspector_options {
  /// Listen at an address that other machines can reach, too; and answer users of this machine other than the process's
  /// own on a Unix socket. An inspector tells all that a debugger would, and asks for no password.
  bool allow_remote = false;
};

/// A server with a thread and a runtime of its own, so it answers although the program's workers are kept. It is no
/// routine of the program: no snapshot, metric or deadlock report counts it, and run() does not wait for it.
///
///   const inspector here = inspector::listen("127.0.0.1:6060");
///   run(serve());
///
/// docs/observability.md describes what it shows. With RINGO_INSPECT=127.0.0.1:6060 in the environment each program has
/// one while it runs, without a call. Move-only. Thread: any.
class inspector {
 public:
  /// At "127.0.0.1:6060", "[::1]:6060", "localhost:6060", "unix:/run/shop.inspect" or the abstract "unix:@shop"; %p in
  /// it stands for the process's number. Port 0 is a free one, which address() tells. The file of a Unix socket is the
  /// user's own (0600), and is removed at the end; listen() replaces the file of a program that was killed. Returns
  /// when it listens. Throws: std::invalid_argument if that is no address, or one that other machines can reach
  /// (inspector_options::allow_remote); std::system_error that names the address and what is wrong, as that another
  /// program listens there; std::logic_error in a simulation.
  static inspector listen(std::string_view address, inspector_options options = {});

  inspector() noexcept;  ///< Empty.
  inspector(inspector&& from) noexcept;
  inspector& operator=(inspector&& from) noexcept;
  ~inspector();  ///< Ends it, and waits for its thread, for a moment; answers that it sends are cut.

  std::string address() const;  ///< As listen() takes it, with the port. Empty if the inspector is.
  explicit operator bool() const noexcept { return static_cast<bool>(thread_); }  ///< false: default-made or moved from

 private:
  explicit inspector(detail::owned<detail::inspector_thread> thread) noexcept;

  detail::owned<detail::inspector_thread> thread_;
};

}  // namespace ringo
