// The handle of a channel: all that its classes can do.
#pragma once
#include <concepts>
#include <exception>
#include <source_location>
#include <type_traits>
#include <utility>

#include <ringo/detail/channel_operation.hpp>
#include <ringo/detail/library.hpp>
#include <ringo/detail/outbox.hpp>

namespace ringo::detail {

struct no_channel {};
template <class T>
using carried = std::conditional_t<
    std::is_void_v<T>, signal,
    std::conditional_t<std::is_move_constructible_v<std::remove_cvref_t<T>>, std::remove_cvref_t<T>, anything>>;

// Each of the three classes asserts these: in their base they would make the message longer.
template <class T>
inline constexpr bool is_plain_object = std::is_void_v<T> || std::is_same_v<T, std::remove_cvref_t<T>>;
template <class T>
inline constexpr bool moves_without_throwing =
    std::is_void_v<T> || std::is_nothrow_move_constructible_v<std::remove_cvref_t<T>>;
#define RINGO_SAY_OBJECT \
  "a channel carries objects: use a pointer or std::reference_wrapper for references, a plain type for const ones"
#define RINGO_SAY_BOX \
  "a channel's values must not throw when they are moved: box it, for example in a std::unique_ptr<T>"

// What is wrong with the arguments of a send: the first member that is false.
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

// A counted reference to a channel of T, with all that the three classes of channel.hpp can do; that page says what
// each call does.
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

  // Copies the value only if there is room for it, or a receiver.
  bool try_send(const T& value) const requires(!of_signals && std::copy_constructible<T>)
  {
    if constexpr (std::is_trivially_copyable_v<T>) {
      return try_send_now(const_cast<T&>(value));  // a move of such a value does not change it
    } else {
      if (looks_full() || !could_send_now()) return false;
      T copy(value);
      return try_send_now(copy);
    }
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

  receive_operation<T> recv() const { return receive_operation<T>(core_); }
  RINGO_ALWAYS_INLINE typename receive_operation<T>::result_type try_recv() const {
    typename receive_operation<T>::result_type result{};
    if (!looks_empty()) try_recv_into(result);
    return result;
  }

  void close() const { close(nullptr); }
  void close(std::exception_ptr error) const {
    if (!core_) throw_close_of_nil();
    core_->close(std::move(error));
  }
  bool try_close() const { return core_ && core_->try_close(nullptr); }

  bool is_closed() const noexcept { return core_ && core_->closed(); }
  bool is_drained() const { return core_ && core_->drained(); }
  std::size_t size() const { return core_ ? core_->size() : 0; }
  std::size_t capacity() const noexcept { return core_ ? core_->capacity() : 0; }

  void send_blocking(const T& value, std::source_location where = std::source_location::current()) const
      requires(!of_signals && std::copy_constructible<T>)
  {
    send_blocking(T(value), where);
  }
  void send_blocking(T&& value, std::source_location where = std::source_location::current()) const
      requires(!of_signals)
  {
    block_until_sent(value, where);
  }
  void send_blocking(std::source_location where = std::source_location::current()) const requires of_signals
  {
    signal value;
    block_until_sent(value, where);
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

  void block_until_sent(T& value, std::source_location where) const {
    block_until(
        core_, "send_blocking",
        [core = core_, &value](bool shared, routine*& woken) { return core->send(shared, value, named_in(woken)); },
        [core = core_, &value, where]() -> task<> { co_await in_name_of(where, send_operation<T>(core, value)); },
        where);
  }
  // Without the lock: whether this worker may use the channel, and a receive, or a send, would have to wait at this
  // instant. (One channel: so the look sees one instant, semantics 46 and 47.)
  RINGO_ALWAYS_INLINE bool looks_empty() const noexcept { return is_of_this_worker() && !core_->looks_receivable(); }
  RINGO_ALWAYS_INLINE bool looks_full() const noexcept { return is_of_this_worker() && !core_->looks_sendable(); }
  RINGO_ALWAYS_INLINE bool is_of_this_worker() const noexcept {
    const worker* const w = current_worker();
    return w != nullptr && core_ != nullptr && core_->owner.is_of(*w);
  }
  // In the caller's place: a small result that a call returns in a register is built in parts and loaded as a whole,
  // which stalls.
  [[gnu::noinline]] void try_recv_into(typename receive_operation<T>::result_type& result) const {
    const auto put = [&result](T&& value) { fill(result, std::move(value)); };
    worker* const w = worker_or_unused("try_recv");
    if (!core_) return;
    core_->enter(w, "try_recv");
    section_of<channel_core> here(*core_, w);
    const progress p = core_->receive(here.shared(), put, [&here](routine& r) { here.wake(r); });
    here.end();
    if (p == progress::failed) std::rethrow_exception(core_->error);
  }
  // Whether a send would not have to wait at this instant; throws channel_closed. Another worker may send
  // first.
  bool could_send_now() const {
    worker* w = worker_or_unused("try_send");
    if (!core_) return false;
    core_->enter(w, "try_send");
    if (core_->closed()) throw_send_on_closed();
    const optional_guard guard(core_->lock, w && w->shared);
    return core_->can_send();
  }
  RINGO_ALWAYS_INLINE bool try_send_now(T& value) const { return !looks_full() && try_send_ready(value); }
  [[gnu::noinline]] bool try_send_ready(T& value) const {
    worker* w = worker_or_unused("try_send");
    if (!core_) return false;
    core_->enter(w, "try_send");
    section_of<channel_core> here(*core_, w);
    const progress p = core_->send(here.shared(), value, [&here](routine& r) { here.wake(r); });
    here.end();
    if (p == progress::closed) throw_send_on_closed();
    return p == progress::done;
  }
};

}  // namespace ringo::detail
