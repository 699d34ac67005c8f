// The operations of a channel: receive and send.
#pragma once
#include <cstddef>
#include <exception>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <ringo/detail/channel_core.hpp>
#include <ringo/detail/compilers.hpp>
#include <ringo/detail/pointers.hpp>

namespace ringo::detail {

// Room for a value inside an operation, or for one of several. It is raw memory, and outside the operation if a type is
// over-aligned, since coroutine frames need not be aligned for it.
template <class T, class... More>
class slot {
  static constexpr bool inside = alignof(T) <= alignof(std::max_align_t);
  static constexpr std::size_t size = [] {
    std::size_t most = sizeof(T);
    ((most = sizeof(More) > most ? sizeof(More) : most), ...);
    return most;
  }();
  struct place {
    alignas(T) alignas(More...) std::byte bytes[size];
  };

 public:
  slot() {
    if constexpr (!inside) outside_ = owned<place>(new place);
  }
  slot(const slot&) = delete;
  slot& operator=(const slot&) = delete;
  template <class U = T, class... A>
  void put(A&&... args) {
    ::new (address()) U(std::forward<A>(args)...);
  }
  template <class U = T>
  U& value() noexcept {
    return *std::launder(static_cast<U*>(address()));
  }
  template <class U = T>
  void clear() noexcept {
    value<U>().~U();
  }

 private:
  void* address() noexcept {
    if constexpr (inside) {
      return inside_.bytes;
    } else {
      return outside_->bytes;
    }
  }
  struct nothing {};
  [[no_unique_address]] std::conditional_t<inside, place, nothing> inside_;
  [[no_unique_address]] std::conditional_t<inside, nothing, owned<place>> outside_;
};

// await_ready of an operation with several workers; or with one at the end of its turn, in a cancelled routine, on a
// nil channel or on another runtime's.
bool begin_otherwise(untyped_operation o, worker& w, channel_core* core, const char* call, bool receives);
// await_suspend, with several workers. Six arguments, so that the call is a jump, and the hot path saves no register.
std::coroutine_handle<> park_at(untyped_operation o, waiter& as, channel_core* core, bool receives,
                                std::coroutine_handle<> coroutine);
// One attempt without waiting, there; returns the state. idle: nothing.
progress attempt_otherwise(untyped_operation o, worker& w, channel_core* core, const char* call);

struct signal {};  // the value of a channel<void>

// The common part of receive and send. A Derived provides
//   attempt(core, bool shared, wake)   under the lock: what it comes to now, with its result; idle: it must wait
//   begin_alone(core, wake)            the same with one worker, before the routine does anything else: false: it must
//                                      wait; true with a state of `idle`: result_alone() does the rest
//   take()                             the result, if the state is not `idle`
template <class Derived, class T, class Result>
class channel_operation : public operation<Derived, Result> {
 public:
  static constexpr bool loses_as_cancelled = true;
  // Most often there is one worker and the operation need not wait: then its state stays idle.
  RINGO_ALWAYS_INLINE bool await_ready() {
    worker& w = require_worker(Derived::call_name);
    channel_state<T>* const core = core_;  // read once: g++ stores it by a vector instruction, and waits for that
    if (!w.spend()) [[unlikely]]
      return await_ready_otherwise(w, core);
    if (core == nullptr || !core->owner.is_of_lone(w)) [[unlikely]]
      return await_ready_otherwise(w, core);
    const bool ready = this->derived().begin_alone(*core, [&w](routine& r) { w.make_next(r); });
    check_in_place(*core);
    return ready;
  }
  RINGO_ALWAYS_INLINE Result await_resume() {
    const progress p = this->current_state();
    if (p == progress::idle) [[likely]]
      return this->derived().result_alone();
    if (p != progress::done) [[unlikely]] {
      if (!won(p)) this->come_back_cancelled();
      return this->derived().take();
    }
    this->set_state(progress::idle);
    return this->derived().result_of_done();
  }
  std::coroutine_handle<> park_shared(worker&, std::coroutine_handle<> coroutine) {
    return park_at(this->without_type(), *this, core_, Derived::receives, coroutine);
  }
  // For a select (case_protocol.hpp).
  RINGO_ALWAYS_INLINE glance look_alone(worker& w) noexcept {
    channel_state<T>* const core = core_;
    if (core == nullptr) return glance::not_ready;
    if (!core->owner.is_of_lone(w)) [[unlikely]]
      return glance::elsewhere;
    return Derived::is_ready_in(*core) ? glance::ready : glance::not_ready;
  }
  RINGO_ALWAYS_INLINE glance look_shared(worker& w) noexcept {
    channel_state<T>* const core = core_;
    if (core == nullptr) return glance::not_ready;
    if (!core->owner.is_of(w)) [[unlikely]]
      return glance::elsewhere;
    return this->derived().looks_ready(w) ? glance::ready : glance::not_ready;
  }
  RINGO_ALWAYS_INLINE progress settle(worker& w) {
    const progress p = this->current_state();
    if (p == progress::idle) [[likely]]
      return attempt_alone(w);
    this->set_state(progress::idle);
    return p;
  }
  RINGO_ALWAYS_INLINE Result result_after(progress p) {
    this->set_state(p);
    return this->derived().take();
  }
  // For a select that never waits: what it comes to at this instant, for result_as(); idle: nothing.
  RINGO_ALWAYS_INLINE progress try_now(worker& w) {
    channel_state<T>* const core = core_;
    if (core == nullptr || !core->owner.is_of(w)) [[unlikely]]
      return attempt_otherwise(this->without_type(), w, core, Derived::call_name);
    // With one channel, a look without its lock sees one instant (semantics 57).
    if (!this->derived().looks_ready(w)) return progress::idle;
    if (!core->owner.is_of_lone(w)) return attempt_otherwise(this->without_type(), w, core, Derived::call_name);
    const progress p = this->derived().attempt(*core, false, [&w](routine& r) { w.make_next(r); });
    check_in_place(*core);
    this->set_state(p);
    return p;
  }
  // For what wraps it (awaited.hpp).
  RINGO_ALWAYS_INLINE bool ends_at_once(worker& w) {
    if (!w.spend()) return false;
    return try_now(w) != progress::idle;
  }
  template <class Variant, std::size_t N>
  RINGO_ALWAYS_INLINE Variant result_as(progress p) {
    if constexpr (requires { this->derived().template take_as<Variant, N>(); }) {
      this->set_state(p);
      return this->derived().template take_as<Variant, N>();
    } else {
      if constexpr (std::is_void_v<Result>) {
        result_after(p);
        return Variant(std::in_place_index<N>);
      } else {
        return Variant(std::in_place_index<N>, result_after(p));
      }
    }
  }
  RINGO_ALWAYS_INLINE bool commit(worker&, bool shared, routine*& woken) {
    if (!core_) return false;
    const progress p = this->derived().attempt(*core_, shared, named_in(woken));
    if (p == progress::idle) return false;
    this->set_state(p);
    return true;
  }

  RINGO_ALWAYS_INLINE void enter(worker* w) {
    if (core_) core_->enter(w, Derived::call_name);
  }
  spin_lock* lock() noexcept { return core_ ? &core_->lock : nullptr; }
  void link(worker&, routine& r) noexcept {
    this->blocked = &r;
    this->set_state(progress::waiting);
    if (core_) Derived::queue(*core_).push_back(*this);
  }
  bool unlink() noexcept {
    if (won(this->current_state())) return false;
    this->set_state(progress::idle);
    return core_ && core_->unlink(Derived::queue(*core_), *this);
  }
  void dispose() noexcept { delete_channel(core_); }
  void check_source() const {
    if (core_) core_->check();
  }
  void append_to(wait_report& text) const {
    text += Derived::call_name;
    text += " on ";
    if (core_ != nullptr) {
      core_->append_to(text);
    } else {
      text.add_never("a nil channel");
    }
  }

 protected:
  explicit channel_operation(channel_state<T>* core) noexcept : core_(core) {}

  channel_state<T>* core_;

 private:
  // Out of line, so that the hot path has the call's arguments in registers.
  [[gnu::noinline]] bool await_ready_otherwise(worker& w, channel_state<T>* core) {
    return begin_otherwise(this->without_type(), w, core, Derived::call_name, Derived::receives);
  }
  // Out of line: a select may have many cases of one type.
  [[gnu::noinline]] progress attempt_alone(worker& w) {
    const progress p = this->derived().attempt(*core_, false, [&w](routine& r) { w.make_next(r); });
    check_in_place(*core_);
    if (p == progress::idle) [[unlikely]]
      throw_not_resumed_at_once();
    return p;
  }
};

template <class T>
class RINGO_AWAITABLE receive_operation
    : public channel_operation<receive_operation<T>, T,
                               std::conditional_t<std::is_same_v<T, signal>, bool, std::optional<T>>> {
  using base =
      channel_operation<receive_operation, T, std::conditional_t<std::is_same_v<T, signal>, bool, std::optional<T>>>;

 public:
  using result_type = typename base::result_type;
  static constexpr const char* call_name = "receive";
  static constexpr bool receives = true;

  explicit receive_operation(channel_state<T>* core) noexcept(
      std::is_nothrow_default_constructible_v<slot<T, std::exception_ptr>>)
      : base(core) {}
  // It can be made again from this, with less to move and to destroy (on()).
  channel_state<T>* origin() const noexcept { return this->core_; }
  receive_operation(receive_operation&& from) noexcept(
      std::is_nothrow_default_constructible_v<slot<T, std::exception_ptr>>)
      : base(std::move(from)) {}
  receive_operation& operator=(receive_operation&& from) noexcept {
    this->core_ = from.core_;
    return *this;
  }
  RINGO_ALWAYS_INLINE ~receive_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
  }

  RINGO_ALWAYS_INLINE static bool is_ready_in(channel_state<T>& core) noexcept { return core.can_receive(); }
  RINGO_ALWAYS_INLINE bool ready(worker&) noexcept { return this->core_ && is_ready_in(*this->core_); }
  RINGO_ALWAYS_INLINE bool looks_ready(worker&) noexcept { return this->core_ && this->core_->looks_receivable(); }
  template <class Wake>
  RINGO_ALWAYS_INLINE progress attempt(channel_state<T>& core, bool shared, Wake&& wake) {
    return kept(core, core.receive(shared, into_slot(), std::forward<Wake>(wake)));
  }
  // A value in the buffer stays there until result_alone(), which moves it straight to the caller.
  template <class Wake>
  RINGO_ALWAYS_INLINE bool begin_alone(channel_state<T>& core, Wake&& wake) {
    if (core.count.value() > 0) [[likely]]
      return true;
    const progress p = kept(core, core.receive_unbuffered(false, into_slot(), std::forward<Wake>(wake)));
    if (p == progress::idle) return false;
    this->set_state(p);
    return true;
  }
  RINGO_ALWAYS_INLINE result_type result_alone() {
    if (this->core_->count.value() <= 0) [[unlikely]]
      throw_not_resumed_at_once();
    return this->core_->take_oldest(false, as_result(), [](routine& r) { current_worker()->make_next(r); });
  }
  // Calls nothing that returns the result: else g++ builds each result in parts in memory, and loads it as a whole,
  // which stalls.
  RINGO_ALWAYS_INLINE result_type take() {
    const progress p = this->current_state();
    this->set_state(progress::idle);
    if (p == progress::failed) [[unlikely]]
      rethrow();
    return p == progress::closed ? result_type() : result_of_done();
  }
  RINGO_ALWAYS_INLINE result_type result_of_done() {
    const value_cleared at_the_end(value_);
    return as_result()(std::move(value_.value()));
  }
  // The result as the N-th alternative of a select's, without a copy in between.
  template <class Variant, std::size_t N>
  requires(!std::is_same_v<T, signal>)
  RINGO_ALWAYS_INLINE Variant take_as() {
    const progress p = this->current_state();
    this->set_state(progress::idle);
    if (p == progress::failed) [[unlikely]]
      rethrow();
    if (p == progress::closed) return Variant(std::in_place_index<N>, std::nullopt);
    const value_cleared at_the_end(value_);
    return Variant(std::in_place_index<N>, std::in_place, std::move(value_.value()));
  }

  // Called by the sender, under the channel's lock.
  void accept(T&& value) noexcept {
    value_.put(std::move(value));
    this->set_state(progress::done);
  }
  void fail(const std::exception_ptr& error) noexcept {
    value_.template put<std::exception_ptr>(error);
    this->set_state(progress::failed);
  }

  static wait_queue& queue(channel_core& core) noexcept { return core.receivers; }
  void discard() noexcept {  // the value is destroyed with the frame
    if (this->current_state() == progress::done) value_.clear();
    if (this->current_state() == progress::failed) value_.template clear<std::exception_ptr>();
    this->set_state(progress::idle);
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
  RINGO_ALWAYS_INLINE auto into_slot() noexcept {
    return [this](T&& value) { value_.put(std::move(value)); };
  }
  RINGO_ALWAYS_INLINE progress kept(channel_state<T>& core, progress p) {  // with the error of close(error)
    if (p == progress::failed) [[unlikely]]
      value_.template put<std::exception_ptr>(core.error);
    return p;
  }
  struct as_result {
    RINGO_ALWAYS_INLINE result_type operator()(T&& value) const noexcept {
      if constexpr (std::is_same_v<T, signal>) {
        return true;
      } else {
        return result_type(std::in_place, std::move(value));
      }
    }
  };
  [[noreturn, gnu::cold, gnu::noinline]] void rethrow() {
    const std::exception_ptr error = std::move(value_.template value<std::exception_ptr>());
    value_.template clear<std::exception_ptr>();
    std::rethrow_exception(error);
  }

  slot<T, std::exception_ptr> value_;
};

// The operation of send(T&&). It refers to the caller's value until it commits, so it cannot be moved.
template <class T>
class RINGO_AWAITABLE send_operation : public channel_operation<send_operation<T>, T, void> {
  using base = channel_operation<send_operation, T, void>;

 public:
  static constexpr const char* call_name = "send";
  static constexpr bool receives = false;

  send_operation(channel_state<T>* core, T& value) noexcept : base(core), source_(&value) {}
  send_operation(const send_operation&) = delete;
  send_operation& operator=(const send_operation&) = delete;
  RINGO_ALWAYS_INLINE ~send_operation() {
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
  }

  RINGO_ALWAYS_INLINE static bool is_ready_in(channel_state<T>& core) noexcept { return core.can_send(); }
  RINGO_ALWAYS_INLINE bool ready(worker&) noexcept { return this->core_ && is_ready_in(*this->core_); }
  RINGO_ALWAYS_INLINE bool looks_ready(worker&) noexcept { return this->core_ && this->core_->looks_sendable(); }
  template <class Wake>
  RINGO_ALWAYS_INLINE progress attempt(channel_state<T>& core, bool shared, Wake&& wake) noexcept {
    return core.send(shared, *source_, std::forward<Wake>(wake));
  }
  template <class Wake>
  RINGO_ALWAYS_INLINE bool begin_alone(channel_state<T>& core, Wake&& wake) noexcept {
    const progress p = core.send(false, *source_, std::forward<Wake>(wake));
    if (p == progress::closed) [[unlikely]]
      this->set_state(p);
    return p != progress::idle;
  }
  void result_alone() noexcept {}
  void result_of_done() noexcept {}
  void take() {
    const progress p = this->current_state();
    this->set_state(progress::idle);
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

// Where holding a value costs no more than referring to it, an operation holds it, so that it may be kept:
// auto op = ch.send(5); co_await op;
template <class T>
inline constexpr bool held_by_send = std::is_trivially_copyable_v<T> && sizeof(T) <= 2 * sizeof(void*);

// The operation of send(const T&), of send(T&&) for such values, and of emplace(): holds the value.
template <class T>
class RINGO_AWAITABLE send_value_operation : private slot<T>, public send_operation<T> {
 public:
  template <class... A>
  explicit send_value_operation(channel_state<T>* core, std::in_place_t, A&&... args)
      : send_operation<T>(core, slot<T>::value()) {
    slot<T>::put(std::forward<A>(args)...);
  }
  send_value_operation(send_value_operation&& from) noexcept(std::is_nothrow_move_constructible_v<T>)
      : send_operation<T>(std::move(from), slot<T>::value()) {
    slot<T>::put(std::move(from.slot<T>::value()));
  }
  send_value_operation& operator=(send_value_operation&& from) noexcept(std::is_nothrow_move_constructible_v<T>) {
    if (this != &from) {
      this->assign(from);
      slot<T>::clear();
      slot<T>::put(std::move(from.slot<T>::value()));
    }
    return *this;
  }
  ~send_value_operation() {
    // It leaves the queue first: until then a receiver may take the value.
    if (this->current_state() != progress::idle) [[unlikely]]
      this->abandon(*this->blocked);
    slot<T>::clear();
  }
};

}  // namespace ringo::detail
