// Channels: Go's, for any movable type (Go spec: Channel types, Send statements, Receive operator, Close).
//
// A channel is a handle: copies are the same channel, == compares identity. The handle must outlive an operation made
// from it; when the last handle goes while routines wait, they are woken as if the channel had been closed.
//
// Thread: everything is for workers, or for one thread while no runtime runs, and throws std::logic_error elsewhere,
// but post, send_blocking, recv_blocking, close and try_close, which are for any thread. Handles may be copied, moved,
// compared and destroyed anywhere.
#pragma once
#include <ringo/detail/cpp20.hpp>

#include <compare>
#include <concepts>
#include <functional>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/channel_core.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/outbox.hpp>
#include <ringo/task.hpp>

namespace ringo {

template <class T = void>
class channel;
template <class T = void>
class sender;
template <class T = void>
class receiver;

namespace detail {

struct signal {};  // what a channel<void> carries
struct no_channel {};
template <class T>
using carried = std::conditional_t<
    std::is_void_v<T>, signal,
    std::conditional_t<std::is_move_constructible_v<std::remove_cvref_t<T>>, std::remove_cvref_t<T>, anything>>;

// Asserted in each of the three classes: in their base it would make the message longer.
template <class T>
inline constexpr bool is_plain_object = std::is_void_v<T> || std::is_same_v<T, std::remove_cvref_t<T>>;
template <class T>
inline constexpr bool moves_without_throwing =
    std::is_void_v<T> || std::is_nothrow_move_constructible_v<std::remove_cvref_t<T>>;
#define RINGO_SAY_OBJECT \
  "a channel carries objects: use a pointer or std::reference_wrapper for references, a plain type for const ones"
#define RINGO_SAY_BOX \
  "a channel's values must not throw when they are moved: box it, for example in a std::unique_ptr<T>"

// What is wrong with the arguments of a send; the first that is false is the mistake.
template <class T, class... A>
struct send_of {
  bool signal_has_no_value = !std::is_same_v<T, signal> || sizeof...(A) == 0;
  bool there_is_one_value = !signal_has_no_value || std::is_same_v<T, signal> || sizeof...(A) == 1;
  bool value_is_copied_or_moved = !there_is_one_value || !(std::is_same_v<std::decay_t<A>, T> && ...);
  bool value_fits = !signal_has_no_value || !there_is_one_value || !value_is_copied_or_moved;
};
template <class T, class A>
inline constexpr bool is_sent_as =
    std::is_convertible_v<A, T> &&
    (std::is_same_v<A, T> || !std::is_same_v<std::decay_t<A>, T> || std::copy_constructible<T>);
template <class T, class... A>
concept mistaken_send = !((std::is_same_v<T, signal> && sizeof...(A) == 0) ||
                          (!std::is_same_v<T, signal> && sizeof...(A) == 1 && (is_sent_as<T, A> && ...)));
#define RINGO_SAY_SIGNAL "a channel<void> carries signals without a value: write ch.send()"
#define RINGO_SAY_ONE "a channel carries one value at a time: write ch.send(x)"
#define RINGO_SAY_GIVE "a value that cannot be copied is given away: write ch.send(std::move(x))"
#define RINGO_SAY_FIT "the channel carries values of another type, into which this is not converted"

// The awaitable of recv(). Yields the next value, or nullopt when the channel is closed and drained (for channel<void>:
// true, or false); rethrows what close(error) was given. Throws: cancelled. Cancel safety: a receive that loses or is
// cancelled has taken nothing. Fairness: receivers are served in the order in which they came.
template <class T>
class RINGO_AWAITABLE receive_operation
    : public channel_operation<receive_operation<T>, T,
                               std::conditional_t<std::is_same_v<T, signal>, bool, std::optional<T>>> {
  using base =
      channel_operation<receive_operation, T, std::conditional_t<std::is_same_v<T, signal>, bool, std::optional<T>>>;

 public:
  using result_type = typename base::result_type;
  static constexpr const char* call_name = "receive";

  explicit receive_operation(channel_state<T>* core) noexcept(
      std::is_nothrow_default_constructible_v<slot<T, std::exception_ptr>>)
      : base(core) {}
  receive_operation(receive_operation&& from) noexcept(
      std::is_nothrow_default_constructible_v<slot<T, std::exception_ptr>>)
      : base(from) {}
  receive_operation& operator=(receive_operation&& from) noexcept {
    this->core_ = from.core_;
    return *this;
  }
  RINGO_ALWAYS_INLINE ~receive_operation() {
    if (this->standing() != progress::idle) [[unlikely]]
      this->abandon(*this->who);
  }

  RINGO_ALWAYS_INLINE bool ready(worker&) noexcept { return this->core_ && this->core_->can_receive(); }
  bool looks_ready(worker&) noexcept { return this->core_ && this->core_->looks_receivable(); }
  template <class Wake>
  RINGO_ALWAYS_INLINE progress attempt(channel_state<T>& core, bool shared, Wake&& wake) {
    const progress p =
        core.receive(shared, [this](T&& value) { value_.put(std::move(value)); }, std::forward<Wake>(wake));
    if (p == progress::failed) [[unlikely]]
      value_.template put<std::exception_ptr>(core.error);
    return p;
  }
  RINGO_ALWAYS_INLINE result_type result_of_done() {
    if constexpr (std::is_same_v<T, signal>) {
      return true;
    } else {
      const value_cleared at_the_end(value_);
      return result_type(std::in_place, std::move(value_.value()));
    }
  }
  RINGO_ALWAYS_INLINE result_type take() {
    const progress p = this->standing();
    this->stand(progress::idle);
    if (p == progress::failed) [[unlikely]]
      rethrow();
    return p == progress::closed ? result_type() : result_of_done();
  }
  // The same as the N-th alternative of a select's result, without a copy in between.
  template <class Variant, std::size_t N>
  requires(!std::is_same_v<T, signal>)
  RINGO_ALWAYS_INLINE Variant take_as() {
    const progress p = this->standing();
    this->stand(progress::idle);
    return take_as<Variant, N>(p);
  }
  template <class Variant, std::size_t N>
  requires(!std::is_same_v<T, signal>)
  RINGO_ALWAYS_INLINE Variant take_as(progress p) {
    if (p == progress::failed) [[unlikely]]
      rethrow();
    if (p == progress::closed) return Variant(std::in_place_index<N>, std::nullopt);
    const value_cleared at_the_end(value_);
    return Variant(std::in_place_index<N>, std::in_place, std::move(value_.value()));
  }

  // By the sender, under the channel's lock.
  void accept(T&& value) noexcept {
    value_.put(std::move(value));
    this->stand(progress::done);
  }
  void fail(const std::exception_ptr& error) noexcept {
    value_.template put<std::exception_ptr>(error);
    this->stand(progress::failed);
  }

  static wait_queue& queue(channel_core& core) noexcept { return core.receivers; }
  void discard() noexcept {  // the value goes with the frame
    if (this->standing() == progress::done) value_.clear();
    if (this->standing() == progress::failed) value_.template clear<std::exception_ptr>();
    this->stand(progress::idle);
  }

 private:
  class value_cleared {
   public:
    explicit value_cleared(slot<T, std::exception_ptr>& s) noexcept : slot_(s) {}
    value_cleared(const value_cleared&) = delete;
    value_cleared& operator=(const value_cleared&) = delete;
    ~value_cleared() { slot_.clear(); }

   private:
    slot<T, std::exception_ptr>& slot_;
  };
  [[noreturn, gnu::cold, gnu::noinline]] void rethrow() {
    const std::exception_ptr error = std::move(value_.template value<std::exception_ptr>());
    value_.template clear<std::exception_ptr>();
    std::rethrow_exception(error);
  }

  slot<T, std::exception_ptr> value_;
};

// The awaitable of send(T&&): refers to the caller's value until it commits, so it cannot be moved.
// Completes when the value is in the buffer or with a receiver. Throws: channel_closed, also when it is closed while
// waiting; cancelled. Cancel safety: a send that loses, fails or is cancelled leaves the caller's value whole.
// Fairness: senders are served in the order in which they came.
template <class T>
class RINGO_AWAITABLE send_operation : public channel_operation<send_operation<T>, T, void> {
  using base = channel_operation<send_operation, T, void>;

 public:
  static constexpr const char* call_name = "send";

  send_operation(channel_state<T>* core, T& value) noexcept : base(core), source_(&value) {}
  send_operation(const send_operation&) = delete;
  send_operation& operator=(const send_operation&) = delete;
  RINGO_ALWAYS_INLINE ~send_operation() {
    if (this->standing() != progress::idle) [[unlikely]]
      this->abandon(*this->who);
  }

  RINGO_ALWAYS_INLINE bool ready(worker&) noexcept { return this->core_ && this->core_->can_send(); }
  bool looks_ready(worker&) noexcept { return this->core_ && this->core_->looks_sendable(); }
  template <class Wake>
  RINGO_ALWAYS_INLINE progress attempt(channel_state<T>& core, bool shared, Wake&& wake) noexcept {
    return core.send(shared, *source_, std::forward<Wake>(wake));
  }
  void result_of_done() noexcept {}
  void take() {
    const progress p = this->standing();
    this->stand(progress::idle);
    if (p == progress::closed) [[unlikely]]
      throw_send_on_closed();
  }
  T& value() noexcept { return *source_; }

  static wait_queue& queue(channel_core& core) noexcept { return core.senders; }

 protected:
  send_operation(send_operation&& from, T& value) noexcept : base(from), source_(&value) {}
  void assign(send_operation& from) noexcept { this->core_ = from.core_; }

 private:
  T* source_;
};

// Where holding a value costs no more than referring to it, an operation does that whatever it was given, so that it
// may be kept: auto op = ch.send(5); co_await op;
template <class T>
inline constexpr bool held_by_send = std::is_trivially_copyable_v<T> && sizeof(T) <= 2 * sizeof(void*);

// The awaitable of send(const T&), of send(T&&) for such values, and of emplace(): holds the value itself.
template <class T>
class RINGO_AWAITABLE send_value_operation : private slot<T>, public send_operation<T> {
 public:
  template <class... A>
  explicit send_value_operation(channel_state<T>* core, std::in_place_t, A&&... args)
      : send_operation<T>(core, slot<T>::value()) {
    slot<T>::put(std::forward<A>(args)...);
  }
  send_value_operation(send_value_operation&& from) : send_operation<T>(std::move(from), slot<T>::value()) {
    slot<T>::put(std::move(from.slot<T>::value()));
  }
  send_value_operation& operator=(send_value_operation&& from) {
    if (this != &from) {
      this->assign(from);
      slot<T>::clear();
      slot<T>::put(std::move(from.slot<T>::value()));
    }
    return *this;
  }
  ~send_value_operation() { slot<T>::clear(); }
};

// The counted reference behind every handle, with all that a channel can do. T is what is carried.
template <class T>
class channel_handle {
  static constexpr bool of_signals = std::is_same_v<T, signal>;

 public:
  channel_handle(const channel_handle& other) noexcept : core_(other.core_) {
    if (core_) core_->retain();
  }
  channel_handle(channel_handle&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  channel_handle& operator=(channel_handle other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~channel_handle() {
    if (core_) core_->release();
  }

  explicit operator bool() const noexcept { return core_ != nullptr; }  // false for nil

  // Completes when the value is in the buffer or with a receiver. The first and last copy the value, or build it, at
  // once: what throws then has sent nothing. The second moves from the value only when it commits, and refers to it
  // until then: it is for co_await ch.send(std::string("x")), and an operation that is kept, as in
  // auto op = ch.send(std::string("x")), would refer to what is gone. Small trivially copyable values are held.
  send_value_operation<T> send(const T& value) const requires(!of_signals && std::copy_constructible<T>)
  {
    return send_value_operation<T>(core_, std::in_place, value);
  }
  send_value_operation<T> send(T&& value) const requires(!of_signals && held_by_send<T>)
  {
    return send_value_operation<T>(core_, std::in_place, std::move(value));
  }
  send_operation<T> send(T&& value RINGO_LIFETIMEBOUND) const requires(!of_signals && !held_by_send<T>)
  {
    static_assert(!RINGO_DESTROYS_AGGREGATES_TWICE || !std::is_aggregate_v<T> || std::is_trivially_destructible_v<T>,
                  "g++ 12 destroys an aggregate written inside a co_await expression twice: use ch.emplace(...), or "
                  "give the type a "
                  "constructor");
    return send_operation<T>(core_, value);
  }
  send_value_operation<T> send() const requires of_signals
  {
    return send_value_operation<T>(core_, std::in_place);
  }
  template <class... A>
  requires mistaken_send<T, A...>
  mistaken_await send(A&&...) const {
    constexpr send_of<T, A...> the;
    static_assert(the.signal_has_no_value, RINGO_SAY_SIGNAL);
    static_assert(the.there_is_one_value, RINGO_SAY_ONE);
    static_assert(the.value_is_copied_or_moved, RINGO_SAY_GIVE);
    static_assert(the.value_fits, RINGO_SAY_FIT);
    return {};
  }
  template <class... A>
  requires std::constructible_from<T, A...>
  send_value_operation<T> emplace(A&&... args) const {
    return send_value_operation<T>(core_, std::in_place, std::forward<A>(args)...);
  }
  template <class... A>
  requires(!std::constructible_from<T, A...>)
  mistaken_await emplace(A&&...) const {
    constexpr bool value_can_be_built = std::constructible_from<T, A...>;
    static_assert(value_can_be_built, "no value of the channel's type can be built from these arguments");
    return {};
  }

  // Sends if that is possible at this instant; moves from the value only when it returns true. A value that is only
  // lent is copied when there is room for it, or a receiver. Throws channel_closed, and what copying throws.
  bool try_send(const T& value) const requires(!of_signals && std::copy_constructible<T>)
  {
    if constexpr (!std::is_trivially_copyable_v<T>) {
      if (!could_send_now()) return false;
    }
    T copy(value);
    return try_send(std::move(copy));
  }
  bool try_send(T&& value) const requires(!of_signals)
  {
    return try_send_now(value);
  }
  bool try_send() const requires of_signals
  {
    signal value;
    return try_send_now(value);
  }
  template <class... A>
  requires mistaken_send<T, A...>
  bool try_send(A&&...) const {
    constexpr send_of<T, A...> the;
    static_assert(the.signal_has_no_value, RINGO_SAY_SIGNAL);
    static_assert(the.there_is_one_value, RINGO_SAY_ONE);
    static_assert(the.value_is_copied_or_moved, RINGO_SAY_GIVE);
    static_assert(the.value_fits, RINGO_SAY_FIT);
    __builtin_unreachable();
  }

  // The next value; an empty optional (false) when the channel is closed and drained. Rethrows what close(error) was
  // given.
  receive_operation<T> recv() const { return receive_operation<T>(core_); }
  // The next value if there is one at this instant.
  typename receive_operation<T>::result_type try_recv() const {
    typename receive_operation<T>::result_type result{};
    worker* w = worker_or_alone("try_recv");
    if (!core_) return result;
    core_->enter(w, "try_recv");
    section_of here(*core_, w);
    const progress p = core_->receive(
        here.shared(), [&result](T&& value) { fill(result, std::move(value)); }, [&here](routine& r) { here.wake(r); });
    here.end();
    if (p == progress::failed) std::rethrow_exception(core_->error);
    return result;
  }

  // No value can be sent from now on; those in the buffer can still be received. With an error, a receiver of the
  // drained channel has it rethrown, each time. Throws channel_closed if the channel is closed or nil; try_close
  // returns false instead. Any thread; from a thread that is no worker it is handed to one, and has happened soon
  // after.
  void close() const { close(nullptr); }
  void close(std::exception_ptr error) const {
    if (!core_) throw_close_of_nil();
    core_->close(std::move(error));
  }
  bool try_close() const { return core_ && core_->try_close(nullptr); }

  bool is_closed() const noexcept { return core_ && core_->closed(); }
  bool is_drained() const { return core_ && core_->drained(); }   // closed and empty: for ever
  std::size_t size() const { return core_ ? core_->size() : 0; }  // values queued now: a snapshot
  std::size_t capacity() const noexcept { return core_ ? core_->capacity() : 0; }

  // For threads that are no workers: as send and recv, but the thread waits; also for a runtime to use the channel.
  // A call of blocking() uses the channel for its own runtime.
  // Throws std::system_error (std::errc::operation_canceled) if the runtime ends first.
  void send_blocking(const T& value, std::source_location where = std::source_location::current()) const
      requires(!of_signals && std::copy_constructible<T>)
  {
    send_blocking(T(value), where);
  }
  void send_blocking(T&& value, std::source_location where = std::source_location::current()) const
      requires(!of_signals)
  {
    block_until(
        core_, "send_blocking",
        [core = core_, &value](bool shared, routine*& woken) { return core->send(shared, value, named_in(woken)); },
        [core = core_, &value, where]() -> task<> { co_await in_name_of(where, send_operation<T>(core, value)); },
        where);
  }
  void send_blocking(std::source_location where = std::source_location::current()) const requires of_signals
  {
    signal value;
    block_until(
        core_, "send_blocking",
        [core = core_, &value](bool shared, routine*& woken) { return core->send(shared, value, named_in(woken)); },
        [core = core_, &value, where]() -> task<> { co_await in_name_of(where, send_operation<T>(core, value)); },
        where);
  }
  template <class... A>
  requires mistaken_send<T, A...>
  void send_blocking(A&&...) const {
    constexpr send_of<T, A...> the;
    static_assert(the.signal_has_no_value, RINGO_SAY_SIGNAL);
    static_assert(the.there_is_one_value, RINGO_SAY_ONE);
    static_assert(the.value_is_copied_or_moved, RINGO_SAY_GIVE);
    static_assert(the.value_fits, RINGO_SAY_FIT);
  }
  typename receive_operation<T>::result_type recv_blocking(
      std::source_location where = std::source_location::current()) const {
    typename receive_operation<T>::result_type result{};
    block_until(
        core_, "recv_blocking",
        [core = core_, &result](bool shared, routine*& woken) {
          return core->receive(shared, [&result](T&& value) { fill(result, std::move(value)); }, named_in(woken));
        },
        [core = core_, &result, where]() -> task<> { result = co_await in_name_of(where, receive_operation<T>(core)); },
        where);
    return result;
  }

  // Sends without waiting, from any thread, also one that ringo does not know: a routine of the runtime that uses the
  // channel sends the value soon after, behind what the same thread has posted before. What the channel has no room for
  // waits in memory, of which there is no bound but the posters' own. Before a runtime uses the channel it waits for
  // one. False, and dropped, if the channel is closed or nil, or its runtime has ended. What is on its way when the
  // channel is closed is dropped with a warning (runtime_options::on_warning), when main ends without one. Throws
  // std::bad_alloc.
  bool post(T value, std::source_location at = std::source_location::current()) const requires(!of_signals)
  {
    return core_ != nullptr && !core_->closed() && outbox_of<T>::post(*core_, std::move(value), at);
  }
  bool post(std::source_location at = std::source_location::current()) const requires of_signals
  {
    return core_ != nullptr && !core_->closed() && outbox_of<T>::post(*core_, signal(), at);
  }

 protected:
  explicit channel_handle(channel_state<T>* core) noexcept : core_(core) {}
  friend struct std::hash<channel_handle>;

  channel_state<T>* core_;

 private:
  static void fill(std::optional<T>& result, T&& value) noexcept { result.emplace(std::move(value)); }
  static void fill(bool& result, signal&&) noexcept { result = true; }

  // Whether a send would not have to wait at this instant; throws channel_closed. With other workers about, one of
  // them may send first.
  bool could_send_now() const {
    worker* w = worker_or_alone("try_send");
    if (!core_) return false;
    core_->enter(w, "try_send");
    if (core_->closed()) throw_send_on_closed();
    const optional_guard guard(core_->lock, w && w->shared);
    return core_->can_send();
  }
  bool try_send_now(T& value) const {
    worker* w = worker_or_alone("try_send");
    if (!core_) return false;
    core_->enter(w, "try_send");
    section_of here(*core_, w);
    const progress p = core_->send(here.shared(), value, [&here](routine& r) { here.wake(r); });
    here.end();
    if (p == progress::closed) throw_send_on_closed();
    return p == progress::done;
  }
};

}  // namespace detail

// Both ends. channel<void> carries signals: send() has no argument and recv() yields a bool.
template <class T>
class channel : public detail::channel_handle<detail::carried<T>> {
  using base = detail::channel_handle<detail::carried<T>>;

  static_assert(detail::is_plain_object<T>, RINGO_SAY_OBJECT);
  static_assert(detail::moves_without_throwing<T>, RINGO_SAY_BOX);

 public:
  using value_type = T;
  // capacity 0: a rendezvous. Throws std::length_error if that many values cannot be held, std::bad_alloc.
  explicit channel(std::size_t capacity = 0)
      : base(new detail::channel_state<detail::carried<T>>(
            detail::checked_capacity(capacity, sizeof(detail::carried<T>)))) {}
  // Never ready: switches a select case off (Go spec: Select statements).
  static channel nil() noexcept { return channel(detail::no_channel()); }

  friend bool operator==(const channel& a, const channel& b) noexcept { return a.core_ == b.core_; }

 private:
  explicit channel(detail::no_channel) noexcept : base(nullptr) {}
  friend class sender<T>;
  friend class receiver<T>;
  friend struct std::hash<channel>;
};

// The sending end; by default nil.
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

// The receiving end; by default nil.
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
