// How connections are accepted. What stands behind it is in src/net/listener_core.hpp.
#pragma once
#include <string>
#include <utility>

#include <ringo/detail/operation.hpp>
#include <ringo/detail/stream_operation.hpp>

namespace ringo::detail {

class listener_core;

// A case that waits for a connection.
struct accepting {
  accepting* next = nullptr;
  accepting* previous = nullptr;
  waiter* waits = nullptr;
  bool is_listed = false;
  bool counts = false;  // in the listener's uses
  int error = 0;
  stream_core* got = nullptr;  // the connection, with one handle
};

void enter_listener(listener_core* of, const worker* w, const char* call);
spin_lock* lock_of(listener_core& of) noexcept;
// Where none is there, the kernel is asked: so that who only tries will find one the next time.
bool can_accept(listener_core& of, worker& w) noexcept;
bool try_accept(listener_core& of, accepting& a, waiter& as, worker& w) noexcept;
void begin_accepting(listener_core& of, accepting& a, waiter& as, worker& w) noexcept;
bool end_accepting(listener_core& of, accepting& a) noexcept;
stream_handle take_accepted(listener_core& of, accepting& a, bool failed);
void discard_accepted(listener_core& of, accepting& a) noexcept;
void delete_listener(listener_core& of) noexcept;
void tell_listener(const listener_core& of, std::string& text);

template <class Stream>
class RINGO_AWAITABLE accept_operation final : public operation<accept_operation<Stream>, Stream> {
 public:
  static constexpr const char* call_name = "accept a connection";
  explicit accept_operation(listener_core* from) noexcept : from_(from) {}
  accept_operation(const accept_operation&) = default;
  accept_operation& operator=(const accept_operation&) = default;
  ~accept_operation() {
    if (this->standing() != progress::idle) [[unlikely]]
      this->abandon(*this->who);
  }

  void enter(const worker* w) { enter_listener(from_, w, call_name); }
  spin_lock* lock() noexcept { return lock_of(*from_); }
  bool ready(worker& w) noexcept { return can_accept(*from_, w); }
  bool commit(worker& w, bool, routine*&) noexcept { return try_accept(*from_, request_, *this, w); }
  void link(worker& w, routine& r) noexcept {
    this->who = &r;
    this->stand(progress::waiting);
    begin_accepting(*from_, request_, *this, w);
  }
  bool unlink() noexcept {
    if (!won(this->standing())) this->stand(progress::idle);
    return end_accepting(*from_, request_);
  }
  void dispose() noexcept { delete_listener(*from_); }
  Stream take() {
    const bool failed = this->standing() == progress::failed;
    this->stand(progress::idle);
    return Stream(take_accepted(*from_, request_, failed));
  }
  void discard() noexcept {
    this->stand(progress::idle);
    discard_accepted(*from_, request_);
  }
  void tell(std::string& text) const {
    text += "a connection to ";
    tell_listener(*from_, text);
  }

 private:
  listener_core* from_;
  accepting request_;
};

// The one handle of a listener.
class listener_handle {
 public:
  listener_handle() noexcept = default;
  explicit listener_handle(listener_core* counted) noexcept : core_(counted) {}
  listener_handle(listener_handle&& from) noexcept : core_(std::exchange(from.core_, nullptr)) {}
  listener_handle& operator=(listener_handle&& from) noexcept {
    listener_handle(std::move(from)).swap(*this);
    return *this;
  }
  ~listener_handle() {
    if (core_ != nullptr) drop(*std::exchange(core_, nullptr));
    keep_mark(core_);
  }

  void swap(listener_handle& with) noexcept { std::swap(core_, with.core_); }
  listener_core* get() const noexcept { return core_; }
  int native_handle() const noexcept;  // -1 of nothing
  close_operation close() const;

 private:
  static void drop(listener_core& of) noexcept;

  listener_core* core_ = nullptr;
};

}  // namespace ringo::detail
