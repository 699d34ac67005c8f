// Channels: Go's, for any movable type (Go spec: Channel types, Send statements, Receive operator, Close).
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <cstddef>

#include <ringo/detail/channel_handle.hpp>
#include <ringo/task.hpp>

namespace ringo {

template <class T = void>
class sender;
template <class T = void>
class receiver;

/// A queue of values that routines send to and receive from. channel<void> carries signals: send() has no argument, and
/// recv() yields a bool.
///
///   channel<int> numbers(16);
///   go([=]() -> task<> {
///     for (int i = 0; i < 100; ++i) co_await numbers.send(i);
///     numbers.close();
///   });
///   while (auto n = co_await numbers.recv()) use(*n);
///
/// A channel is a handle: copies are the same channel, and == compares identity. The handle must outlive an operation
/// made from it. When the last handle is destroyed while routines wait, they are woken as if the channel were closed.
///
/// Thread: workers, or one thread while no runtime runs (else std::logic_error); any thread for post(),
/// send_blocking(), recv_blocking(), close(), try_close(), is_closed(), is_drained(), size(), and for copying,
/// comparing and destroying handles.
template <class T = void>
class channel : public detail::channel_handle<detail::carried<T>> {
  using base = detail::channel_handle<detail::carried<T>>;

  static_assert(detail::is_plain_object<T>, RINGO_SAY_OBJECT);
  static_assert(detail::moves_without_throwing<T>, RINGO_SAY_BOX);

 public:
  using value_type = T;

  /// Its buffer holds so many values; without one a send waits for its receiver. Throws: std::length_error if so many
  /// values cannot be held, std::bad_alloc.
  explicit channel(std::size_t buffer = 0)
      : base(new detail::channel_state<detail::carried<T>>(
            detail::checked_capacity(buffer, sizeof(detail::carried<T>)))) {}
  /// The same, with a name for reports: channel<job> jobs(named("jobs"), 8).
  explicit channel(const detail::object_name& name, std::size_t buffer = 0) : channel(buffer) {
    this->core_->set_name(name);
  }
  /// A channel that is never ready: it switches a case of a select off (Go spec: Select statements).
  static channel nil() noexcept { return channel(detail::no_channel()); }

  /// co_await ch.send(value): waits until the value is in the buffer or with a receiver.
  ///
  /// send(const T&) copies the value at once, and what the copy throws has sent nothing. send(T&&) refers to the value
  /// and moves from it only when it commits; so an operation that is kept must not refer to a temporary (small
  /// trivially copyable values are held). Throws: channel_closed, also if the channel is closed while it waits;
  /// cancelled. Cancel safety: a send that loses, fails or is cancelled leaves the caller's value whole. Fairness:
  /// first come, first served.
  using base::send;
  /// As send(T(args...)): builds the value at once.
  using base::emplace;
  /// Sends if that is possible at this instant; moves from the value only if it returns true. Throws: channel_closed,
  /// and what copying throws.
  using base::try_send;

  /// co_await ch.recv(): waits for the next value; yields an empty optional (channel<void>: false) once the channel is
  /// closed and drained, or rethrows what close(error) was given. Throws: cancelled. Cancel safety: a receive that
  /// loses or is cancelled has taken nothing. Fairness: first come, first served.
  using base::recv;
  /// The next value if there is one at this instant. Does not wait.
  using base::try_recv;

  /// No value can be sent from now on; those in the buffer can still be received. With an error, each receive from the
  /// drained channel rethrows it. Throws: channel_closed if the channel is closed or nil. From a thread that is no
  /// worker it has happened soon after.
  using base::close;
  /// As close(), but returns false instead of throwing.
  using base::is_closed;
  using base::try_close;
  /// True once the channel is closed and empty; it stays so.
  using base::is_drained;
  /// How many values are queued now; it may have changed when it is read.
  using base::capacity;
  using base::size;

  /// As send() and recv(), for threads that are no workers: the thread waits, also for a runtime to use the channel. A
  /// call inside blocking() uses the channel for its own runtime. Throws: std::system_error
  /// (std::errc::operation_canceled) if the runtime ends first.
  using base::recv_blocking;
  using base::send_blocking;

  /// Sends without waiting, from any thread, also one that ringo does not know. A routine of the runtime that uses the
  /// channel sends the value soon after, behind what the same thread has posted before. Values for which the channel
  /// has no room wait in memory, without a bound. Before a runtime uses the channel they wait for one. Returns false,
  /// and drops the value, if the channel is closed or nil, or its runtime has ended. Values that are on their way when
  /// the channel is closed are dropped with a warning (runtime_options::on_warning), or without one when main ends.
  /// Throws: std::bad_alloc.
  using base::post;

  /// False for nil.
  using base::operator bool;
  friend bool operator==(const channel& a, const channel& b) noexcept { return a.core_ == b.core_; }

 private:
  explicit channel(detail::no_channel) noexcept : base(nullptr) {}
  friend class sender<T>;
  friend class receiver<T>;
  friend struct std::hash<channel>;
};

/// The sending end of a channel; by default nil. Its members are those of channel.
template <class T>
class sender : private detail::channel_handle<detail::carried<T>> {
  using base = detail::channel_handle<detail::carried<T>>;

  static_assert(detail::is_plain_object<T>, RINGO_SAY_OBJECT);
  static_assert(detail::moves_without_throwing<T>, RINGO_SAY_BOX);

 public:
  using value_type = T;
  sender() noexcept : base(nullptr) {}
  sender(const channel<T>& both) noexcept : base(both) {}
  using base::operator bool;
  using base::capacity, base::is_closed, base::size;
  using base::close, base::try_close;
  using base::emplace, base::post, base::send, base::send_blocking, base::try_send;

  friend bool operator==(const sender& a, const sender& b) noexcept { return a.core_ == b.core_; }

 private:
  friend struct std::hash<sender>;
};

/// The receiving end of a channel; by default nil. Its members are those of channel.
template <class T>
class receiver : private detail::channel_handle<detail::carried<T>> {
  using base = detail::channel_handle<detail::carried<T>>;

  static_assert(detail::is_plain_object<T>, RINGO_SAY_OBJECT);
  static_assert(detail::moves_without_throwing<T>, RINGO_SAY_BOX);

 public:
  using value_type = T;
  receiver() noexcept : base(nullptr) {}
  receiver(const channel<T>& both) noexcept : base(both) {}
  using base::operator bool;
  using base::capacity, base::is_closed, base::is_drained, base::size;
  using base::recv, base::recv_blocking, base::try_recv;

  friend bool operator==(const receiver& a, const receiver& b) noexcept { return a.core_ == b.core_; }

 private:
  friend struct std::hash<receiver>;
};

}  // namespace ringo

template <class T>
struct std::hash<ringo::channel<T>> {
  std::size_t operator()(const ringo::channel<T>& c) const noexcept { return std::hash<const void*>()(c.core_); }
};
template <class T>
struct std::hash<ringo::sender<T>> {
  std::size_t operator()(const ringo::sender<T>& c) const noexcept { return std::hash<const void*>()(c.core_); }
};
template <class T>
struct std::hash<ringo::receiver<T>> {
  std::size_t operator()(const ringo::receiver<T>& c) const noexcept { return std::hash<const void*>()(c.core_); }
};
